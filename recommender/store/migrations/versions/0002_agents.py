"""Agents: exporters that registered."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

AT = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "agents",
        sa.Column("id", sa.String(64), nullable=False),
        sa.Column("token", sa.String(64), nullable=False),
        sa.Column("registered_at", AT, nullable=False),
        sa.Column("last_seen_at", AT, nullable=False),
        sa.Column("registration", sa.Text, nullable=False),
        sa.Column("figures", sa.Text),
        sa.PrimaryKeyConstraint("id", name="pk_agents"),
        sa.UniqueConstraint("token", name="uq_agents_token"),
    )


def downgrade() -> None:
    op.drop_table("agents")
