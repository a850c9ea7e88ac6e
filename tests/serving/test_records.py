"""Records survive a full disk and a killed process, leave digests behind, and forget what they may not keep."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, func, inspect, select, update
from sqlalchemy import text as sql

from serving import records as records_module
from serving import sealing
from serving.quota import Amount
from serving.records import Records, Text, keep
from serving.sealing import Overdue, Retention, Sealer, erase, forget, overdue, record, seal, verify
from serving.tables import Tables, feedback, metadata, requests, texts
from tests.serving.conftest import wait_until
from tunegate_core.canonical import canonical_json
from tunegate_core.errors import IntegrityError, NotFound, StoreFault
from tunegate_core.proof.tree import leaf_hash, tree_root
from tunegate_core.redact import redact

ROW = {
    "at": 1, "key_id": "k", "unit": "u",
    "alias": "bot", "version": "bot@1", "arm": "champion", "epoch": 1, "operation": "chat",
    "stream": False, "status": 200, "code": None, "finish": "stop", "prompt_tokens": 3, "output_tokens": 4, "micros": 5,
    "ttft_us": None, "itl_us": None, "total_us": 9, "refused": False, "empty": False, "truncated": False, "text": None,
}  # fmt: skip
DAY = 86_400_000


@pytest.fixture
def tables(tmp_path: Path) -> Iterator[Tables]:
    opened = Tables(tmp_path / "records.sqlite")
    yield opened
    opened.close()


@pytest.fixture
def records(tables: Tables) -> Iterator[Records]:
    opened = Records(tables)
    opened.start()
    yield opened
    with suppress(RuntimeError):
        opened.close()


def row(number: int, **changes: Any) -> dict[str, Any]:
    return {**ROW, "id": f"r{number}", **changes}


def count(tables: Tables, table: Any = requests) -> int:
    with tables.reading() as connection:
        return int(connection.execute(select(func.count()).select_from(table)).scalar_one())


def test_migrations_leave_what_the_code_expects(tables: Tables, tmp_path: Path) -> None:
    fresh = create_engine(f"sqlite:///{tmp_path / 'fresh.sqlite'}")
    metadata.create_all(fresh)
    migrated = create_engine(f"sqlite:///{tmp_path / 'records.sqlite'}")
    for table in metadata.tables:
        one, other = (
            {(c["name"], str(c["type"]), c["nullable"]) for c in inspect(engine).get_columns(table)}
            for engine in (fresh, migrated)
        )
        assert one == other
        keys = [inspect(engine).get_pk_constraint(table)["constrained_columns"] for engine in (fresh, migrated)]
        assert keys[0] == keys[1]
        indexes = [{i["name"]: i["column_names"] for i in inspect(e).get_indexes(table)} for e in (fresh, migrated)]
        assert indexes[0] == indexes[1]
    fresh.dispose()
    migrated.dispose()


@pytest.mark.parametrize("revision", ["0001", "0002", "0003"])
def test_records_of_an_older_form_are_migrated_with_what_is_in_them(tmp_path: Path, revision: str) -> None:
    """A request, what was said about it and a sealed batch, as that form had them: all is there and verifies."""
    from alembic import command
    from alembic.config import Config

    config, old = Config(), tmp_path / "old.sqlite"
    config.set_main_option("script_location", str(Path(sealing.__file__).parent / "migrations"))
    engine = create_engine(f"sqlite:///{old}")
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, revision)
        asked = {**row(1), "seq": 1}
        said = {"seq": 1, "request": "r1", "at": 2, "key_id": "k", "thumb": -1, "rating": None, "text": "h1"}
        root = tree_root([leaf_hash(canonical_json(one)) for one in (asked, said)]).hex()
        batch = {"number": 1, "requests": 1, "feedback": 1, "rows": 2, "root": root, "at": 3, "recorded": True}
        text = {"hash": "h1", "at": 2, "body": b"{}"}
        for table, values in (
            ("requests", asked),
            ("feedback", said),
            ("batches", {**batch, "kept": True}),
            ("texts", text),
        ):
            names = ", ".join(values)
            marks = ", ".join(f":{name}" for name in values)
            connection.execute(sql(f"INSERT INTO {table} ({names}) VALUES ({marks})"), values)
    engine.dispose()
    opened = Tables(old)
    assert verify(opened) == {1: root}
    assert (count(opened), count(opened, feedback), count(opened, texts)) == (1, 1, 1)
    with opened.writing() as connection:
        connection.execute(update(requests).values(status=500))
    with pytest.raises(IntegrityError, match="batch 1"):
        verify(opened)
    opened.close()


def test_rows_are_written_beside_and_counted(tables: Tables, records: Records) -> None:
    for number in range(50):
        records.put(row(number, key_id=f"k{number % 2}"))
    wait_until(lambda: count(tables) == 50)
    assert records.spent() == {"k0": Amount(25 * 7, 25 * 5), "k1": Amount(25 * 7, 25 * 5)}
    assert records.pending == 0


def test_a_response_is_known_at_once_and_later(tables: Tables, records: Records) -> None:
    records.put(row(1))
    assert records.key_of("r1") == "k"
    wait_until(lambda: count(tables) == 1)
    assert records.key_of("r1") == "k"
    with pytest.raises(NotFound):
        records.key_of("r2")


def test_a_full_disk_delays_and_then_loses_the_oldest(
    tables: Tables, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(records_module, "RETRY_SECONDS", 0.02)
    is_full, writing = True, tables.writing

    def fails() -> Any:
        if is_full:
            raise StoreFault("database or disk is full")
        return writing()

    monkeypatch.setattr(tables, "writing", fails)
    records = Records(tables, most_pending=10)
    records.start()
    records.put(row(0))
    wait_until(lambda: records.faults)
    for number in range(1, 31):
        records.put(row(number))
    assert records.lost > 0
    is_full = False
    wait_until(lambda: records.pending == 0)
    assert count(tables) + records.lost == 31
    with tables.reading() as connection:
        assert connection.execute(select(requests.c.id).order_by(requests.c.seq.desc())).scalar() == "r30"
    records.close()
    assert "records wait" in caplog.text


def test_a_killed_process_leaves_what_it_wrote(tmp_path: Path) -> None:
    path = tmp_path / "killed.sqlite"
    code = f"""
