"""The store: each method is one transaction."""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from secrets import token_hex
from typing import TypeVar

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from recommender.audit import AuditReport, AuditRow
from recommender.errors import Conflict, StoreUnavailable
from recommender.intake.model import Backlog, Delivery, Incident, Receipt, Settlement
from recommender.ledger import Effect, LedgerConfig, SiteEffects
from recommender.model import Event, Workflow, WorkflowState
from recommender.registry.model import Agent, Heartbeat, Registration
from recommender.store import agent_rows, audit_rows, effect_rows, incident_rows, workflow_rows
from recommender.store.database import Database
from recommender.store.effect_rows import EffectFilter
from recommender.store.schema import heartbeats

_T = TypeVar("_T")
_RACES = 3  # each lost race finds at least one row more than the one before
LEARNT_FROM = 2000  # effects: years of rollouts, milliseconds to read
WATCHDOG = "watchdog"  # heartbeat of the whole alerting path


def new_id() -> str:
    """A short random identifier: 48 bits, typed by people in `optiinfra workflows approve`."""
    return token_hex(6)


class Store:
    """Implements `contracts.WorkflowStore` and what intake, pipeline and API need. Raises StoreUnavailable.

    Safe to share by threads. Instants are arguments.
    """

    def __init__(self, database: Database, ids: Callable[[], str] = new_id) -> None:
        self._database = database
        self._ids = ids

    # -- intake

    def record(self, delivery: Delivery, now: datetime, backlog_limit: int) -> Receipt:
        """Store a notification and its alerts. Raises BacklogFull, and then nothing is stored."""

        def write(connection: sa.Connection) -> Receipt:
            if delivery.heartbeat:
                _beat(connection, WATCHDOG, now)
            return incident_rows.record(connection, delivery, now, backlog_limit, self._ids)

        return self._write_unless_raced(write)

    def claim_incidents(self, now: datetime, owner: str, lease: timedelta) -> list[Incident]:
        """The due incidents of one service (or node), leased to `owner`; empty when none is due."""
        with self._database.write() as connection:
            return incident_rows.claim_due(connection, now, owner, lease)

    def settle(self, settlement: Settlement, events: Sequence[Event] = ()) -> None:
        """Write what came of incidents."""
        with self._database.write() as connection:
            incident_rows.settle(connection, settlement)
            audit_rows.append(connection, events, settlement.workflow_id or "")

    def incidents(self, *, open_only: bool = False, service: str | None = None, limit: int = 100) -> list[Incident]:
        """Incidents, the most recently seen first."""
        with self._database.read() as connection:
            return incident_rows.find(connection, open_only=open_only, service=service, limit=limit)

    def backlog(self) -> Backlog:
        """Incidents that wait for their first look."""
        with self._database.read() as connection:
            return incident_rows.backlog(connection)

    # -- workflows

    def create(self, workflow: Workflow, events: Sequence[Event], settlement: Settlement | None = None) -> Workflow:
        """Store a new workflow, its events, and what became of the incidents behind it, all or nothing.

        Conflict when the service already has a workflow in flight or waiting for approval.
        """
        try:
            with self._database.write() as connection:
                stored = workflow_rows.insert(connection, workflow)
                audit_rows.append(connection, events, workflow.id)
                if settlement is not None:
                    incident_rows.settle(connection, settlement)
                return stored
        except IntegrityError as exc:
            raise Conflict(f"service {workflow.service} already has a workflow in flight or waiting") from exc

    def claim_due(self, now: datetime, owner: str, lease: timedelta) -> Workflow | None:
        """The next due workflow that nobody else holds, leased to `owner`; or None."""
        with self._database.write() as connection:
            return workflow_rows.claim_due(connection, now, owner, lease)

    def save(self, workflow: Workflow, events: Sequence[Event], *, release: bool = True) -> Workflow:
        """Write the new state, its events and, at the end, what was measured; Conflict when the row has moved on.

        See `contracts.WorkflowStore`.
        """
        try:
            with self._database.write() as connection:
                stored = workflow_rows.update(connection, workflow, release=release)
                effect_rows.record(connection, stored)
                audit_rows.append(connection, events, workflow.id)
                return stored
        except IntegrityError as exc:
            raise Conflict(f"service {workflow.service} has another workflow in flight or waiting") from exc

    def active_for(self, service: str) -> Workflow | None:
        """The workflow in flight for a service (approved up to rolling back), or None."""
        with self._database.read() as connection:
            return workflow_rows.active_for(connection, service)

    def open_for(self, service: str) -> Workflow | None:
        """The workflow in flight for a service or waiting for approval, or None."""
        with self._database.read() as connection:
            return workflow_rows.open_for(connection, service)

    def recent_for(self, service: str, limit: int = 20) -> list[Workflow]:
        """Workflows of a service by last change, the most recent first."""
        with self._database.read() as connection:
            return workflow_rows.latest_for(connection, service, limit)

    def workflow(self, workflow_id: str) -> Workflow:
        """One workflow; NotFound when there is none."""
        with self._database.read() as connection:
            return workflow_rows.get(connection, workflow_id)

    def workflows(
        self, states: Sequence[WorkflowState] = (), service: str | None = None, limit: int = 100
    ) -> list[Workflow]:
        """Workflows, the newest first; no `states` means all."""
        with self._database.read() as connection:
            return workflow_rows.find(connection, states, service, limit)

    def in_flight(self) -> dict[str, int]:
        """How many workflows of each service are in flight; services without any are left out."""
        with self._database.read() as connection:
            return workflow_rows.count_active_by_service(connection)

    def count_by_state(self) -> dict[WorkflowState, int]:
        """How many workflows are in each state that has any."""
        with self._database.read() as connection:
            return workflow_rows.count_by_state(connection)

    # -- effects

    def effects(self, wanted: EffectFilter | None = None, limit: int = 100) -> list[Effect]:
        """What finished workflows measured, the newest first."""
        with self._database.read() as connection:
            return effect_rows.find(connection, wanted or EffectFilter(), limit)

    def site_effects(self, config: LedgerConfig | None = None) -> SiteEffects:
        """What changes did at this site, for the sizing of the next one: the newest `LEARNT_FROM` effects."""
        with self._database.read() as connection:
            newest = effect_rows.results(connection, LEARNT_FROM)
        return SiteEffects(newest, config or LedgerConfig())

    # -- agents

    def register_agent(self, registration: Registration, token: str, now: datetime) -> Agent:
        """Take an agent in for the token of that name. Raises Forbidden, Conflict; see `agent_rows.register`."""
        return self._write_unless_raced(lambda connection: agent_rows.register(connection, registration, token, now))

    def agent_heartbeat(self, beat: Heartbeat, token: str, now: datetime) -> Agent:
        """Note that an agent lives. Raises NotFound, Forbidden."""
        with self._database.write() as connection:
            return agent_rows.heartbeat(connection, beat, token, now)

    def deregister_agent(self, agent_id: str, token: str) -> None:
        """Forget an agent. Raises NotFound, Forbidden."""
        with self._database.write() as connection:
            agent_rows.deregister(connection, agent_id, token)

    def agents(self) -> list[Agent]:
        """All agents, by id."""
        with self._database.read() as connection:
            return agent_rows.find(connection)

    # -- audit and health

    def audit_of(self, workflow_id: str) -> list[AuditRow]:
        """The audit rows of one workflow, oldest first."""
        with self._database.read() as connection:
            return audit_rows.rows_of(connection, workflow_id)

    def verify_audit(self) -> AuditReport:
        """Walk the whole audit chain."""
        with self._database.read() as connection:
            return audit_rows.verify_chain(connection)

    def beat(self, name: str, now: datetime) -> None:
        """Note that `name` was seen; also the probe that the database can be written."""
        self._write_unless_raced(lambda connection: _beat(connection, name, now))

    def last_beat(self, name: str) -> datetime | None:
        """When `name` was last seen."""
        with self._database.read() as connection:
            return connection.execute(sa.select(heartbeats.c.at).where(heartbeats.c.name == name)).scalar_one_or_none()

    def _write_unless_raced(self, write: Callable[[sa.Connection], _T]) -> _T:
        """Run `write` in a transaction, and anew where another recommender was first to insert the same rows.

        Twin Alertmanagers send the same alerts at the same moment. On PostgreSQL, where writers do not wait for one
        another, the one that comes second then finds the rows and updates them.
        """
        for _ in range(_RACES):
            try:
                with self._database.write() as connection:
                    return write(connection)
            except IntegrityError as exc:
                raced = exc
        raise StoreUnavailable("the same rows are being written by another recommender; send again") from raced


def _beat(connection: sa.Connection, name: str, now: datetime) -> None:
    if connection.execute(sa.update(heartbeats).where(heartbeats.c.name == name).values(at=now)).rowcount == 0:
        connection.execute(sa.insert(heartbeats).values(name=name, at=now))
