"""Tables. `migrations/` creates them; a test holds both together.

`workflows.document` is the whole `model.Workflow`; the columns beside it are what queries and claims need. The two
partial unique indexes are promises of the design: one open incident an alert, one open workflow a service.
"""

from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Dialect
from sqlalchemy.types import TypeDecorator

from recommender.model import WorkflowState
from recommender.rollout.states import ACTIVE

# Open: in flight, or waiting for a person's first decision. Ordered, because the index below spells them out.
OPEN_STATES = tuple(state for state in WorkflowState if state in ACTIVE or state is WorkflowState.PENDING_APPROVAL)


class UtcDateTime(TypeDecorator[datetime]):
    """An aware UTC datetime. SQLite has no time zones: there it is stored as naive UTC, which sorts as text."""

    impl = sa.DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """To the database."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("an instant needs a time zone")
        utc = value.astimezone(UTC)
        return utc.replace(tzinfo=None) if dialect.name == "sqlite" else utc

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002 - SQLAlchemy's signature
        """From the database."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


metadata = sa.MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    }
)


def _partial(where: sa.ColumnElement[bool]) -> dict[str, Any]:
    return {"sqlite_where": where, "postgresql_where": where}


notifications = sa.Table(
    "notifications",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("delivery_key", sa.String(64), nullable=False, unique=True),
    sa.Column("source", sa.Text, nullable=False),
    sa.Column("receiver", sa.Text, nullable=False),
    sa.Column("group_key", sa.Text, nullable=False),
    sa.Column("status", sa.String(16), nullable=False),
    sa.Column("truncated_alerts", sa.Integer, nullable=False),
    sa.Column("alerts", sa.Integer, nullable=False),
    sa.Column("invalid", sa.JSON, nullable=False),  # [{"path": …, "reason": …}]
    sa.Column("deliveries", sa.Integer, nullable=False),
    sa.Column("first_received_at", UtcDateTime, nullable=False),
    sa.Column("last_received_at", UtcDateTime, nullable=False),
)

incidents = sa.Table(
    "incidents",
    metadata,
    sa.Column("id", sa.String(32), primary_key=True),
    sa.Column("fingerprint", sa.String(64), nullable=False),
    sa.Column("alertname", sa.Text, nullable=False),
    sa.Column("service", sa.Text, nullable=False),  # "" when the alert names none
    sa.Column("node", sa.Text, nullable=False),
    sa.Column("bottleneck", sa.Text, nullable=False),
    sa.Column("severity", sa.Text, nullable=False),
    sa.Column("labels", sa.JSON, nullable=False),
    sa.Column("annotations", sa.JSON, nullable=False),
    sa.Column("notification_id", sa.ForeignKey("notifications.id"), nullable=False),  # the first that told of it
    sa.Column("starts_at", UtcDateTime, nullable=False),
    sa.Column("ends_at", UtcDateTime),  # None while it fires
    sa.Column("received_at", UtcDateTime, nullable=False),
    sa.Column("last_seen", UtcDateTime, nullable=False),
    # What came of it. `due_at` is when to look (again); None: nothing more to do.
    sa.Column("due_at", UtcDateTime),
    sa.Column("attempts", sa.Integer, nullable=False),
    sa.Column("outcome", sa.Text, nullable=False),  # "" until looked at
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("processed_at", UtcDateTime),
    sa.Column("workflow_id", sa.String(32)),
    sa.Column("lease_owner", sa.Text),
    sa.Column("lease_until", UtcDateTime),
)
sa.Index(
    "uq_incidents_open_fingerprint", incidents.c.fingerprint, unique=True, **_partial(incidents.c.ends_at.is_(None))
)
sa.Index("ix_incidents_fingerprint_starts_at", incidents.c.fingerprint, incidents.c.starts_at)
sa.Index("ix_incidents_due_at", incidents.c.due_at)

