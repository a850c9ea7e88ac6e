"""Files and batches."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Create both tables."""
    op.create_table(
        "files",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("key_id", sa.Text, nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("purpose", sa.Text, nullable=False),
        sa.Column("bytes", sa.BigInteger, nullable=False),
    )
    op.create_index("files_by_key", "files", ["key_id", "at"])
    op.create_table(
        "jobs",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("key_id", sa.Text, nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
        *(sa.Column(name, sa.Text, nullable=False) for name in ("endpoint", "input", "output", "errors", "status")),
        sa.Column("begun", sa.BigInteger),
        sa.Column("ended", sa.BigInteger),
        *(sa.Column(name, sa.Integer, nullable=False) for name in ("total", "completed", "failed")),
        sa.Column("problems", sa.Text, nullable=False),
        sa.Column("notes", sa.Text),
    )
    op.create_index("jobs_by_key", "jobs", ["key_id", "at"])
