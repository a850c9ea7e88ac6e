"""Appending, reading, proving, signing: on SQLite and on PostgreSQL."""

import json
import multiprocessing
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from hypothesis import given, settings
from hypothesis import strategies as st

from governance.keys import SigningKey, load_or_create
from governance.ledger import Event, Ledger
from governance.ledger import database as database_module
from governance.ledger.schema import REVISION, VERSION_TABLE, metadata
from tunegate_core.errors import BadInput, IntegrityError, StoreFault
from tunegate_core.proof.checkpoint import verify_checkpoint
from tunegate_core.proof.tree import EMPTY_ROOT, tree_root


def now() -> datetime:
    return datetime.now(UTC)


def test_an_event_is_what_its_bytes_say(ledger: Ledger) -> None:
    event = ledger.append("planned", {"rank": 16.0, "names": ("a", "é")}, subject="bot@1", key="plan/1", actor="alice")
    assert (event.seq, event.kind, event.subject, event.actor) == (0, "planned", "bot@1", "alice")
    assert event.at == "2026-01-01T00:00:00.000000Z"
    assert event.body == {"rank": 16, "names": ["a", "é"]}
    assert ledger.events() == [event]
    assert ledger.by_key("plan/1") == event
    assert ledger.head() == (1, event.leaf)


def test_an_empty_ledger_has_the_empty_root(ledger: Ledger, signer: SigningKey) -> None:
    assert ledger.head() == (0, EMPTY_ROOT)
    assert ledger.by_key("x") is None
    assert verify_checkpoint(ledger.checkpoint(), signer.public_raw).size == 0
    assert ledger.verify([signer.public_raw]).ok


def test_the_same_event_again_is_the_one_recorded(ledger: Ledger) -> None:
    first = ledger.append("judged", {"outcome": "PASS", "n": 1}, subject="bot@1", key="k")
    assert ledger.append("judged", {"n": 1.0, "outcome": "PASS"}, subject="bot@1", key="k", actor="bob") == first
    assert ledger.size() == 1


@pytest.mark.parametrize(
    ("kind", "subject", "body", "word"),
    [
        ("refused", "bot@1", {"n": 1}, "kind"),
        ("judged", "bot@2", {"n": 1}, "subject"),
        ("judged", "bot@1", {"n": True}, "body"),
    ],
)
def test_a_key_is_never_given_twice(sqlite_url: str, signer: SigningKey, anchor: Path, kind: str, subject: str,
                                    body: dict[str, Any], word: str) -> None:  # fmt: skip
    ledger = Ledger.open(sqlite_url, signer, anchor, now)
    ledger.append("judged", {"n": 1}, subject="bot@1", key="k")
    with pytest.raises(IntegrityError, match=f"'k' is taken by event 0 with another {word}"):
        ledger.append(kind, body, subject=subject, key="k")


def test_a_write_is_whole_or_nothing(ledger: Ledger) -> None:
    ledger.append("a", {})
    with pytest.raises(RuntimeError), ledger.write() as tx:
        tx.append("b", {}, key="k")
        assert [event.kind for event in tx.events()] == ["a", "b"]
        tx.append("c", {})
        raise RuntimeError
    assert ledger.size() == 1
    assert ledger.by_key("k") is None
    assert ledger.append("d", {}).seq == 1
    assert ledger.head()[1] == tree_root([event.leaf for event in ledger.events()])


def test_a_write_sees_its_own_events(ledger: Ledger) -> None:
    with ledger.write() as tx:
        first = tx.append("a", {"i": 1}, subject="x@1", key="k")
        assert tx.by_key("k") == first
        assert tx.append("a", {"i": 1}, subject="x@1", key="k") == first
        tx.append("b", {}, subject="y@1")
        assert tx.events(subject="x@1") == [first]
        assert tx.append("a", {"i": 1}, subject="x@1", key="k") == first
        assert [event.kind for event in tx.events(kind="b")] == ["b"]
        assert tx.size() == 2


