"""How long a workload lay completed before it was opened again, and the presets of users."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"

NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.add_column("workloads", sa.Column("idle", NUMBER, server_default="0", nullable=False))
    op.create_table(
        "presets",
        sa.Column("id", NUMBER, primary_key=True),
        sa.Column("owner_id", NUMBER, sa.ForeignKey("users.id", ondelete="CASCADE"), nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("spec", sa.Text, nullable=False),
        sa.Column("created", NUMBER, nullable=False),
        sa.UniqueConstraint("owner_id", "name", name="presets_name"),
    )
