"""The first tables."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def _where(condition: str) -> dict[str, Any]:
    return {"sqlite_where": sa.text(condition), "postgresql_where": sa.text(condition)}


def upgrade() -> None:
    op.create_table(
        "activity",
        sa.Column("id", NUMBER, nullable=False),
        sa.Column("at", NUMBER, nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_activity_at", "activity", ["at"])
    op.create_table(
        "users",
        sa.Column("id", NUMBER, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("password_hash", sa.Text(), nullable=False),
        sa.Column("created", NUMBER, nullable=False),
        sa.Column("quota", NUMBER, nullable=True),
        sa.Column("used", NUMBER, server_default="0", nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("name"),
    )
    op.create_table(
        "workers",
        sa.Column("id", NUMBER, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("info", sa.Text(), nullable=False),
        sa.Column("fingerprint", sa.Text(), nullable=False),
        sa.Column("address", sa.Text(), nullable=False),
        sa.Column("first_seen", NUMBER, nullable=False),
        sa.Column("last_seen", NUMBER, nullable=False),
        sa.Column("joined", sa.Boolean(), nullable=False),
        sa.Column("done", NUMBER, server_default="0", nullable=False),
        sa.Column("failed", NUMBER, server_default="0", nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("name"),
    )
    op.create_index("ix_workers_joined", "workers", ["joined"])
    op.create_table(
        "keys",
        sa.Column("id", NUMBER, nullable=False),
        sa.Column("owner_id", NUMBER, nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("fingerprint", sa.Text(), nullable=False),
        sa.Column("answer", sa.Text(), nullable=False),
        sa.Column("created", NUMBER, nullable=False),
        sa.ForeignKeyConstraint(["owner_id"], ["users.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("owner_id", "key", name="keys_name"),
    )
    op.create_index("ix_keys_created", "keys", ["created"])
    op.create_table(
        "tokens",
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("user_id", NUMBER, nullable=False),
        sa.Column("created", NUMBER, nullable=False),
        sa.Column("expires", NUMBER, nullable=False),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("digest"),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_tokens_expires", "tokens", ["expires"])
    op.create_index("ix_tokens_user_id", "tokens", ["user_id"])
    op.create_table(
        "workloads",
        sa.Column("id", NUMBER, nullable=False),
        sa.Column("public", sa.Text(), nullable=False),
        sa.Column("owner_id", NUMBER, nullable=True),
        sa.Column("spec", sa.Text(), nullable=False),
        sa.Column("directory", sa.Text(), nullable=False),
        sa.Column("created", NUMBER, nullable=False),
        sa.Column("accepted", NUMBER, server_default="0", nullable=False),
        sa.Column("filtered", NUMBER, server_default="0", nullable=False),
        sa.Column("failed", NUMBER, server_default="0", nullable=False),
        sa.Column("size", NUMBER, server_default="0", nullable=False),
        sa.Column("next_seq", NUMBER, server_default="0", nullable=False),
        sa.Column("version", NUMBER, server_default="0", nullable=False),
        sa.Column("finished", NUMBER, nullable=True),
        sa.Column("deleted", NUMBER, nullable=True),
        sa.ForeignKeyConstraint(["owner_id"], ["users.id"], ondelete="SET NULL"),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("directory"),
        sa.UniqueConstraint("public"),
    )
    op.create_index("ix_workloads_owner_id", "workloads", ["owner_id"])
    op.create_index(
        "workloads_deleted",
        "workloads",
        ["deleted"],
        sqlite_where=sa.text("deleted IS NOT NULL"),
        postgresql_where=sa.text("deleted IS NOT NULL"),
    )
    op.create_index("workloads_finished", "workloads", ["finished"], **_where("deleted IS NULL"))
    op.create_index(
        "workloads_unfinished", "workloads", ["owner_id"], **_where("deleted IS NULL AND finished IS NULL")
    )
    op.create_table(
        "images",
        sa.Column("id", NUMBER, nullable=False),
        sa.Column("public", sa.Text(), nullable=False),
        sa.Column("workload_id", NUMBER, nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("seq", NUMBER, nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("size", NUMBER, nullable=False),
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.Column("format", sa.Text(), nullable=False),
        sa.Column("content_type", sa.Text(), nullable=False),
        sa.Column("width", NUMBER, nullable=False),
        sa.Column("height", NUMBER, nullable=False),
        sa.Column("decoded_bytes", NUMBER, nullable=False),
        sa.Column("name", sa.Text(), nullable=True),
        sa.Column("created", NUMBER, nullable=False),
        sa.ForeignKeyConstraint(["workload_id"], ["workloads.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("public"),
        sa.UniqueConstraint("workload_id", "type", "seq", name="images_place"),
    )
    op.create_table(
        "purges",
        sa.Column("workload_id", NUMBER, nullable=False),
        sa.ForeignKeyConstraint(["workload_id"], ["workloads.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("workload_id"),
    )
    op.create_table(
        "jobs",
        sa.Column("id", NUMBER, nullable=False),
        sa.Column("workload_id", NUMBER, nullable=False),
        sa.Column("original_id", NUMBER, nullable=False),
        sa.Column("seq", NUMBER, nullable=False),
        sa.Column("result", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("pixels", NUMBER, nullable=False),
        sa.Column("decoded_bytes", NUMBER, nullable=False),
        sa.Column("attempt", NUMBER, server_default="0", nullable=False),
        sa.Column("crashes", NUMBER, server_default="0", nullable=False),
        sa.Column("losses", NUMBER, server_default="0", nullable=False),
        sa.Column("nonce", sa.Text(), nullable=True),
        sa.Column("worker", sa.Text(), nullable=True),
        sa.Column("leased", NUMBER, nullable=True),
        sa.Column("code", sa.Text(), nullable=True),
        sa.Column("detail", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["original_id"], ["images.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("original_id"),
        sqlite_autoincrement=True,
    )
    op.create_index("jobs_failed", "jobs", ["workload_id", "seq"], **_where("code IS NOT NULL"))
    op.create_index(
        "jobs_leased",
        "jobs",
        ["id"],
        sqlite_where=sa.text("state = 'leased'"),
        postgresql_where=sa.text("state = 'leased'"),
    )
    op.create_index(
        "jobs_waiting",
        "jobs",
        ["id"],
        sqlite_where=sa.text("state = 'waiting'"),
        postgresql_where=sa.text("state = 'waiting'"),
    )
    op.create_table(
        "attempts",
        sa.Column("job_id", NUMBER, nullable=False),
        sa.Column("attempt", NUMBER, nullable=False),
        sa.Column("nonce", sa.Text(), nullable=False),
        sa.Column("worker", sa.Text(), nullable=False),
        sa.Column("fingerprint", sa.Text(), nullable=True),
        sa.Column("started", NUMBER, nullable=False),
        sa.Column("ended", NUMBER, nullable=False),
        sa.Column("outcome", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("job_id", "attempt"),
        sqlite_with_rowid=False,
    )