def test_reading_can_be_narrowed(ledger: Ledger) -> None:
    for number in range(6):
        ledger.append("even" if number % 2 == 0 else "odd", {"i": number}, subject=f"bot@{number % 3}")
    assert [event.seq for event in ledger.events(kind="odd")] == [1, 3, 5]
    assert [event.seq for event in ledger.events(subject="bot@2")] == [2, 5]
    assert [event.seq for event in ledger.events(kind="odd", subject="bot@2")] == [5]
    assert [event.seq for event in ledger.events(kind=("odd", "even", "none"), start=1)] == [1, 2, 3, 4, 5]
    assert ledger.events(kind=()) == []
    assert [event.seq for event in ledger.events(start=2, limit=3)] == [2, 3, 4]


@pytest.mark.parametrize(
    "wrong",
    [
        {"kind": ""},
        {"kind": "two words"},
        {"subject": ""},
        {"subject": "a\x00b"},
        {"actor": "someone@example.org"},
        {"body": {"x": float("nan")}},
        {"body": {"x": 2**60}},
        {"body": {"x": float(2**53)}},
        {"body": {"x": "\ud800"}},
        {"body": [1]},
    ],
)
def test_what_is_no_event_is_refused(sqlite_url: str, signer: SigningKey, anchor: Path, wrong: dict[str, Any]) -> None:
    ledger = Ledger.open(sqlite_url, signer, anchor, now)
    with pytest.raises(BadInput):
        ledger.append(**{"kind": "a", "body": {}, **wrong})
    assert ledger.size() == 0


def test_a_clock_without_zone_is_refused(sqlite_url: str, signer: SigningKey, anchor: Path) -> None:
    ledger = Ledger.open(sqlite_url, signer, anchor, lambda: datetime(2026, 1, 1))
    with pytest.raises(BadInput, match="zone"):
        ledger.append("a", {})


def test_a_clock_may_go_back(sqlite_url: str, signer: SigningKey, anchor: Path) -> None:
    times = iter([datetime(2026, 1, 2, tzinfo=UTC), datetime(2026, 1, 1, tzinfo=UTC)])
    ledger = Ledger.open(sqlite_url, signer, anchor, lambda: next(times))
    ledger.append("a", {})
    assert ledger.append("b", {}).at < ledger.events()[0].at
    assert ledger.verify([signer.public_raw]).ok


