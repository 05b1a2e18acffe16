"""Workflows: what was planned, what became of it, and a person's decisions."""

import json
from http import HTTPStatus
from typing import Annotated, Any

from flask_openapi3.blueprint import APIBlueprint
from flask_openapi3.models.tag import Tag
from pydantic import BaseModel, Field, StringConstraints, model_validator

from recommender.audit import AuditRow
from recommender.decisions import decide
from recommender.http.context import context
from recommender.http.guard import SECURITY, principal
from recommender.http.problems import Problem
from recommender.model import Workflow, WorkflowState
from recommender.rollout.states import Trigger

api = APIBlueprint(
    "workflows", __name__, url_prefix="/api/v1/workflows", abp_tags=[Tag(name="workflows")], abp_security=SECURITY
)

# A snapshot holds an engine's configuration file: not for readers of the API.
_HIDDEN = {"replicas": {"__all__": {"snapshot"}}}


class EventView(BaseModel):
    """One audit row of a workflow."""

    seq: int
    at: str
    actor: str
    kind: str
    from_state: str
    to_state: str
    reason: str
    detail: dict[str, Any]


class WorkflowDetail(Workflow):
    """A workflow with all that happened to it."""

    events: tuple[EventView, ...] = ()


class WorkflowList(BaseModel):
    """Workflows, the newest first."""

    workflows: list[Workflow]


class WorkflowQuery(BaseModel):
    """Which workflows."""

    state: list[WorkflowState] = []
    service: str | None = None
    limit: int = Field(100, ge=1, le=1000)


class WorkflowPath(BaseModel):
    """Which workflow."""

    workflow_id: str


class Comment(BaseModel):
    """Why, in the decider's words; becomes part of the audit log."""

    comment: Annotated[str, StringConstraints(max_length=2000, strip_whitespace=True, pattern=r"^[^\x00]*$")] = ""

    @model_validator(mode="before")
    @classmethod
    def _no_body(cls, value: object) -> object:
        return {} if value is None else value


_DECIDED: dict[str | int | HTTPStatus, type[BaseModel] | dict[Any, Any] | None] = {
    200: WorkflowDetail,
    404: Problem,
    409: Problem,
}


@api.get("", summary="List workflows", responses={200: WorkflowList})
def workflows(query: WorkflowQuery) -> dict[str, Any]:
    """The newest first."""
    found = context().store.workflows(tuple(query.state), query.service, query.limit)
    return {"workflows": [_shown(workflow) for workflow in found]}


@api.get("/<workflow_id>", summary="One workflow with its events", responses={200: WorkflowDetail, 404: Problem})
def workflow(path: WorkflowPath) -> dict[str, Any]:
    """Plan, state, replicas, verdicts, and every audit row."""
    store = context().store
    return _shown(store.workflow(path.workflow_id), store.audit_of(path.workflow_id))


@api.post("/<workflow_id>/approve", summary="Approve a plan", responses=_DECIDED)
def approve(path: WorkflowPath, body: Comment) -> dict[str, Any]:
    """From here OptiInfra carries it out. Approving twice is approving once."""
    return _decided(path, Trigger.APPROVE, body)


@api.post("/<workflow_id>/reject", summary="Reject a plan", responses=_DECIDED)
def reject(path: WorkflowPath, body: Comment) -> dict[str, Any]:
    """Nothing is done; the same alert brings it back after the service's cool-down at the earliest."""
    return _decided(path, Trigger.REJECT, body)


@api.post("/<workflow_id>/cancel", summary="Stop a workflow", responses=_DECIDED)
def cancel(path: WorkflowPath, body: Comment) -> dict[str, Any]:
    """Whatever was applied is undone."""
    return _decided(path, Trigger.CANCEL, body)


def _decided(path: WorkflowPath, trigger: Trigger, body: Comment) -> dict[str, Any]:
    parts = context()
    stored = decide(
        parts.store,
        path.workflow_id,
        trigger,
        actor=principal().name,
        comment=body.comment,
        now=parts.clock.now(),
    )
    parts.wake_reconciler()
    return _shown(stored, parts.store.audit_of(stored.id))


def _shown(found: Workflow, rows: list[AuditRow] | None = None) -> dict[str, Any]:
    document: dict[str, Any] = found.model_dump(mode="json", exclude=_HIDDEN)
    if rows is not None:
        document["events"] = [_event(row).model_dump() for row in rows]
    return document


def _event(row: AuditRow) -> EventView:
    return EventView(
        seq=row.seq,
        at=row.at,
        actor=row.actor,
        kind=row.kind,
        from_state=row.from_state,
        to_state=row.to_state,
        reason=row.reason,
        detail=json.loads(row.detail),
    )
