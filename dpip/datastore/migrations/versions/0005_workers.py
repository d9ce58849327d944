"""Indexes to find the workers that were gone first, and those that are kept out."""

from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.drop_index("ix_workers_joined", "workers")
    op.create_index("workers_seen", "workers", ["joined", "last_seen"])
    op.create_index("ix_workers_suspended", "workers", ["suspended"])