import json, sys, time
from pathlib import Path
from serving.records import Records
from serving.tables import Tables
records = Records(Tables(Path({str(path)!r})))
records.start()
row = json.loads({json.dumps(ROW)!r})
for number in range(10**6):
    records.put(row | {{"id": f"r{{number}}"}})
    if number % 50 == 0:
        time.sleep(0.005)
    if records.spent():
        print(number, flush=True)
        time.sleep(60)
"""
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as child:
        assert child.stdout and child.stdout.readline()
        os.kill(child.pid, signal.SIGKILL)
    tables = Tables(path)
    written = count(tables)
    assert written > 0
    assert Records(tables).spent() == {"k": Amount(written * 7, written * 5)}
    seal(tables)
    assert verify(tables)
    tables.close()


def test_batches_leave_digests_that_tell_of_changes(tables: Tables, records: Records, tmp_path: Path) -> None:
    records.put(row(1))
    records.put(row(2))
    wait_until(lambda: count(tables) == 2)
    records.attach({"request": "r1", "at": 1, "key_id": "k", "thumb": 1, "rating": None, "text": None}, None)
    events: list[tuple[str, dict[str, Any]]] = []
    seal(tables)
    seal(tables)
    record(tables, lambda kind, body: events.append((kind, body)))
    record(tables, lambda kind, body: events.append((kind, body)))
    roots = verify(tables)
    assert events == [(sealing.EVENT, {"batch": 1, "rows": 3, "root": roots[1]})]
    with sqlite3.connect(tmp_path / "records.sqlite") as changed:
        changed.execute("UPDATE requests SET output_tokens = 0 WHERE id = 'r2'")
    changed.close()
    with pytest.raises(IntegrityError, match="batch 1"):
        verify(tables)


def test_a_row_deleted_from_a_batch_is_told(tables: Tables, records: Records, tmp_path: Path) -> None:
    records.put(row(1))
    wait_until(lambda: count(tables) == 1)
    seal(tables)
    with sqlite3.connect(tmp_path / "records.sqlite") as changed:
        changed.execute("DELETE FROM requests")
    changed.close()
    with pytest.raises(IntegrityError):
        verify(tables)


def test_a_ledger_that_is_away_gets_its_digests_later(tables: Tables, records: Records) -> None:
    events: list[dict[str, Any]] = []
    is_away = True

    def recorder(kind: str, body: dict[str, Any]) -> None:
        if is_away:
            raise StoreFault("the ledger is away")
        events.append(body)

    sealer = Sealer(tables, recorder, Retention(), seconds=0.02)
    sealer.start()
    for number in range(2):
        records.put(row(number))
        wait_until(lambda number=number: count(tables) == number + 1)
        wait_until(lambda number=number: len(verify(tables)) == number + 1)
    assert not events
    is_away = False
    wait_until(lambda: len(events) == 2)
    sealer.close()
    assert [event["batch"] for event in events] == [1, 2]


def nobody(kind: str, body: dict[str, Any]) -> None:
    raise AssertionError(f"nothing to record, but {kind} {body}")


def away(kind: str, body: dict[str, Any]) -> None:
    raise StoreFault("the ledger is away")


def test_texts_are_kept_apart_and_forgotten(tables: Tables, records: Records) -> None:
    now = time.time_ns() // 1_000_000
    for number, at in ((1, now - 40 * DAY), (2, now)):
        text = Text(at, {"prompt": "my mail is a@example.com", "answer": "ok"}, redact)
        kept = text.kept()
        assert kept is not None and kept.hash == leaf_hash(kept.body).hex()
        assert b"example.com" not in kept.body
        records.put(row(number, at=at), text)
    wait_until(lambda: count(tables, texts) == 2)
    seal(tables)
    forget(tables, nobody, Retention(text_days=30), now)
    assert (count(tables, texts), count(tables)) == (1, 2)
    assert erase(tables, "r2") == 1
    assert count(tables, texts) == 0
    assert verify(tables)


def test_the_same_text_has_no_hash_twice() -> None:
    """Without the salt nobody can test a guess."""
    assert keep(1, {"prompt": "yes"}, redact).hash != keep(1, {"prompt": "yes"}, redact).hash


def test_what_can_not_be_redacted_is_not_kept(
    tables: Tables, records: Records, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(text: str) -> str:
        raise ValueError(text)

    records.put(row(1), Text(1, {"prompt": "planted-5e1"}, broken))
    wait_until(lambda: count(tables) == 1)
    assert count(tables, texts) == 0
    assert "ValueError" in caplog.text and "planted-5e1" not in caplog.text


def test_texts_that_wait_are_bounded_by_their_bytes(tables: Tables, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(records_module, "MOST_TEXT_BYTES", 2_500)
    records = Records(tables)
    for number in range(5):
        records.put(row(number), Text(1, {"prompt": "x" * 1_000}, str))
    assert records.texts_lost == 3
    records.start()
    wait_until(lambda: count(tables) == 5)
    records.put(row(5), Text(1, {"prompt": "x" * 1_000}, str))  # there is room again
    records.close()
    assert (count(tables), count(tables, texts), records.texts_lost) == (6, 3, 3)


def test_slow_redaction_keeps_no_row_from_being_written_at_the_end(
    tables: Tables, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(records_module, "CLOSE_SECONDS", 0.1)

    def slow(text: str) -> str:
        time.sleep(0.05)
        return text

    records = Records(tables)
    for number in range(40):
        records.put(row(number), Text(1, {"prompt": "x"}, slow))
    records.start()
    records.close()
    assert count(tables) == 40 and records.texts_lost > 20
    assert count(tables, texts) == 40 - records.texts_lost


def test_a_score_is_never_written_before_its_request(tables: Tables, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(records_module, "MOST_AT_ONCE", 2)
    records = Records(tables)
    for number in range(5):
        records.put(row(number))
        records.score(
            {"request": f"r{number}", "at": 1, "key_id": "judge", "thumb": None, "rating": None, "text": None,
             "score": number / 4}
        )  # fmt: skip
    for written in (2, 4, 5):
        assert count(tables, feedback) == 0
        assert records._write()
        assert count(tables) == written
    assert count(tables, feedback) == 5
    assert not records._scores


def test_rows_leave_by_whole_batches_once_recorded(tables: Tables, records: Records) -> None:
    records.put(row(1))
    wait_until(lambda: count(tables) == 1)
    records.attach({"request": "r1", "at": 1, "key_id": "k", "thumb": -1, "rating": 2, "text": None}, None)
    seal(tables)
    later = time.time_ns() // 1_000_000 + 400 * DAY
    assert forget(tables, nobody, Retention(), later).batch is None
    assert count(tables) == 1
    record(tables, lambda kind, body: None)
    assert overdue(tables, Retention(), later) == Overdue(texts=0, batch=1, rows=2)
    with pytest.raises(StoreFault):
        forget(tables, away, Retention(), later)
    assert count(tables) == 1  # nothing goes that the ledger was not told of
    told: list[tuple[str, dict[str, Any]]] = []
    forget(tables, lambda kind, body: told.append((kind, body)), Retention(), later)
    assert told == [("requests-forgotten", {"batch": 1, "rows": 2})]
    assert (count(tables), count(tables, feedback)) == (0, 0)
    assert forget(tables, nobody, Retention(), later) == Overdue(texts=0, batch=None, rows=0)
    assert verify(tables) == {}
    records.put(row(2))
    wait_until(lambda: count(tables) == 1)
    seal(tables)
    assert list(verify(tables)) == [2]


def test_what_was_sealed_before_there_were_scores_still_verifies(tables: Tables, records: Records) -> None:
    """The canonical form of a row without one is as it was then, so the root is too."""
    said = {"request": "r1", "at": 1, "key_id": "k", "thumb": -1, "rating": 2, "text": None}
    records.attach(said, None)
    seal(tables)
    assert verify(tables) == {1: tree_root([leaf_hash(canonical_json({"seq": 1} | said))]).hex()}
    records.attach(said | {"score": 0.5}, None)
    seal(tables)
    assert verify(tables)[2] == tree_root([leaf_hash(canonical_json({"seq": 2, "score": 0.5} | said))]).hex()
    with tables.writing() as connection:
        connection.execute(update(feedback).where(feedback.c.seq == 2).values(score=0.9))
    with pytest.raises(IntegrityError, match="batch 2"):
        verify(tables)


def test_tables_of_a_newer_version_are_left_alone(tables: Tables, tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "records.sqlite") as changed:
        changed.execute("UPDATE serving_version SET version_num = '9999'")
    changed.close()
    with pytest.raises(StoreFault, match="upgrade"):
        Tables(tmp_path / "records.sqlite")


def test_a_place_that_is_none_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(StoreFault):
        Tables(tmp_path / "file" / "records.sqlite")
    (tmp_path / "records.sqlite").write_bytes(b"no database" * 100)
    with pytest.raises(StoreFault):
        Tables(tmp_path / "records.sqlite")
