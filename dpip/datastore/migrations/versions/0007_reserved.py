"""Bytes reserved for results to come, and indexes by which users' workloads are counted."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"

NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    for table in ("users", "workloads", "jobs"):
        op.add_column(table, sa.Column("reserved", NUMBER, server_default="0", nullable=False))
    for name, column, condition in (
        ("workloads_present", "owner_id", "deleted IS NULL"),
        ("workloads_empty", "owner_id", "deleted IS NULL AND accepted = 0"),
        ("workloads_empty_since", "created", "deleted IS NULL AND accepted = 0"),
    ):
        where = sa.text(condition)
        op.create_index(name, "workloads", [column], sqlite_where=where, postgresql_where=where)
