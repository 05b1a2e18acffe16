"""Real parts for the foundation's tests: a store in SQLite or PostgreSQL, a clock to move, and small builders."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from recommender.intake.model import AlertStatus, Delivery, IncomingAlert
from recommender.inventory import parse_inventory
from recommender.model import Diagnosis, DiagnosisStatus, Event, Plan, Workflow, WorkflowState
from recommender.store import Database, Store
from rules.catalog import Bottleneck
from tests.recommender.foundation.live import INVENTORY
from tests.recommender.foundation.pipeline_world import World
from tests.recommender.foundation.postgres import PostgresServer
from tests.recommender.foundation.stub_prometheus import limited_service, stub_prometheus

NOW = datetime(2026, 11, 21, 4, 0, tzinfo=UTC)


@dataclass
class FakeClock:
    """A clock that moves when told to."""

    at: datetime = field(default=NOW)

    def now(self) -> datetime:
        return self.at

    def advance(self, seconds: float) -> None:
        self.at += timedelta(seconds=seconds)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    server = PostgresServer()
    try:
        server.start()
        yield server
    finally:
        server.close()


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    """For what only SQLite does: the file is `tmp_path / "optiinfra.db"`."""
    return f"sqlite:///{tmp_path}/optiinfra.db"


@pytest.fixture
def postgres_url(postgres_server: PostgresServer) -> Iterator[str]:
    """A fresh database, for what only PostgreSQL does."""
    with postgres_server.database() as url:
        yield url


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest) -> str:
    """A fresh database of each kind: what is promised of the store is promised of both."""
    url: str = request.getfixturevalue("sqlite_url" if request.param == "sqlite" else "postgres_url")
    return url


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    database = Database(database_url)
    database.migrate()
    yield database
    database.close()


@pytest.fixture
def store(database: Database) -> Store:
    return Store(database)


@pytest.fixture
def make_alert() -> Callable[..., IncomingAlert]:
    def make(
        fingerprint: str = "aaaa",
        status: str = "firing",
        starts_at: datetime = NOW,
        ends_at: datetime | None = None,
        **labels: str,
    ) -> IncomingAlert:
        named = {"alertname": "LLMAdmissionLimited", "service": "chat", "bottleneck": "admission_limited"}
        return IncomingAlert(fingerprint, AlertStatus(status), named | labels, {}, starts_at, ends_at)

    return make


@pytest.fixture
def make_delivery() -> Callable[..., Delivery]:
    def make(*alerts: IncomingAlert, key: str = "key", heartbeat: bool = False) -> Delivery:
        return Delivery(
            key=key,
            source="alertmanager",
            receiver="optiinfra",
            group_key='{}:{service="chat"}',
            status=AlertStatus.FIRING,
            truncated_alerts=0,
            alerts=tuple(alerts),
            heartbeat=heartbeat,
        )

    return make


@pytest.fixture
def make_workflow() -> Callable[..., Workflow]:
    def make(
        workflow_id: str = "w1",
        service: str = "chat",
        state: WorkflowState = WorkflowState.PENDING_APPROVAL,
        at: datetime = NOW,
        due_at: datetime | None = None,
        **fields: object,
    ) -> Workflow:
        plan = Plan(
            service=service,
            bottleneck=Bottleneck.ADMISSION_LIMITED,
            playbook="P04.1",
            title="Raise max_running_requests",
            change=None,
            executor="dry_run",
            confidence=1.0,
            evidence=(),
            rollback="put the old value back",
        )
        diagnosis = Diagnosis(service=service, at=at, status=DiagnosisStatus.DIAGNOSED)
        values = {"created_at": at, "updated_at": at, "due_at": due_at} | fields
        return Workflow.model_validate(
            {"id": workflow_id, "service": service, "state": state, "plan": plan, "diagnosis": diagnosis} | values
        )

    return make


@pytest.fixture
def make_event(clock: FakeClock) -> Callable[..., Event]:
    def make(actor: str = "optiinfra", kind: str = "created") -> Event:
        return Event(at=clock.now(), actor=actor, kind=kind)

    return make


@pytest.fixture
def world(store: Store, clock: Any, make_alert: Any, make_delivery: Any) -> Iterator[World]:
    with stub_prometheus() as prometheus:
        prometheus.series = limited_service()
        yield World(store, prometheus, clock, make_alert, make_delivery, parse_inventory(INVENTORY))
