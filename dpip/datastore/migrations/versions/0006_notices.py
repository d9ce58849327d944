"""What a result lacks of its original, as JSON."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    op.add_column("images", sa.Column("notices", sa.Text(), nullable=True))
