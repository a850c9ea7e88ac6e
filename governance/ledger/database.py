"""Where the ledger's tables are: SQLite in one file, or PostgreSQL by URL. One writer at a time, readers beside it.

On SQLite a write is `BEGIN IMMEDIATE` in WAL mode with synchronous=FULL; on PostgreSQL it holds one advisory lock until
it ends. Either way a commit that returned is on the disk, and no two writers see the same last event. Every fault of
the database leaves here as a StoreFault that says what to do.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event, inspect, make_url, select, table, text
from sqlalchemy.exc import ArgumentError, DBAPIError, SQLAlchemyError

from governance.ledger.schema import REVISION, VERSION_TABLE
from tunegate_core.errors import BadInput, StoreFault, TunegateError

WAIT_SECONDS = 30
ADVISORY_LOCK = 0x74756E6567617465  # "tunegate"

HINTS = {
    "full": "free some space; nothing was recorded",
    "No space left": "free some space; nothing was recorded",
    "disk I/O error": "free some space; where there is enough, the disk is failing; nothing was recorded",
    "readonly": "set TUNEGATE_HOME or TUNEGATE_DATABASE to a place you can write",
    "read-only": "set TUNEGATE_HOME or TUNEGATE_DATABASE to a place you can write",
    "unable to open": "the folder must exist and be writable",
    "locked": f"another process held the ledger for more than {WAIT_SECONDS} s; try again when it is done",
    "lock timeout": f"another process held the ledger for more than {WAIT_SECONDS} s; try again when it is done",
    "malformed": "the file is damaged; restore a backup with 'tunegate restore'",
    "not a database": "the file is no ledger; restore a backup with 'tunegate restore'",
}


class Database:
    """Connections to the tables, migrated. Raises BadInput for a URL of another kind, StoreFault when out of reach."""

    def __init__(self, url: str):
        self.url = _parse(url)
        self.is_sqlite = self.url.get_backend_name() == "sqlite"
        self.engine = self._sqlite() if self.is_sqlite else self._postgresql()
        try:
            self._migrate()
        except TunegateError:
            self.engine.dispose()
            raise

    @property
    def where(self) -> str:
        """The place in words, without a password."""
        return str(self.url.database) if self.is_sqlite else self.url.render_as_string(hide_password=True)

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """One consistent view, for as long as the block lasts."""
        options = {} if self.is_sqlite else {"isolation_level": "REPEATABLE READ"}
        with self._translated(), self.engine.connect().execution_options(**options) as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """The one write at a time; committed and durable when the block ends, undone when it raises."""
        options = {"tunegate_write": True}
        with self._translated(), self.engine.connect().execution_options(**options) as connection, connection.begin():
            if not self.is_sqlite:
                connection.execute(text(f"SET LOCAL lock_timeout = '{WAIT_SECONDS}s'"))
                connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": ADVISORY_LOCK})
            yield connection

    def _sqlite(self) -> Engine:
        # sqlite3 would begin transactions by itself, too late; here every one begins where it is said.
        arguments = {"timeout": WAIT_SECONDS, "isolation_level": None}
        engine = create_engine(self.url, connect_args=arguments)
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
        return engine

    def _postgresql(self) -> Engine:
        return create_engine(self.url, connect_args={"client_encoding": "UTF8"})

    def _migrate(self) -> None:
        with self.reading() as connection:
            found = _version(connection)
        if found == REVISION:
            return
        with self.writing() as connection:  # of several that come at once, one migrates
            found = _version(connection)
            if found is not None and found > REVISION:
                raise StoreFault(f"the ledger at {self.where} has form {found}; this version knows {REVISION}; upgrade")
            if found != REVISION:
                _upgrade(connection)

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except SQLAlchemyError as error:
            found = str(error.orig if isinstance(error, DBAPIError) else error).strip()
            hint = next((hint for words, hint in HINTS.items() if words in found), "see that the database is reachable")
            raise StoreFault(f"the ledger at {self.where} can't be used: {found}; {hint}") from error


def _parse(url: str) -> URL:
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        raise BadInput("the database URL can't be read; expected sqlite:///FILE or postgresql://HOST/NAME") from error
    backend = parsed.get_backend_name()
    if backend in ("postgresql", "postgres"):
        return parsed.set(drivername="postgresql+psycopg")
    if backend != "sqlite" or not parsed.database or parsed.database == ":memory:":
        raise BadInput(f"the ledger can't lie at {parsed}; expected sqlite:///FILE or postgresql://HOST/NAME")
    return parsed


def _prepare_sqlite(connection: Any, _record: object) -> None:
    connection.text_factory = _lenient
    if connection.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
        _switch_to_wal(connection)
    connection.execute("PRAGMA synchronous=FULL")


def _lenient(data: bytes) -> str:
    """Damaged text is read, and reported. Runs for every text of every row."""
    return data.decode("utf-8", "replace")


def _switch_to_wal(connection: Any) -> None:
    """SQLite does not wait for other openers here, so we do."""
    until = time.monotonic() + WAIT_SECONDS
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            return
        except connection.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > until:
                raise
            time.sleep(0.02)


def _begin_sqlite(connection: Connection) -> None:
    writes = connection.get_execution_options().get("tunegate_write")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _version(connection: Connection) -> str | None:
    if not inspect(connection).has_table(VERSION_TABLE):
        return None
    return connection.execute(select(text("version_num")).select_from(table(VERSION_TABLE))).scalar()


def _upgrade(connection: Connection) -> None:
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
