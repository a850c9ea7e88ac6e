"""Where a gateway notes what it answered: tables of its own in one SQLite file, migrated by Alembic.

They can be lost without changing what was decided. Rows of `requests` and `feedback` are never changed; what was said
stands apart in `texts`, under a salted hash that the row holds, so that it can be erased. What is here is what the
newest migration leaves; a test compares the two.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Connection,
    Engine,
    Float,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    create_engine,
    event,
    inspect,
    select,
    table,
    text,
)
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from tunegate_core.errors import StoreFault

REVISION = "0003"
VERSION_TABLE = "serving_version"
WAIT_SECONDS = 5

NUMBER = BigInteger().with_variant(Integer(), "sqlite")
metadata = MetaData()

requests = Table(
    "requests",
    metadata,
    Column("seq", NUMBER, primary_key=True),
    Column("id", Text, nullable=False, unique=True),
    Column("at", BigInteger, nullable=False),  # milliseconds since 1970, when it came
    Column("key_id", Text, nullable=False),
    Column("unit", Text, nullable=False),  # whom the arm was chosen for, by `serving.pseudonyms`
    Column("alias", Text, nullable=False),
    Column("version", Text, nullable=False),
    Column("arm", Text, nullable=False),
    Column("epoch", BigInteger, nullable=False),
    Column("operation", Text, nullable=False),
    Column("stream", Boolean, nullable=False),
    Column("status", Integer, nullable=False),
    Column("code", Text),  # of the error, if it was one
    Column("finish", Text),
    Column("prompt_tokens", Integer, nullable=False),
    Column("output_tokens", Integer, nullable=False),
    Column("micros", BigInteger, nullable=False),
    Column("ttft_us", BigInteger),  # to the first token, microseconds
    Column("itl_us", BigInteger),  # mean between tokens
    Column("total_us", BigInteger, nullable=False),
    Column("refused", Boolean, nullable=False),
    Column("empty", Boolean, nullable=False),
    Column("truncated", Boolean, nullable=False),
    Column("text", Text),  # hash under which `texts` has prompt and answer
    sqlite_autoincrement=True,  # a number is never used twice, whatever was deleted
)
Index("requests_by_alias", requests.c.alias, requests.c.at)

feedback = Table(
    "feedback",
    metadata,
    Column("seq", NUMBER, primary_key=True),
    Column("request", Text, nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("key_id", Text, nullable=False),
    Column("thumb", Integer),  # 1 up, -1 down
    Column("rating", Integer),  # 1 to 5
    Column("text", Text),  # hash under which `texts` has a correction, a preferred answer or a comment
    Column("score", Float),  # a judge's, 0 to 1
    sqlite_autoincrement=True,
)
Index("feedback_by_request", feedback.c.request)

texts = Table(
    "texts",
    metadata,
    Column("hash", Text, primary_key=True),
    Column("at", BigInteger, nullable=False),
    Column("body", LargeBinary, nullable=False),  # canonical JSON with a salt
)
Index("texts_by_time", texts.c.at)

spent = Table(
    "spent",
    metadata,
    Column("key_id", Text, primary_key=True),
    Column("tokens", BigInteger, nullable=False),
    Column("micros", BigInteger, nullable=False),
)

batches = Table(
    "batches",
    metadata,
    Column("number", NUMBER, primary_key=True),
    Column("requests", BigInteger, nullable=False),  # the last row of `requests` in it
    Column("feedback", BigInteger, nullable=False),  # the last row of `feedback` in it
    Column("rows", Integer, nullable=False),
    Column("root", Text, nullable=False),  # RFC 6962, over the canonical JSON of its rows
    Column("at", BigInteger, nullable=False),
    Column("recorded", Boolean, nullable=False),
    Column("kept", Boolean, nullable=False),  # False: its rows were deleted when their time was over
)

mirrors = Table(
    "mirrors",
    metadata,
    Column("name", Text, primary_key=True),
    Column("feedback", BigInteger, nullable=False),  # the last row of `feedback` that was told there
)


class Tables:
    """Connections to the tables, migrated. Every fault of the database leaves here as a StoreFault."""

    def __init__(self, path: Path):
        self._path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StoreFault(f"can't make the folder {path.parent}: {error.strerror}") from error
        self._engine = _sqlite(path)
        with self.writing() as connection:
            self._migrate(connection)

    def close(self) -> None:
        """Drop the connections."""
        self._engine.dispose()

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """One consistent view."""
        with self._translated(), self._engine.connect() as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """One transaction; survives a killed process when the block has ended."""
        options = {"tunegate_write": True}
        with self._translated(), self._engine.connect().execution_options(**options) as connection, connection.begin():
            yield connection

    def _migrate(self, connection: Connection) -> None:
        has_version = inspect(connection).has_table(VERSION_TABLE)
        found = (
            connection.execute(select(text("version_num")).select_from(table(VERSION_TABLE))) if has_version else None
        )
        version = found.scalar() if found is not None else None
        if version is not None and version > REVISION:
            raise StoreFault(f"{self._path} has form {version}; this version knows {REVISION}; upgrade")
        if version != REVISION:
            _upgrade(connection)

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except SQLAlchemyError as error:
            found = str(error.orig if isinstance(error, DBAPIError) else type(error).__name__)
            raise StoreFault(f"the request records in {self._path} can't be used: {found}") from error


def _sqlite(path: Path) -> Engine:
    arguments = {"timeout": WAIT_SECONDS, "isolation_level": None}
    engine = create_engine(f"sqlite:///{path}", connect_args=arguments, hide_parameters=True)
    event.listen(engine, "connect", _prepare)
    event.listen(engine, "begin", _begin)
    return engine


def _prepare(connection: Any, _record: object) -> None:
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=NORMAL")  # a killed process loses nothing; a machine without power, moments


def _begin(connection: Connection) -> None:
    writes = connection.get_execution_options().get("tunegate_write")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _upgrade(connection: Connection) -> None:
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
