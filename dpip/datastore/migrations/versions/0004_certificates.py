"""Workers' certificates, and what is held against workers."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "certificates",
        sa.Column("id", NUMBER, nullable=False),
        sa.Column("serial", sa.Text(), nullable=False),
        sa.Column("worker", sa.Text(), nullable=False),
        sa.Column("address", sa.Text(), nullable=False),
        sa.Column("issued", NUMBER, nullable=False),
        sa.Column("expires", NUMBER, nullable=False),
        sa.Column("revoked", NUMBER, nullable=True),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("serial"),
    )
    op.create_index("ix_certificates_worker", "certificates", ["worker"])
    op.create_index("ix_certificates_expires", "certificates", ["expires"])
    op.add_column("workers", sa.Column("revoked", NUMBER, nullable=True))
    op.add_column("workers", sa.Column("suspended", NUMBER, nullable=True))
    op.add_column("workers", sa.Column("offences", NUMBER, server_default="0", nullable=False))
