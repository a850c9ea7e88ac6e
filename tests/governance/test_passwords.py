"""Passwords: kept as argon2id only, throttled, and losable."""

import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from governance.passwords import FREE, PAUSE, Passwords
from tunegate_core.errors import BadInput, StoreFault

NOW = datetime(2026, 1, 1, tzinfo=UTC)
GOOD = "correct horse battery"


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same algorithm with small parameters."""
    import argon2

    made = argon2.PasswordHasher
    monkeypatch.setattr(argon2, "PasswordHasher", lambda: made(time_cost=1, memory_cost=64, parallelism=1))


@pytest.fixture
def table(tmp_path: Path) -> Passwords:
    found = Passwords(tmp_path / "passwords.sqlite")
    found.set("u1", GOOD)
    return found


def test_only_the_right_one_of_the_right_user(table: Passwords) -> None:
    assert table.verify("u1", GOOD, NOW)
    for user, text in (("u1", GOOD + " "), ("u1", ""), ("u2", GOOD), (None, GOOD), ("u1", GOOD.upper())):
        assert not table.verify(user, text, NOW)


def test_the_file_holds_argon2id_and_is_the_owners_alone(table: Passwords) -> None:
    data = table.path.read_bytes()
    assert b"$argon2id$" in data
    assert GOOD.encode() not in data
    assert stat.S_IMODE(table.path.stat().st_mode) == 0o600


@pytest.mark.parametrize("wrong", ["", "short", "a" * 11, "aaaaaaaaaaaaaaaa", "x" * 129, "abcabcabcabcabc"])
def test_weak_ones_are_refused(table: Passwords, wrong: str) -> None:
    with pytest.raises(BadInput, match="12 to 128 characters"):
        table.set("u1", wrong)
    assert table.verify("u1", GOOD, NOW)


def test_what_looks_the_same_is_the_same(table: Passwords) -> None:
    table.set("u1", "Cafe\u0301 au lait, s'il")
    assert table.verify("u1", "Caf\u00e9 au lait, s'il", NOW)


def test_after_some_wrong_ones_one_must_wait(table: Passwords) -> None:
    for _ in range(FREE):
        assert table.wait("u1", NOW) == 0
        assert not table.verify("u1", "wrong wrong wrong", NOW)
    assert table.wait("u1", NOW) == PAUSE.total_seconds()
    assert table.wait("u1", NOW + PAUSE) == 0
    assert table.wait("u1", NOW - timedelta(days=1)) == PAUSE.total_seconds()  # a clock set back opens nothing
    assert table.verify("u1", GOOD, NOW + PAUSE)
    assert table.wait("u1", NOW) == 0
    assert table.wait("nobody", NOW) == 0


def test_a_hash_with_other_parameters_is_made_anew(table: Passwords, monkeypatch: pytest.MonkeyPatch) -> None:
    import argon2

    before = table.path.read_bytes()
    other = type(argon2.PasswordHasher())(time_cost=2, memory_cost=64, parallelism=1)
    monkeypatch.setattr(argon2, "PasswordHasher", lambda: other)
    assert table.verify("u1", GOOD, NOW)
    assert b"t=2" in table.path.read_bytes()
    assert b"t=2" not in before
    assert table.verify("u1", GOOD, NOW)


def test_the_file_may_be_lost(table: Passwords) -> None:
    table.path.unlink()
    assert not table.verify("u1", GOOD, NOW)
    table.set("u1", GOOD)
    assert table.verify("u1", GOOD, NOW)
    table.forget("u1")
    assert not table.has("u1")


def test_a_damaged_file_says_so(table: Passwords) -> None:
    table.path.write_bytes(b"no database" * 100)
    with pytest.raises(StoreFault, match=r"can't be used.*remove it"):
        table.verify("u1", GOOD, NOW)
