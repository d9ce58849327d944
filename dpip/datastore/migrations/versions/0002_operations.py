"""Cancelling, retrying and sealing workloads; tokens with names."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.add_column("tokens", sa.Column("name", sa.Text(), nullable=True))
    op.add_column("workloads", sa.Column("retried", NUMBER, server_default="0", nullable=False))
    op.add_column("workloads", sa.Column("sealed", NUMBER, nullable=True))
    _several_jobs_for_an_original()


def _several_jobs_for_an_original() -> None:
    """Job numbers go on behind the last one ever used, also when its job is gone."""
    connection = op.get_bind()
    if connection.dialect.name == "postgresql":
        op.drop_constraint("jobs_original_id_key", "jobs")
        op.create_index("ix_jobs_original_id", "jobs", ["original_id"])
        op.add_column("jobs", sa.Column("retried", NUMBER, nullable=True))
        return
    last = connection.scalar(sa.text("SELECT seq FROM sqlite_sequence WHERE name = 'jobs'"))
    names = {"uq": "uq_%(table_name)s_%(column_0_name)s"}  # the constraint has no name
    with op.batch_alter_table(
        "jobs", recreate="always", naming_convention=names, table_kwargs={"sqlite_autoincrement": True}
    ) as table:
        table.drop_constraint("uq_jobs_original_id", type_="unique")
        table.create_index("ix_jobs_original_id", ["original_id"])
        table.add_column(sa.Column("retried", NUMBER, nullable=True))
    if last is not None:
        connection.execute(sa.text("DELETE FROM sqlite_sequence WHERE name = 'jobs'"))
        connection.execute(sa.text("INSERT INTO sqlite_sequence VALUES ('jobs', :last)"), {"last": last})
