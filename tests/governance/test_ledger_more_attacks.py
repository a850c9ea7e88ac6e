"""Attacks on a log that go through its own ways in: replay, a crash while appending, two writers, an older form."""

import json
import multiprocessing
import shutil
import sqlite3
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import insert, text

from governance.keys import SigningKey, load_or_create
from governance.ledger import Ledger
from governance.ledger.hashes import grow, read_head
from governance.ledger.schema import REVISION, VERSION_TABLE, events
from tunegate_core.errors import BadInput, IntegrityError, StoreFault
from tunegate_core.proof.tree import leaf_hash

START = datetime(2026, 1, 1, tzinfo=UTC)
pytestmark = pytest.mark.usefixtures("nobody_is_signing")


def utc() -> datetime:
    return START


@pytest.fixture
def signed(sqlite_url: str, signer: SigningKey, anchor: Path, clock: Callable[[], datetime]) -> Any:
    opened = Ledger.open(sqlite_url, signer, anchor, clock)
    for number in range(12):
        opened.append("work", {"i": number}, subject=f"bot@{number}", key=f"k{number}")
        if number % 4 == 3:
            opened.checkpoint()
    yield opened
    opened.close()


def test_an_event_replayed_as_a_new_row_is_found(signed: Ledger, signer: SigningKey) -> None:
    """The bytes of an old event, copied to the end with every hash made as the ledger would."""
    with signed._database.writing() as connection:
        old = connection.execute(text("SELECT kind, subject, at, bytes FROM events WHERE seq = 5")).one()
        edge = list(read_head(connection, None).edge)
        leaf = leaf_hash(old.bytes)
        row = {"seq": 12, "kind": old.kind, "subject": old.subject, "key": None, "at": old.at, "leaf": leaf,
               "nodes": grow(edge, 12, leaf), "bytes": old.bytes}  # fmt: skip
        connection.execute(insert(events), row)
    (problem,) = signed.verify([signer.public_raw]).problems
    assert problem.first == problem.last == 12
    assert "the bytes say event 5" in problem.what


def test_the_same_event_sent_again_is_one_event(signed: Ledger, signer: SigningKey) -> None:
    before = signed.size()
    for _ in range(3):
        signed.append("work", {"i": 5}, subject="bot@5", key="k5")
    assert signed.size() == before
    with pytest.raises(IntegrityError, match="with another body"):
        signed.append("work", {"i": 6}, subject="bot@5", key="k5")


def test_an_old_note_replayed_as_the_newest_is_found(signed: Ledger, signer: SigningKey, anchor: Path) -> None:
    """A cut log with an old head put last in the anchor: the lines that remain still tell."""
    lines = anchor.read_text().splitlines()
    anchor.write_text("\n".join([*lines, lines[0]]) + "\n")
    with signed._database.writing() as connection:
        connection.execute(text("DELETE FROM events WHERE seq >= 4"))
        connection.execute(text("DELETE FROM checkpoints WHERE size > 4"))
    report = signed.verify([signer.public_raw])
    assert any("its tail was cut" in problem.what for problem in report.problems)


@pytest.mark.parametrize("cut", range(1, 12))
def test_however_many_last_events_are_deleted_it_is_seen(
    signed: Ledger, signer: SigningKey, anchor: Path, cut: int
) -> None:
    """A log of hashes alone still verifies after its last events are gone. The signed heads tell, in the anchor alone
    when somebody cleans the table too."""
    with signed._database.writing() as connection:
        connection.execute(text(f"DELETE FROM events WHERE seq >= {12 - cut}"))
        connection.execute(text(f"DELETE FROM checkpoints WHERE size > {12 - cut}"))
    report = signed.verify([signer.public_raw])
    tail = next(problem for problem in report.problems if "its tail was cut" in problem.what)
    assert (tail.first, tail.last) == (12 - cut, 11)
    with pytest.raises(IntegrityError, match="were signed; its tail was cut"):
        signed.checkpoint()


def crash(url: str, keys: Path, anchor: Path, after: str) -> None:
    """In a process of its own: append two events in one write, and die at a chosen moment, as by SIGKILL."""
    import os

    ledger = Ledger.open(url, load_or_create(keys, "ledger"), anchor, utc)
    if after == "anchor":
        from governance.ledger import signing

        signing._record = lambda *_: os._exit(9)
        ledger.append("work", {"i": 12})
        ledger.checkpoint()
    with ledger.write() as tx:
        tx.append("work", {"i": 12})
        if after == "flush":
            tx.append("work", {"i": 13})
            tx.flush()
        os._exit(9)


@pytest.mark.fault
@pytest.mark.parametrize(("after", "size"), [("append", 12), ("flush", 12), ("anchor", 13)])
def test_a_crash_in_the_middle_of_an_append_leaves_a_whole_log(
    signed: Ledger, signer: SigningKey, anchor: Path, sqlite_url: str, tmp_path: Path, after: str, size: int
) -> None:
    process = multiprocessing.get_context("spawn").Process(
        target=crash, args=(sqlite_url, tmp_path / "keys", anchor, after)
    )
    process.start()
    process.join(60)
    assert process.exitcode == 9
    assert signed.size() == size
    signed.checkpoint()  # mends a head that only the anchor has
    report = signed.verify([signer.public_raw])
    assert report.ok, report.problems
    signed.append("work", {"i": 99})
    assert signed.size() == size + 1


