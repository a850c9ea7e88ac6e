"""The first form: events and checkpoints."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Create both tables."""
    op.create_table(
        "events",
        sa.Column("seq", NUMBER, primary_key=True, autoincrement=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("subject", sa.Text),
        sa.Column("key", sa.Text),
        sa.Column("at", sa.Text, nullable=False),
        sa.Column("leaf", sa.LargeBinary, nullable=False),
        sa.Column("nodes", sa.LargeBinary, nullable=False),
        sa.Column("bytes", sa.LargeBinary, nullable=False),
    )
    keyed, placed = sa.text("key IS NOT NULL"), sa.text("subject IS NOT NULL")
    op.create_index("events_by_key", "events", ["key"], unique=True, sqlite_where=keyed, postgresql_where=keyed)
    op.create_index("events_by_subject", "events", ["subject", "seq"], sqlite_where=placed, postgresql_where=placed)
    op.create_index("events_by_kind", "events", ["kind", "seq"])
    op.create_table(
        "checkpoints",
        sa.Column("size", NUMBER, primary_key=True, autoincrement=False),
        sa.Column("root", sa.LargeBinary, nullable=False),
        sa.Column("note", sa.Text, nullable=False),
    )
