"""The first form: requests, feedback, their texts, what keys spent, and batches."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Create the tables."""
    _create_requests()
    _create_feedback()
    op.create_table(
        "texts",
        sa.Column("hash", sa.Text, primary_key=True),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("body", sa.LargeBinary, nullable=False),
    )
    op.create_index("texts_by_time", "texts", ["at"])
    op.create_table(
        "spent",
        sa.Column("key_id", sa.Text, primary_key=True),
        sa.Column("tokens", sa.BigInteger, nullable=False),
        sa.Column("micros", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "batches",
        sa.Column("number", NUMBER, primary_key=True),
        sa.Column("requests", sa.BigInteger, nullable=False),
        sa.Column("feedback", sa.BigInteger, nullable=False),
        sa.Column("rows", sa.Integer, nullable=False),
        sa.Column("root", sa.Text, nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("recorded", sa.Boolean, nullable=False),
        sa.Column("kept", sa.Boolean, nullable=False),
    )
    op.create_table(
        "mirrors",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("feedback", sa.BigInteger, nullable=False),
    )


def _create_requests() -> None:
    op.create_table(
        "requests",
        sa.Column("seq", NUMBER, primary_key=True),
        sa.Column("id", sa.Text, nullable=False, unique=True),
        sa.Column("at", sa.BigInteger, nullable=False),
        *(sa.Column(name, sa.Text, nullable=False) for name in ("key_id", "unit", "alias", "version", "arm")),
        sa.Column("epoch", sa.BigInteger, nullable=False),
        sa.Column("operation", sa.Text, nullable=False),
        sa.Column("stream", sa.Boolean, nullable=False),
        sa.Column("status", sa.Integer, nullable=False),
        sa.Column("code", sa.Text),
        sa.Column("finish", sa.Text),
        sa.Column("prompt_tokens", sa.Integer, nullable=False),
        sa.Column("output_tokens", sa.Integer, nullable=False),
        sa.Column("micros", sa.BigInteger, nullable=False),
        sa.Column("ttft_us", sa.BigInteger),
        sa.Column("itl_us", sa.BigInteger),
        sa.Column("total_us", sa.BigInteger, nullable=False),
        *(sa.Column(name, sa.Boolean, nullable=False) for name in ("refused", "empty", "truncated")),
        sa.Column("text", sa.Text),
        sqlite_autoincrement=True,
    )
    op.create_index("requests_by_alias", "requests", ["alias", "at"])


def _create_feedback() -> None:
    op.create_table(
        "feedback",
        sa.Column("seq", NUMBER, primary_key=True),
        sa.Column("request", sa.Text, nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("key_id", sa.Text, nullable=False),
        sa.Column("thumb", sa.Integer),
        sa.Column("rating", sa.Integer),
        sa.Column("text", sa.Text),
        sqlite_autoincrement=True,
    )
    op.create_index("feedback_by_request", "feedback", ["request"])