def write_many(url: str, keys: Path, anchor: Path, name: str, times: int) -> None:
    ledger = Ledger.open(url, load_or_create(keys, "ledger"), anchor, utc)
    for number in range(times):
        ledger.append("work", {"by": name, "i": number}, key=f"{name}/{number}")
        ledger.append("shared", {"i": number}, key=f"shared/{number}")
        if number % 5 == 0:
            ledger.checkpoint()


@pytest.mark.fault
def test_two_writers_who_sign_as_they_go(
    signed: Ledger, signer: SigningKey, anchor: Path, sqlite_url: str, tmp_path: Path
) -> None:
    """Two processes append and sign at once: one order, each event once, one head for each size."""
    start = multiprocessing.get_context("spawn").Process
    writers = [start(target=write_many, args=(sqlite_url, tmp_path / "keys", anchor, name, 25)) for name in "ab"]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(90)
        assert writer.exitcode == 0
    assert signed.size() == 12 + 3 * 25
    signed.checkpoint()
    report = signed.verify([signer.public_raw])
    assert report.ok, report.problems
    sizes = [json.loads(line).splitlines()[1] for line in anchor.read_text().splitlines()]
    assert len(sizes) == len(set(sizes))


def test_two_copies_of_one_log_that_went_apart_do_not_both_go_on(
    signed: Ledger, signer: SigningKey, anchor: Path, clock: Callable[[], datetime], tmp_path: Path
) -> None:
    """A copied database with the same key and the same anchor: the second to sign is stopped."""
    signed.close()
    copy = tmp_path / "copy.sqlite"
    shutil.copy2(tmp_path / "ledger.sqlite", copy)
    other = Ledger.open(f"sqlite:///{copy}", signer, anchor, clock)
    signed.append("work", {"side": 1})
    signed.checkpoint()
    other.append("work", {"side": 2})
    with pytest.raises(IntegrityError, match="are not those that were signed"):
        other.checkpoint()
    assert not other.verify([signer.public_raw]).ok
    assert signed.verify([signer.public_raw]).ok


@given(steps=st.lists(st.integers(-(10**6), 10**6), min_size=1, max_size=12))
@settings(max_examples=15, deadline=None)
def test_wherever_the_clock_goes_the_order_is_the_logs(
    steps: list[int], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("clock")
    moments = iter([START + timedelta(seconds=step) for step in steps] * 2)
    signer = load_or_create(folder / "keys", "ledger")
    ledger = Ledger.open(f"sqlite:///{folder / 'l.sqlite'}", signer, folder / "a.log", lambda: next(moments))
    for number, _ in enumerate(steps):
        ledger.append("work", {"i": number})
    ledger.checkpoint()
    assert [event.body["i"] for event in ledger.events()] == list(range(len(steps)))
    assert ledger.verify([signer.public_raw]).ok
    ledger.close()


def test_an_older_database_with_data_in_it_is_migrated(
    signed: Ledger, signer: SigningKey, anchor: Path, clock: Callable[[], datetime], tmp_path: Path
) -> None:
    """Every form there ever was, filled as it was then, is opened by this version with nothing lost."""
    from alembic.config import Config
    from alembic.script import ScriptDirectory

    from governance.ledger.database import Database

    folder = Path(Database.__module__.replace(".", "/")).parent
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parents[2] / folder / "migrations"))
    revisions = [script.revision for script in ScriptDirectory.from_config(config).walk_revisions()]
    assert revisions[0] == REVISION
    signed.close()
    for revision in revisions:
        old = tmp_path / f"old-{revision}.sqlite"
        _fill(old, revision, config, tmp_path / "ledger.sqlite")
        opened = Ledger.open(f"sqlite:///{old}", signer, anchor, clock)
        assert opened.size() == 12
        assert opened.verify([signer.public_raw]).ok
        assert opened.by_key("k7") is not None
        opened.append("work", {"i": 12})
        opened.close()
        with sqlite3.connect(old) as table:
            assert table.execute(f"SELECT version_num FROM {VERSION_TABLE}").fetchall() == [(REVISION,)]


def _fill(path: Path, revision: str, config: Any, source: Path) -> None:
    """A database of that form with the rows of another."""
    from alembic import command
    from sqlalchemy import create_engine

    engine = create_engine(f"sqlite:///{path}")
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, revision)
    engine.dispose()
    with sqlite3.connect(path) as table:
        table.execute("ATTACH ? AS old", (str(source),))
        for name in ("events", "checkpoints"):
            table.execute(f"INSERT INTO {name} SELECT * FROM old.{name}")


def test_a_database_of_no_known_form_is_not_touched(
    signed: Ledger, signer: SigningKey, anchor: Path, clock: Callable[[], datetime], tmp_path: Path
) -> None:
    signed.close()
    with sqlite3.connect(tmp_path / "ledger.sqlite") as table:
        table.execute(f"UPDATE {VERSION_TABLE} SET version_num = '9999'")
    before = (tmp_path / "ledger.sqlite").read_bytes()
    with pytest.raises((StoreFault, BadInput), match="upgrade"):
        Ledger.open(f"sqlite:///{tmp_path / 'ledger.sqlite'}", signer, anchor, clock)
    assert (tmp_path / "ledger.sqlite").read_bytes() == before
