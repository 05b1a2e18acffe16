"""Effects: what finished workflows measured. Workflows that ended before this version have none."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

AT = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "effects",
        sa.Column("workflow_id", sa.String(32), nullable=False),
        sa.Column("metric", sa.Text, nullable=False),
        sa.Column("at", AT, nullable=False),
        sa.Column("service", sa.Text, nullable=False),
        sa.Column("playbook", sa.Text, nullable=False),
        sa.Column("engine", sa.Text, nullable=False),
        sa.Column("engine_version", sa.Text),
        sa.Column("gpu", sa.Text),
        sa.Column("bottleneck", sa.Text, nullable=False),
        sa.Column("knob", sa.Text, nullable=False),
        sa.Column("old", sa.Text, nullable=False),
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
        sa.PrimaryKeyConstraint("workflow_id", "metric", name="pk_effects"),
        sa.ForeignKeyConstraint(["workflow_id"], ["workflows.id"], name="fk_effects_workflow_id"),
    )
    op.create_index("ix_effects_at", "effects", ["at"])


def downgrade() -> None:
    op.drop_table("effects")
