"""Real parts for the foundation's tests: a store on disk, a clock that tests move, and small builders."""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from secrets import token_hex

import pytest
import sqlalchemy as sa

from recommender.intake.model import AlertStatus, Delivery, IncomingAlert
from recommender.model import Diagnosis, DiagnosisStatus, Plan, Workflow, WorkflowState
from recommender.store import Database, Store
from rules.catalog import Bottleneck

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


@pytest.fixture
def database_url(tmp_path: Path) -> Iterator[str]:
    """A fresh SQLite file; or a fresh database of the PostgreSQL server that OPTIINFRA_TEST_POSTGRES_URL names.

    The store's contract is the same on both: run test_store_workflows, test_store_audit, test_foundation_intake and
    test_foundation_pipeline with that variable set. The other files test SQLite itself.
    """
    server = os.environ.get("OPTIINFRA_TEST_POSTGRES_URL")
    if not server:
        yield f"sqlite:///{tmp_path}/optiinfra.db"
        return
    name = f"optiinfra_{token_hex(6)}"
    engine = sa.create_engine(server, isolation_level="AUTOCOMMIT", poolclass=sa.NullPool)
    with engine.connect() as connection:
        connection.execute(sa.text(f"CREATE DATABASE {name}"))
    yield sa.make_url(server).set(database=name).render_as_string(hide_password=False)
    with engine.connect() as connection:
        connection.execute(sa.text(f"DROP DATABASE {name} WITH (FORCE)"))


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
