"""Notifications, incidents, workflows, audit chain, heartbeats."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

AT = sa.DateTime(timezone=True)
OPEN_WORKFLOW = sa.text(
    "state IN ('pending_approval', 'approved', 'canary', 'rolling_out', 'validating', 'rolling_back')"
)
OPEN_INCIDENT = sa.text("ends_at IS NULL")


def upgrade() -> None:
    op.create_table(
        "notifications",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("delivery_key", sa.String(64), nullable=False),
        sa.Column("source", sa.Text, nullable=False),
        sa.Column("receiver", sa.Text, nullable=False),
        sa.Column("group_key", sa.Text, nullable=False),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("truncated_alerts", sa.Integer, nullable=False),
        sa.Column("alerts", sa.Integer, nullable=False),
        sa.Column("invalid", sa.JSON, nullable=False),
        sa.Column("deliveries", sa.Integer, nullable=False),
        sa.Column("first_received_at", AT, nullable=False),
        sa.Column("last_received_at", AT, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_notifications"),
        sa.UniqueConstraint("delivery_key", name="uq_notifications_delivery_key"),
    )
    op.create_table(
        "incidents",
        sa.Column("id", sa.String(32), nullable=False),
        sa.Column("fingerprint", sa.String(64), nullable=False),
        sa.Column("alertname", sa.Text, nullable=False),
        sa.Column("service", sa.Text, nullable=False),
        sa.Column("node", sa.Text, nullable=False),
        sa.Column("bottleneck", sa.Text, nullable=False),
        sa.Column("severity", sa.Text, nullable=False),
        sa.Column("labels", sa.JSON, nullable=False),
        sa.Column("annotations", sa.JSON, nullable=False),
        sa.Column("notification_id", sa.Integer, nullable=False),
        sa.Column("starts_at", AT, nullable=False),
        sa.Column("ends_at", AT),
        sa.Column("received_at", AT, nullable=False),
        sa.Column("last_seen", AT, nullable=False),
        sa.Column("due_at", AT),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("outcome", sa.Text, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("processed_at", AT),
        sa.Column("workflow_id", sa.String(32)),
        sa.Column("lease_owner", sa.Text),
        sa.Column("lease_until", AT),
        sa.PrimaryKeyConstraint("id", name="pk_incidents"),
        sa.ForeignKeyConstraint(["notification_id"], ["notifications.id"], name="fk_incidents_notification_id"),
    )
    op.create_index(
        "uq_incidents_open_fingerprint",
        "incidents",
        ["fingerprint"],
        unique=True,
        sqlite_where=OPEN_INCIDENT,
        postgresql_where=OPEN_INCIDENT,
    )
    op.create_index("ix_incidents_fingerprint_starts_at", "incidents", ["fingerprint", "starts_at"])
    op.create_index("ix_incidents_due_at", "incidents", ["due_at"])
    op.create_table(
        "workflows",
        sa.Column("id", sa.String(32), nullable=False),
        sa.Column("service", sa.Text, nullable=False),
        sa.Column("state", sa.String(32), nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("created_at", AT, nullable=False),
        sa.Column("updated_at", AT, nullable=False),
        sa.Column("due_at", AT),
        sa.Column("lease_owner", sa.Text),
        sa.Column("lease_until", AT),
        sa.Column("document", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_workflows"),
    )
    op.create_index(
        "uq_workflows_open_service",
        "workflows",
        ["service"],
        unique=True,
        sqlite_where=OPEN_WORKFLOW,
        postgresql_where=OPEN_WORKFLOW,
    )
    op.create_index("ix_workflows_due_at", "workflows", ["due_at"])
    op.create_index("ix_workflows_service_updated_at", "workflows", ["service", "updated_at"])
    op.create_table(
        "audit",
        sa.Column("seq", sa.Integer, autoincrement=False, nullable=False),
        sa.Column("at", sa.Text, nullable=False),
        sa.Column("actor", sa.Text, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("workflow_id", sa.Text, nullable=False),
        sa.Column("from_state", sa.Text, nullable=False),
        sa.Column("to_state", sa.Text, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("detail", sa.Text, nullable=False),
        sa.Column("prev_hash", sa.String(64), nullable=False),
        sa.Column("hash", sa.String(64), nullable=False),
        sa.PrimaryKeyConstraint("seq", name="pk_audit"),
    )
    op.create_index("ix_audit_workflow_id", "audit", ["workflow_id"])
    head = op.create_table(
        "audit_head",
        sa.Column("id", sa.Integer, autoincrement=False, nullable=False),
        sa.Column("seq", sa.Integer, nullable=False),
        sa.Column("hash", sa.String(64), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_audit_head"),
    )
    op.bulk_insert(head, [{"id": 1, "seq": 0, "hash": "0" * 64}])
    op.create_table(
        "heartbeats",
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("at", AT, nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_heartbeats"),
    )


def downgrade() -> None:
    for table in ("heartbeats", "audit_head", "audit", "workflows", "incidents", "notifications"):
        op.drop_table(table)
