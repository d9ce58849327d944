"""Bytes reserved for results to come, and indexes by which users' workloads are counted."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"

NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    for table in ("users", "workloads", "jobs"):
        op.add_column(table, sa.Column("reserved", NUMBER, server_default="0", nullable=False))
    present = sa.text("deleted IS NULL")
    op.create_index("workloads_present", "workloads", ["owner_id"], sqlite_where=present)
    empty = sa.text("deleted IS NULL AND accepted = 0")
    op.create_index("workloads_empty", "workloads", ["owner_id"], sqlite_where=empty)
    op.create_index("workloads_empty_since", "workloads", ["created"], sqlite_where=empty)
