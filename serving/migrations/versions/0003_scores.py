"""A judge's score of an answer."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Add the column; what was said before has none."""
    op.add_column("feedback", sa.Column("score", sa.Float))