def test_every_proof_of_a_small_log_verifies(ledger: Ledger) -> None:
    with ledger.write() as tx:
        for number in range(33):
            tx.append("a", {"i": number})
    leaves = [event.leaf for event in ledger.events()]
    for size in range(1, 34):
        root = tree_root(leaves[:size])
        assert ledger.root(size) == root
        ledger.inclusion(size // 2, size).verify(leaves[size // 2], root)
        ledger.inclusion(size - 1, size).verify(leaves[size - 1], root)
        ledger.consistency(size // 3, size).verify(tree_root(leaves[: size // 3]), root)
        ledger.consistency(size, 33).verify(root, ledger.root(33))


@pytest.mark.parametrize(("seq", "size"), [(3, 3), (-1, 3), (0, 4), (0, 0)])
def test_no_proof_outside_the_log(sqlite_url: str, signer: SigningKey, anchor: Path, seq: int, size: int) -> None:
    ledger = Ledger.open(sqlite_url, signer, anchor, now)
    with ledger.write() as tx:
        for _ in range(3):
            tx.append("a", {})
    with pytest.raises(BadInput):
        ledger.inclusion(seq, size)
    with pytest.raises(BadInput):
        ledger.consistency(2, 4)


def test_a_checkpoint_is_signed_once(ledger: Ledger, signer: SigningKey, anchor: Path) -> None:
    ledger.append("a", {})
    note = ledger.checkpoint()
    assert ledger.checkpoint() == note
    ledger.append("b", {})
    second = ledger.checkpoint()
    assert [json.loads(line) for line in anchor.read_text().splitlines()] == [note, second]
    head = verify_checkpoint(second, signer.public_raw)
    assert (head.size, head.root_raw) == ledger.head()
    assert head.origin == f"tunegate/{signer.key_id}"


def test_an_interrupted_checkpoint_is_mended(ledger: Ledger, signer: SigningKey, anchor: Path) -> None:
    ledger.append("a", {})
    note = ledger.checkpoint()
    with ledger._database.writing() as connection:  # the process died before the table had it
        connection.exec_driver_sql("DELETE FROM checkpoints")
    assert not ledger.verify([signer.public_raw]).ok
    ledger.append("b", {})
    ledger.checkpoint()
    assert ledger.verify([signer.public_raw]).ok
    with anchor.open("a") as out:  # and another in the middle of a line
        out.write('"tunegate/')
    assert not ledger.verify([signer.public_raw]).ok
    ledger.append("c", {})
    ledger.checkpoint()
    report = ledger.verify([signer.public_raw])
    assert (report.ok, report.checkpoints) == (True, 3)
    assert json.loads(anchor.read_text().splitlines()[0]) == note


def test_nothing_is_signed_without_a_key(sqlite_url: str, anchor: Path) -> None:
    ledger = Ledger.open(sqlite_url, None, anchor, now)
    ledger.append("a", {}, actor="alice")
    with pytest.raises(BadInput, match=r"no tree head is signed yet, and .* without its private key"):
        ledger.checkpoint()
    with pytest.raises(BadInput, match="actor"):
        ledger.append("a", {})


def test_who_can_not_sign_shows_what_was_signed_last(sqlite_url: str, signer: SigningKey, anchor: Path) -> None:
    reader = Ledger.open(sqlite_url, None, anchor, now)
    assert not reader.is_signed()
    writer = reader.signed_by(signer)
    writer.append("a", {})
    note = writer.checkpoint()
    assert reader.is_signed()
    assert reader.checkpoint() == note
    writer.append("b", {})
    assert reader.checkpoint() == note
    with reader._database.writing() as connection:
        connection.exec_driver_sql("DELETE FROM events")
    with pytest.raises(IntegrityError, match="1 were signed; its tail was cut"):
        reader.checkpoint()


def test_an_honest_signer_does_not_sign_a_cut_log(ledger: Ledger) -> None:
    for number in range(5):
        ledger.append("a", {"i": number})
    ledger.checkpoint()
    with ledger._database.writing() as connection:
        connection.exec_driver_sql("DELETE FROM events WHERE seq >= 3")
        connection.exec_driver_sql("DELETE FROM checkpoints")
    with pytest.raises(IntegrityError, match="5 were signed; its tail was cut"):
        ledger.checkpoint()
    ledger.append("a", {"i": 30})
    ledger.append("a", {"i": 40})
    with pytest.raises(IntegrityError, match="not those that were signed"):
        ledger.checkpoint()


def test_another_key_does_not_sign_on(sqlite_url: str, signer: SigningKey, anchor: Path, tmp_path: Path) -> None:
    ledger = Ledger.open(sqlite_url, signer, anchor, now)
    ledger.append("a", {})
    ledger.checkpoint()
    other = Ledger.open(sqlite_url, load_or_create(tmp_path / "other", "ledger"), anchor, now)
    with pytest.raises(IntegrityError, match="another key"):
        other.checkpoint()
    with pytest.raises(IntegrityError, match="another key"):
        Ledger.open(sqlite_url, None, anchor, now).signed_by(load_or_create(tmp_path / "other", "ledger"))


def append_many(url: str, keys: Path, anchor: Path, worker: int, count: int) -> None:
    """One process of several: its own events, and one that all of them want to write."""
    ledger = Ledger.open(url, load_or_create(keys, "ledger"), anchor, now)
    for number in range(count):
        ledger.append("work", {"worker": worker, "i": number}, subject=f"w@{worker}", key=f"{worker}/{number}")
        ledger.append("shared", {"i": number}, key=f"shared/{number}")
        if number % 5 == 0:
            ledger.checkpoint()
    ledger.close()


def test_processes_that_append_at_once_lose_nothing(url: str, signer: SigningKey, anchor: Path, tmp_path: Path) -> None:
    count, workers = 12, 3
    context = multiprocessing.get_context("fork")
    jobs = [context.Process(target=append_many, args=(url, tmp_path / "keys", anchor, worker, count))
            for worker in range(workers)]  # fmt: skip
    for job in jobs:
        job.start()
    for job in jobs:
        job.join(100)
        assert job.exitcode == 0
    ledger = Ledger.open(url, signer, anchor, now)
    assert ledger.size() == count * (workers + 1)
    for worker in range(workers):
        assert [event.body["i"] for event in ledger.events(subject=f"w@{worker}")] == list(range(count))
    assert len(ledger.events(kind="shared")) == count
    ledger.checkpoint()
    report = ledger.verify([signer.public_raw])
    assert report.ok, report.problems
    ledger.close()


def test_threads_share_a_ledger(ledger: Ledger, signer: SigningKey) -> None:
    def work() -> None:
        for _ in range(10):
            ledger.append("a", {})

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert ledger.size() == 40
    assert ledger.verify([signer.public_raw]).ok


def test_opening_a_current_ledger_is_fast(ledger: Ledger, url: str, signer: SigningKey, anchor: Path) -> None:
    took = []
    for _ in range(5):
        start = time.process_time()
        Ledger.open(url, signer, anchor, now).close()
        took.append(time.process_time() - start)
    assert min(took) < 0.05


def test_a_current_ledger_is_opened_without_alembic(sqlite_url: str, signer: SigningKey, anchor: Path) -> None:
    Ledger.open(sqlite_url, signer, anchor, now).close()
    code = f"""
import sys
from governance.ledger import Event, Ledger
Ledger.open({sqlite_url!r}, None, None, None).events()
heavy = {{"alembic", "torch", "ray", "scipy", "pandas", "numpy", "psycopg", "model_signing"}}
sys.exit(", ".join(heavy & set(sys.modules)) or 0)
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_the_migrations_lead_to_the_tables(ledger: Ledger) -> None:
    folder = Path(database_module.__file__).parent / "migrations"
    assert ScriptDirectory(str(folder)).get_current_head() == REVISION
    with ledger._database.reading() as connection:
        context = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE})
        assert compare_metadata(context, metadata) == []


def test_a_newer_ledger_is_not_touched(ledger: Ledger, url: str, signer: SigningKey, anchor: Path) -> None:
    with ledger._database.writing() as connection:
        connection.exec_driver_sql(f"UPDATE {VERSION_TABLE} SET version_num = '9999'")
    with pytest.raises(StoreFault, match="9999"):
        Ledger.open(url, signer, anchor, now)


@pytest.mark.parametrize("wrong", ["", "nonsense", "mysql://host/db", "sqlite://", "sqlite:///:memory:"])
def test_other_databases_are_refused(wrong: str) -> None:
    with pytest.raises(BadInput, match="expected sqlite:///FILE or postgresql://"):
        Ledger.open(wrong, None, None, now)


def test_a_full_disk_is_a_store_fault(sqlite_url: str, signer: SigningKey, anchor: Path) -> None:
    ledger = Ledger.open(sqlite_url, signer, anchor, now)
    ledger.append("a", {})
    with ledger._database.engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA max_page_count=1")  # no larger than it is
    with pytest.raises(StoreFault, match="free some space; nothing was recorded"):
        for number in range(200):
            ledger.append("a", {"text": "x" * 4000, "i": number})
    assert ledger.verify([signer.public_raw]).ok


def test_a_read_only_ledger_can_be_read_and_verified(sqlite_url: str, signer: SigningKey, anchor: Path) -> None:
    writer = Ledger.open(sqlite_url, signer, anchor, now)
    writer.append("a", {})
    writer.checkpoint()
    reader = Ledger.open(
        f"sqlite:///file:{sqlite_url.removeprefix('sqlite:///')}?mode=ro&uri=true", signer, anchor, now
    )
    assert reader.verify([signer.public_raw]).ok
    with pytest.raises(StoreFault, match="set TUNEGATE_HOME or TUNEGATE_DATABASE to a place you can write"):
        reader.append("b", {})


def test_a_database_out_of_reach_is_a_store_fault(tmp_path: Path) -> None:
    with pytest.raises(StoreFault, match="folder must exist"):
        Ledger.open(f"sqlite:///{tmp_path / 'no' / 'ledger.sqlite'}", None, None, now)
    (tmp_path / "text.sqlite").write_text("this is no database\n" * 100)
    with pytest.raises(StoreFault, match="the file is no ledger"):
        Ledger.open(f"sqlite:///{tmp_path / 'text.sqlite'}", None, None, now)


@pytest.mark.postgres
def test_a_password_is_never_shown(postgres_url: str) -> None:
    wrong = postgres_url.replace("postgres:@", "nobody:secret@")
    with pytest.raises(StoreFault) as caught:
        Ledger.open(wrong, None, None, now)
    assert "secret" not in str(caught.value)


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53) + 1, 2**53 - 1)
    | st.floats(allow_nan=False, allow_infinity=False).filter(lambda x: not (x.is_integer() and 2**53 <= abs(x) < 1e21))
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)  # fmt: skip


@pytest.fixture(scope="module")
def growing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Ledger, SigningKey]]:
    folder = tmp_path_factory.mktemp("ledger")
    signer = load_or_create(folder / "keys", "ledger")
    ledger = Ledger.open(f"sqlite:///{folder / 'ledger.sqlite'}", signer, folder / "anchor", now)
    yield ledger, signer
    ledger.close()


@settings(max_examples=30)
@given(st.lists(st.dictionaries(st.text(max_size=8), json_values, max_size=4), min_size=1, max_size=9))
def test_whatever_is_recorded_verifies_and_is_read_back(
    growing: tuple[Ledger, SigningKey], bodies: list[dict[str, Any]]
) -> None:
    ledger, signer = growing
    with ledger.write() as tx:
        recorded = [tx.append("a", body) for body in bodies]
    ledger.checkpoint()
    assert ledger.events(start=recorded[0].seq) == recorded
    assert all(event.canonical() == Event.parse(event.canonical()).canonical() for event in recorded)
    report = ledger.verify([signer.public_raw])
    assert report.ok, report.problems


def test_opening_many_times_at_once_migrates_once(sqlite_url: str, signer: SigningKey, anchor: Path) -> None:
    faults: list[BaseException] = []

    def work() -> None:
        try:
            Ledger.open(sqlite_url, signer, anchor, now).append("a", {})
        except BaseException as error:
            faults.append(error)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not faults
    assert Ledger.open(sqlite_url, signer, anchor, now).size() == 4


APPENDING = """
import sys
from datetime import UTC, datetime
from pathlib import Path
from governance.keys import load_or_create
from governance.ledger import Ledger
folder = Path(sys.argv[1])
signer = load_or_create(folder / "keys", "ledger")
ledger = Ledger.open(sys.argv[2], signer, folder / "checkpoints.log", lambda: datetime.now(UTC))
while True:
    event = ledger.append("work", {})
    print(event.seq, flush=True)
    ledger.checkpoint()
"""


@pytest.mark.fault
def test_a_killed_writer_loses_nothing_it_reported(url: str, signer: SigningKey, anchor: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-c", APPENDING, str(tmp_path), url]
    last = -1
    for lines in (1, 5, 12):
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
            if writer.stdout is None:
                pytest.fail("the writer has no output")
            for _ in range(lines):
                last = int(writer.stdout.readline())
            writer.kill()
            rest = writer.stdout.read().split()
        last = int(rest[-1]) if rest else last
        ledger = Ledger.open(url, signer, anchor, now)
        assert ledger.size() >= last + 1
        ledger.checkpoint()
        report = ledger.verify([signer.public_raw])
        assert report.ok, report.problems
        ledger.close()


def test_who_signs_reads_the_end_of_a_long_anchor_alone(tmp_path: Path) -> None:
    from governance.ledger import anchor

    path = tmp_path / "anchor"
    assert anchor.read_tail(path) == anchor.read_anchor(path)
    for number in range(3):
        anchor.append_note(path, f"note {number}")
    assert anchor.read_tail(path) == anchor.read_anchor(path)
    with path.open("ab") as out:
        out.write(("é" * anchor.TAIL_BYTES + "\n").encode() + b'"last"\n"half a li')
    tail, whole = anchor.read_tail(path), anchor.read_anchor(path)
    assert (tail.lines[-1], tail.unfinished) == (whole.lines[-1], whole.unfinished) == ('"last"', '"half a li')
    assert len(tail.lines) < len(whole.lines)
    anchor.append_note(path, "next")
    assert anchor.read_anchor(path).lines[-2:] == ('"last"', '"next"')
