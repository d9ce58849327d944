"""How many results of a workload lack something of their originals."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"

NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.add_column("workloads", sa.Column("noticed", NUMBER, server_default="0", nullable=False))
