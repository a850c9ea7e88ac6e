"""Passwords: kept as argon2id only, throttled, and losable."""

import hashlib
import sqlite3
import stat
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from governance.passwords import FORGOTTEN, FREE, NOBODY, PAUSE, Passwords
from tests.conftest import quick_passwords
from tunegate_core.errors import BadInput, StoreFault

NOW = datetime(2026, 1, 1, tzinfo=UTC)
GOOD = "correct horse battery"


@pytest.fixture(autouse=True)
def quick() -> Iterator[None]:
    """For every test here."""
    with quick_passwords():
        yield


@pytest.fixture
def table(tmp_path: Path) -> Passwords:
    found = Passwords(tmp_path / "passwords.sqlite")
    found.set("u1", GOOD)
    return found


def test_only_the_right_one_of_the_right_user(table: Passwords) -> None:
    assert table.verify("u1", GOOD)
    for user, text in (("u1", GOOD + " "), ("u1", ""), ("u2", GOOD), (None, GOOD), ("u1", GOOD.upper())):
        assert not table.verify(user, text)


def test_the_file_holds_argon2id_and_is_the_owners_alone(table: Passwords) -> None:
    data = table.path.read_bytes()
    assert b"$argon2id$" in data
    assert GOOD.encode() not in data
    assert stat.S_IMODE(table.path.stat().st_mode) == 0o600


@pytest.mark.parametrize("wrong", ["", "short", "a" * 11, "aaaaaaaaaaaaaaaa", "x" * 129, "abcabcabcabcabc"])
def test_weak_ones_are_refused(table: Passwords, wrong: str) -> None:
    with pytest.raises(BadInput, match="12 to 128 characters"):
        table.set("u1", wrong)
    assert table.verify("u1", GOOD)


def test_what_looks_the_same_is_the_same(table: Passwords) -> None:
    table.set("u1", "Cafe\u0301 au lait, s'il")
    assert table.verify("u1", "Caf\u00e9 au lait, s'il")


@pytest.mark.parametrize("name", ["rita", "nobody"])
def test_after_some_wrong_ones_one_must_wait(table: Passwords, name: str) -> None:
    """Whether or not there is such a user: the table knows names only."""
    for _ in range(FREE):
        assert table.try_now(name, NOW) == 0
    assert table.try_now(name, NOW) == PAUSE.total_seconds()
    assert table.try_now("another", NOW) == 0
    assert table.try_now(name, NOW - timedelta(days=1)) == PAUSE.total_seconds()  # a clock set back opens nothing
    assert table.try_now(name, NOW + PAUSE) == 0
    assert table.try_now(name, NOW + PAUSE) == PAUSE.total_seconds()
    table.right(name)
    assert table.try_now(name, NOW + PAUSE) == 0


def test_tries_are_forgotten_and_say_nothing_of_what_was_typed(table: Passwords) -> None:
    for _ in range(FREE + 1):
        table.try_now(GOOD, NOW)
    data = table.path.read_bytes()
    assert GOOD.encode() not in data and hashlib.sha256(GOOD.encode()).hexdigest()[:8].encode() not in data
    assert table.try_now(GOOD, NOW + FORGOTTEN + timedelta(seconds=1)) == 0
    with closing(sqlite3.connect(table.path)) as opened:
        assert opened.execute("SELECT wrong FROM tries").fetchall() == [(1,)]


def test_many_at_once_are_as_many_tries(table: Passwords) -> None:
    with ThreadPoolExecutor(8) as pool:
        waits = list(pool.map(lambda _: table.try_now("rita", NOW), range(40)))
    assert waits.count(0.0) == FREE


def test_a_table_of_the_version_before_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "passwords.sqlite"
    with closing(sqlite3.connect(path)) as opened, opened:
        opened.execute(
            "CREATE TABLE passwords "
            "(user_id TEXT PRIMARY KEY, hash TEXT NOT NULL, wrong INTEGER NOT NULL DEFAULT 0, wrong_at TEXT)"
        )
    table = Passwords(path)
    table.set("u1", GOOD)
    assert table.verify("u1", GOOD) and table.has("u1")


def test_a_hash_with_other_parameters_is_made_anew(table: Passwords, monkeypatch: pytest.MonkeyPatch) -> None:
    import argon2

    before = table.path.read_bytes()
    other = type(argon2.PasswordHasher())(time_cost=2, memory_cost=64, parallelism=1)
    monkeypatch.setattr(argon2, "PasswordHasher", lambda: other)
    assert table.verify("u1", GOOD)
    assert b"t=2" in table.path.read_bytes()
    assert b"t=2" not in before
    assert table.verify("u1", GOOD)


def test_nobodys_hash_takes_as_long_as_anybodys() -> None:
    import argon2

    assert argon2.extract_parameters(NOBODY) == argon2.profiles.RFC_9106_LOW_MEMORY
    assert argon2.extract_parameters(NOBODY) == argon2.profiles.get_default_parameters()


def test_the_file_may_be_lost(table: Passwords) -> None:
    table.path.unlink()
    assert not table.verify("u1", GOOD)
    table.set("u1", GOOD)
    assert table.verify("u1", GOOD)
    table.forget("u1")
    assert not table.has("u1")


def test_a_damaged_file_says_so(table: Passwords) -> None:
    table.path.write_bytes(b"no database" * 100)
    with pytest.raises(StoreFault, match=r"can't be used.*remove it"):
        table.verify("u1", GOOD)