workflows = sa.Table(
    "workflows",
    metadata,
    sa.Column("id", sa.String(32), primary_key=True),
    sa.Column("service", sa.Text, nullable=False),
    sa.Column("state", sa.String(32), nullable=False),
    sa.Column("version", sa.Integer, nullable=False),
    sa.Column("created_at", UtcDateTime, nullable=False),
    sa.Column("updated_at", UtcDateTime, nullable=False),
    sa.Column("due_at", UtcDateTime),
    sa.Column("lease_owner", sa.Text),
    sa.Column("lease_until", UtcDateTime),
    sa.Column("document", sa.Text, nullable=False),
)
sa.Index(
    "uq_workflows_open_service",
    workflows.c.service,
    unique=True,
    **_partial(sa.text("state IN ({})".format(", ".join(f"'{state}'" for state in OPEN_STATES)))),  # type: ignore[arg-type]  # text is accepted wherever a condition is
)
sa.Index("ix_workflows_due_at", workflows.c.due_at)
sa.Index("ix_workflows_service_updated_at", workflows.c.service, workflows.c.updated_at)

# What a finished workflow measured, a row a metric; `ledger.model.Effect`. Never pruned: it is small and it teaches.
effects = sa.Table(
    "effects",
    metadata,
    sa.Column("workflow_id", sa.ForeignKey("workflows.id"), primary_key=True),
    sa.Column("metric", sa.Text, primary_key=True),
    sa.Column("at", UtcDateTime, nullable=False),
    sa.Column("service", sa.Text, nullable=False),
    sa.Column("playbook", sa.Text, nullable=False),
    sa.Column("engine", sa.Text, nullable=False),
    sa.Column("engine_version", sa.Text),
    sa.Column("gpu", sa.Text),
    sa.Column("bottleneck", sa.Text, nullable=False),
    sa.Column("knob", sa.Text, nullable=False),
    sa.Column("old", sa.Text, nullable=False),  # JSON, as `new`
    sa.Column("new", sa.Text, nullable=False),
    sa.Column("direction", sa.String(16)),
    sa.Column("promised", sa.Boolean, nullable=False),
    sa.Column("predicted_low", sa.Double),
    sa.Column("predicted_mid", sa.Double),
    sa.Column("predicted_high", sa.Double),
    sa.Column("ratio", sa.Double, nullable=False),
    sa.Column("ratio_low", sa.Double),
    sa.Column("ratio_high", sa.Double),
    sa.Column("samples", sa.Integer),
    sa.Column("requests", sa.Double),
    sa.Column("basis", sa.String(16)),
    sa.Column("window_seconds", sa.Double),
    sa.Column("outcome", sa.String(16)),
    sa.Column("verdict", sa.String(16), nullable=False),
    sa.Column("state", sa.String(32), nullable=False),
)
sa.Index("ix_effects_at", effects.c.at)

audit = sa.Table(
    "audit",
    metadata,
    sa.Column("seq", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("at", sa.Text, nullable=False),  # ISO 8601, as hashed
    sa.Column("actor", sa.Text, nullable=False),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("workflow_id", sa.Text, nullable=False),
    sa.Column("from_state", sa.Text, nullable=False),
    sa.Column("to_state", sa.Text, nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("detail", sa.Text, nullable=False),  # canonical JSON, as hashed
    sa.Column("prev_hash", sa.String(64), nullable=False),
    sa.Column("hash", sa.String(64), nullable=False),
)
sa.Index("ix_audit_workflow_id", audit.c.workflow_id)

# One row: where the chain ends. Its lock orders writers on PostgreSQL, and a cut-off tail shows against it.
audit_head = sa.Table(
    "audit_head",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("seq", sa.Integer, nullable=False),
    sa.Column("hash", sa.String(64), nullable=False),
)

agents = sa.Table(
    "agents",
    metadata,
    sa.Column("id", sa.String(64), primary_key=True),
    sa.Column("token", sa.String(64), nullable=False, unique=True),  # its name; one token speaks for one agent
    sa.Column("registered_at", UtcDateTime, nullable=False),
    sa.Column("last_seen_at", UtcDateTime, nullable=False),
    sa.Column("registration", sa.Text, nullable=False),
    sa.Column("figures", sa.Text),  # None before the first heartbeat
)

heartbeats = sa.Table(
    "heartbeats",
    metadata,
    sa.Column("name", sa.String(64), primary_key=True),
    sa.Column("at", UtcDateTime, nullable=False),
)
