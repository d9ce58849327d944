"""What a job needs of memory is reckoned once, at its upload; here, for those that wait, by their size."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"

NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_BYTES_PER_DECODED = 20  # the most that any step took of its picture
_BASE = 16 * 2**20


def upgrade() -> None:
    for table in ("images", "jobs"):
        op.alter_column(table, "decoded_bytes", new_column_name="memory")
        rows = sa.table(table, sa.column("memory"))
        op.execute(rows.update().values(memory=rows.c.memory * _BYTES_PER_DECODED + _BASE))
    images = sa.table("images", sa.column("memory"), sa.column("type"))
    op.execute(images.update().where(images.c.type == "filtered").values(memory=0))
    op.add_column("images", sa.Column("channels", NUMBER, server_default="4", nullable=False))
    op.add_column("images", sa.Column("bits", NUMBER, server_default="16", nullable=False))
