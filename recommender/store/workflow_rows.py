"""Workflow rows on a connection: the document, and beside it what claims and queries need."""

from collections.abc import Sequence
from datetime import datetime, timedelta

import sqlalchemy as sa

from recommender.errors import Conflict, NotFound
from recommender.model import Workflow, WorkflowState
from recommender.rollout.states import ACTIVE
from recommender.store.schema import OPEN_STATES, workflows

_C = workflows.c


def insert(connection: sa.Connection, workflow: Workflow) -> Workflow:
    """Store a new workflow; its version becomes 1. The caller maps IntegrityError."""
    stored = workflow.model_copy(update={"version": 1})
    connection.execute(sa.insert(workflows).values(id=stored.id, **_columns(stored)))
    return stored


def update(connection: sa.Connection, workflow: Workflow, *, release: bool) -> Workflow:
    """Write over version `workflow.version`; Conflict when the row has moved on, NotFound when there is none."""
    stored = workflow.model_copy(update={"version": workflow.version + 1})
    values = _columns(stored) | ({"lease_owner": None, "lease_until": None} if release else {})
    statement = sa.update(workflows).where(_C.id == workflow.id, _C.version == workflow.version).values(**values)
    if connection.execute(statement).rowcount == 0:
        current = get(connection, workflow.id)
        raise Conflict(f"workflow {workflow.id} is {current.state} by now; look at it again and repeat if still wanted")
    return stored


def claim_due(connection: sa.Connection, now: datetime, owner: str, lease: timedelta) -> Workflow | None:
    """Lease the workflow that is due longest. Raising the version fences off whoever held it before."""
    query = (
        sa.select(workflows)
        .where(_C.due_at <= now, sa.or_(_C.lease_until.is_(None), _C.lease_until <= now, _C.lease_owner == owner))
        .order_by(_C.due_at, _C.id)
        .limit(1)
        .with_for_update(skip_locked=True)
    )
    row = connection.execute(query).one_or_none()
    if row is None:
        return None
    claimed = _workflow(row).model_copy(update={"version": row.version + 1})
    connection.execute(
        sa.update(workflows)
        .where(_C.id == row.id)
        .values(lease_owner=owner, lease_until=now + lease, version=claimed.version)
    )
    return claimed


def get(connection: sa.Connection, workflow_id: str) -> Workflow:
    """One workflow; NotFound when there is none."""
    row = connection.execute(sa.select(workflows).where(_C.id == workflow_id)).one_or_none()
    if row is None:
        raise NotFound(f"there is no workflow '{workflow_id}'")
    return _workflow(row)


def find(
    connection: sa.Connection,
    states: Sequence[WorkflowState] = (),
    service: str | None = None,
    limit: int = 100,
) -> list[Workflow]:
    """Workflows, the newest first; no `states` means all."""
    query = sa.select(workflows).order_by(_C.created_at.desc(), _C.id).limit(limit)
    if states:
        query = query.where(_C.state.in_(states))
    if service is not None:
        query = query.where(_C.service == service)
    return [_workflow(row) for row in connection.execute(query)]


def active_for(connection: sa.Connection, service: str) -> Workflow | None:
    """The workflow in flight for a service."""
    return next(iter(find(connection, tuple(ACTIVE), service, limit=1)), None)


def open_for(connection: sa.Connection, service: str) -> Workflow | None:
    """The workflow in flight for a service or waiting for its approval."""
    return next(iter(find(connection, OPEN_STATES, service, limit=1)), None)


def latest_for(connection: sa.Connection, service: str, limit: int = 20) -> list[Workflow]:
    """Workflows of a service by last change, the most recent first."""
    query = sa.select(workflows).where(_C.service == service).order_by(_C.updated_at.desc(), _C.id).limit(limit)
    return [_workflow(row) for row in connection.execute(query)]


def count_by_state(connection: sa.Connection) -> dict[WorkflowState, int]:
    """How many workflows are in each state; states without any are left out."""
    query = sa.select(_C.state, sa.func.count()).group_by(_C.state)
    return {WorkflowState(state): count for state, count in connection.execute(query)}


def count_active_by_service(connection: sa.Connection) -> dict[str, int]:
    """How many workflows of each service are in flight; services without any are left out."""
    query = sa.select(_C.service, sa.func.count().label("workflows")).where(_C.state.in_(ACTIVE)).group_by(_C.service)
    return {row.service: row.workflows for row in connection.execute(query)}


def _columns(workflow: Workflow) -> dict[str, object]:
    return {
        "service": workflow.service,
        "state": workflow.state.value,
        "version": workflow.version,
        "created_at": workflow.created_at,
        "updated_at": workflow.updated_at,
        "due_at": workflow.due_at,
        "document": workflow.model_dump_json(),
    }


def _workflow(row: sa.Row[tuple[object, ...]]) -> Workflow:
    workflow = Workflow.model_validate_json(row.document)
    return workflow.model_copy(update={"version": row.version})
