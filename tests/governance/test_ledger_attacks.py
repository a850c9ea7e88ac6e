"""Whatever somebody with the database in hand does to it is found, and located as far as the signed heads allow."""

import json
import sqlite3
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, insert, select, text, update

from governance.keys import SigningKey, load_or_create
from governance.ledger import Event, Ledger, Problem, VerifyReport
from governance.ledger.event import new_event
from governance.ledger.hashes import Head, grow, read_head
from governance.ledger.schema import checkpoints, events
from governance.ledger.signing import sign_checkpoint
from tests.governance.tampering import attack, only
from tunegate_core.errors import BadInput, IntegrityError
from tunegate_core.proof.tree import leaf_hash

EVENTS = 24
SIGNED_AT = (8, 16, 24)
pytestmark = pytest.mark.usefixtures("nobody_is_signing")


@pytest.fixture
def signed(ledger: Ledger) -> Ledger:
    """24 events; heads signed at 8, 16 and 24."""
    for size in SIGNED_AT:
        with ledger.write() as tx:
            for number in range(tx.size(), size):
                tx.append("work", {"i": number}, subject=f"bot@{number}", key=f"k{number}")
        ledger.checkpoint()
    return ledger


@pytest.fixture
def report(signed: Ledger, signer: SigningKey) -> Callable[[], VerifyReport]:
    """Verification with the key of the ledger."""

    def run() -> VerifyReport:
        return signed.verify([signer.public_raw])

    assert run().ok
    return run


def span(problem: Problem) -> tuple[int | None, int | None]:
    return problem.first, problem.last


def change_bytes(connection: Connection, seq: int, leaf: bool = False) -> bytes:
    """Change one byte of an event's body; recompute its leaf if asked."""
    data = connection.execute(select(events.c.bytes).where(events.c.seq == seq)).scalar_one()
    changed: bytes = data.replace(b'"i":', b'"j":')
    assert changed != data
    values: dict[str, Any] = {"bytes": changed, **({"leaf": leaf_hash(changed)} if leaf else {})}
    connection.execute(update(events).where(events.c.seq == seq).values(**values))
    return changed


def rewrite_from(connection: Connection, start: int) -> Head:
    """Change an event and recompute every leaf and tree hash after it, as the ledger's own code would."""
    change_bytes(connection, start, leaf=True)
    edge: list[bytes] = []
    leaf = b""
    for seq, leaf in connection.execute(select(events.c.seq, events.c.leaf).order_by(events.c.seq)).all():
        connection.execute(update(events).where(events.c.seq == seq).values(nodes=grow(edge, seq, leaf)))
    return Head(EVENTS, leaf, tuple(edge))


def test_one_byte_changed(signed: Ledger, report: Callable[[], VerifyReport]) -> None:
    with signed._database.writing() as connection:
        change_bytes(connection, 11)
    problem = only(report())
    assert (problem.where, span(problem)) == ("event 11", (11, 11))
    assert "changed after they were recorded" in problem.what
    with pytest.raises(IntegrityError, match="event 11 was changed"):
        signed.events()
    with pytest.raises(IntegrityError, match="event 11 was changed"):
        signed.by_key("k11")
    assert len(signed.events(limit=11)) == 11


@pytest.mark.parametrize("seq", [0, 7, 10, 23])
def test_one_byte_changed_and_its_leaf_recomputed(signed: Ledger, report: Callable[[], VerifyReport], seq: int) -> None:
    with signed._database.writing() as connection:
        change_bytes(connection, seq, leaf=True)
    problem = only(report())
    assert span(problem) == (seq & ~1, seq | 1)  # it and its sibling
    assert "one of the two was rewritten" in problem.what


@pytest.mark.parametrize("seq", [0, 9, 22])
def test_a_row_removed(signed: Ledger, report: Callable[[], VerifyReport], seq: int) -> None:
    attack(signed, f"DELETE FROM events WHERE seq = {seq}")
    problem = only(report())
    assert (problem.where, problem.what) == (f"event {seq}", "the row was removed")


def test_rows_removed_and_the_rest_moved_up(signed: Ledger, report: Callable[[], VerifyReport]) -> None:
    attack(signed, "DELETE FROM events WHERE seq = 10")
    for seq in range(11, EVENTS):
        attack(signed, f"UPDATE events SET seq = {seq - 1} WHERE seq = {seq}")
    moved, *others = report().problems
    assert span(moved) == (10, 22)
    assert "the bytes say events 11 to 23" in moved.what
    assert any("its tail was cut" in problem.what for problem in others)


def test_a_row_put_in(signed: Ledger, report: Callable[[], VerifyReport], signer: SigningKey) -> None:
    event, data = new_event({"seq": 24, "at": "2026-01-01T00:00:00.000000Z", "kind": "released", "subject": None,
                             "key": None, "actor": "mallory", "body": {}})  # fmt: skip
    row = {"seq": -1, "kind": event.kind, "subject": None, "key": None, "at": event.at, "leaf": leaf_hash(data),
           "nodes": b"", "bytes": data}  # fmt: skip
    with signed._database.writing() as connection:
        connection.execute(insert(events), row)
    assert "no event can have this number" in only(report()).what
    attack(signed, "DELETE FROM events WHERE seq = -1")
    with signed._database.writing() as connection:
        connection.execute(insert(events), {**row, "seq": 2**60})
    found = report()
    assert any(span(problem) == (24, 2**60 - 1) for problem in found.problems)


def test_two_rows_swapped(signed: Ledger, report: Callable[[], VerifyReport]) -> None:
    attack(
        signed,
        "UPDATE events SET seq = 1000 WHERE seq = 5",
        "UPDATE events SET seq = 5 WHERE seq = 18",
        "UPDATE events SET seq = 18 WHERE seq = 1000",
    )
    found = report()
    assert found.problems[0].where == "events 5 and 18"
    assert found.problems[0].what == "the two were swapped"


def test_the_bytes_of_two_rows_swapped(signed: Ledger, report: Callable[[], VerifyReport]) -> None:
    with signed._database.writing() as connection:
        rows = {row.seq: row.bytes for row in connection.execute(select(events.c.seq, events.c.bytes))}
        for seq, other in ((5, 18), (18, 5)):
            connection.execute(update(events).where(events.c.seq == seq).values(bytes=rows[other]))
    assert only(report()).where == "events 5 and 18"


def test_the_tail_cut_with_its_heads(signed: Ledger, report: Callable[[], VerifyReport]) -> None:
    attack(signed, "DELETE FROM events WHERE seq >= 16", "DELETE FROM checkpoints WHERE size > 16")
    found = report()
    tail = next(problem for problem in found.problems if "its tail was cut" in problem.what)
    assert (tail.where, span(tail)) == ("events 16 to 23", (16, 23))
    assert "24 events was signed, the log has 16" in tail.what


def test_the_tail_cut_but_not_its_heads(signed: Ledger, report: Callable[[], VerifyReport]) -> None:
    attack(signed, "DELETE FROM events WHERE seq >= 20")
    assert span(only(report())) == (20, 23)


def test_everything_removed(signed: Ledger, report: Callable[[], VerifyReport]) -> None:
    attack(signed, "DELETE FROM events", "DELETE FROM checkpoints")
    assert any(span(problem) == (0, 23) for problem in report().problems)


def test_rewritten_from_the_middle(signed: Ledger, report: Callable[[], VerifyReport]) -> None:
    with signed._database.writing() as connection:
        rewrite_from(connection, 11)
    problem = only(report())
    assert span(problem) == (8, 15)  # between the last head that agrees and the first that does not
    assert "the tree head of 8 events agrees, that of 16 does not" in problem.what


def test_rewritten_and_signed_again(
    signed: Ledger, report: Callable[[], VerifyReport], signer: SigningKey, anchor: Path
) -> None:
    with signed._database.writing() as connection:
        head = rewrite_from(connection, 11)
        connection.execute(text("DELETE FROM checkpoints WHERE size > 8"))
        row = {"size": EVENTS, "root": head.root, "note": sign_checkpoint(head, signer)}
        connection.execute(insert(checkpoints), row)
    found = report()
    assert any("rewritten and signed again" in problem.what for problem in found.problems)
    assert any(span(problem) == (8, 15) for problem in found.problems)
    anchor.unlink()  # with the anchor gone too, its absence is what is left to see
    assert [problem.where for problem in report().problems] == ["anchor"]


def test_rewritten_with_an_anchor_to_match(
    signed: Ledger, report: Callable[[], VerifyReport], signer: SigningKey, anchor: Path
) -> None:
    """The limit: who rewrites log, heads and anchor with the key in hand is seen only by who kept an older note."""
    old = json.loads(anchor.read_text().splitlines()[-1])
    with signed._database.writing() as connection:
        head = rewrite_from(connection, 11)
        note = sign_checkpoint(head, signer)
        connection.execute(text("DELETE FROM checkpoints"))
        connection.execute(insert(checkpoints), {"size": EVENTS, "root": head.root, "note": note})
    anchor.write_text(json.dumps(note) + "\n")
    assert report().ok
    anchor.write_text(json.dumps(note) + "\n" + json.dumps(old) + "\n")
    assert any("rewritten and signed again" in problem.what for problem in report().problems)


def test_a_head_signed_by_another_key(
    signed: Ledger, report: Callable[[], VerifyReport], signer: SigningKey, tmp_path: Path
) -> None:
    other = load_or_create(tmp_path / "other", "ledger")
    with signed._database.writing() as connection:
        note = sign_checkpoint(read_head(connection, None), other)
        connection.execute(update(checkpoints).where(checkpoints.c.size == EVENTS).values(note=note))
    found = report()
    assert found.problems[0].where == "tree head of 24 events"
    assert f"signed by another key: found tunegate/{other.key_id}; expected tunegate/{signer.key_id}" in (
        found.problems[0].what
    )
    assert not signed.verify([other.public_raw]).ok


def test_a_head_signed_by_another_key_under_our_name(
    signed: Ledger, report: Callable[[], VerifyReport], signer: SigningKey, tmp_path: Path
) -> None:
    other = load_or_create(tmp_path / "other", "ledger")
    forged = SigningKey("ledger", signer.public_raw, signer.public_pem, other._private)
    with signed._database.writing() as connection:
        note = sign_checkpoint(read_head(connection, None), forged)
        connection.execute(update(checkpoints).where(checkpoints.c.size == EVENTS).values(note=note))
    assert any("is not signed by the key" in problem.what for problem in report().problems)


@pytest.mark.parametrize("column", ["root = root || root", "size = 23", "note = 'no note'", "note = ''"])
def test_a_head_s_row_changed(signed: Ledger, report: Callable[[], VerifyReport], column: str) -> None:
    attack(signed, f"UPDATE checkpoints SET {column} WHERE size = 24")
    assert not report().ok


def test_a_head_removed(signed: Ledger, report: Callable[[], VerifyReport]) -> None:
    attack(signed, "DELETE FROM checkpoints WHERE size = 16")
    assert "lacks 1 tree heads that the anchor holds" in only(report()).what


def test_the_anchor_altered(report: Callable[[], VerifyReport], anchor: Path) -> None:
    lines = anchor.read_text().splitlines()
    anchor.write_text("\n".join([lines[0], lines[1].replace("16", "15"), lines[2]]) + "\n")
    found = report()
    assert found.problems[0].where == "anchor line 2"
    anchor.write_text("\n".join([lines[0], lines[2]]) + "\n")
    assert only(report()).where == "anchor"
    anchor.write_text("\n".join(lines))  # the last newline is missing, every note is there
    assert report().ok
    anchor.write_text("\n".join(lines)[:-1])
    assert any(problem.where == "anchor line 3" for problem in report().problems)
    anchor.write_text("")
    assert "lacks 3 tree heads" in only(report()).what
    anchor.unlink()
    assert "a cut tail can't be excluded" in only(report()).what


@pytest.mark.parametrize(
    ("column", "value"),
    [("kind", "released"), ("subject", "bot@99"), ("key", "other"), ("at", "2027"), ("subject", None)],
)
def test_a_column_changed(signed: Ledger, report: Callable[[], VerifyReport], column: str, value: str | None) -> None:
    with signed._database.writing() as connection:
        connection.execute(update(events).where(events.c.seq == 9).values({column: value}))
    problem = only(report())
    assert (problem.where, problem.what) == ("event 9", f"the columns differ from the bytes: {column}")


@pytest.mark.parametrize("nodes", [b"", b"\x00" * 32, b"\x00" * 64])
def test_a_stored_tree_hash_changed(signed: Ledger, report: Callable[[], VerifyReport], nodes: bytes) -> None:
    with signed._database.writing() as connection:
        connection.execute(update(events).where(events.c.seq == 11).values(nodes=nodes))
    problem = only(report())
    assert problem.last == 11
    assert problem.first in (8, 10)


def test_events_that_were_never_canonical(signed: Ledger, signer: SigningKey) -> None:
    for number, data in enumerate(
        [
            b'{"actor":"a","at":"t","body":{"b":1,"a":2},"key":null,"kind":"k","seq":%d,"subject":null,"v":1}',
            b'{"actor":"a","at":"t","body":{"a":1.0},"key":null,"kind":"k","seq":%d,"subject":null,"v":1}',
            b'{"actor":"a","at":"t","body":{"a":9007199254740993},"key":null,"kind":"k","seq":%d,"subject":null,"v":1}',
            b'{"actor":"a","at":"t","body":{"a":1,"a":1},"key":null,"kind":"k","seq":%d,"subject":null,"v":1}',
            b'{"actor":"a","at":"t","body":{"a":"\\u0041"},"key":null,"kind":"k","seq":%d,"subject":null,"v":1}',
            b'{"actor":"a","at":"t", "body":{},"key":null,"kind":"k","seq":%d,"subject":null,"v":1}',
            b'{"actor":"a","at":"t","body":{},"key":null,"kind":"k","seq":%d,"subject":null,"v":2}',
            b'{"actor":"a","at":"t","body":[],"key":null,"kind":"k","seq":%d,"subject":null,"v":1}',
            b"[%d]",
            b"no json %d",
        ]
    ):
        seq = EVENTS + number
        with signed._database.writing() as connection:
            edge = list(read_head(connection, None).edge)
            leaf = leaf_hash(data % seq)
            row = {
                "seq": seq,
                "kind": "k",
                "at": "t",
                "leaf": leaf,
                "nodes": grow(edge, seq, leaf),
                "bytes": data % seq,
            }
            connection.execute(insert(events), row)
        found = signed.verify([signer.public_raw])
        assert [problem.first for problem in found.problems] == list(range(EVENTS, seq + 1))


def test_a_column_of_the_wrong_type(
    sqlite_url: str, signer: SigningKey, anchor: Path, clock: Callable[[], datetime]
) -> None:
    ledger = Ledger.open(sqlite_url, signer, anchor, clock)
    for number in range(8):
        ledger.append("a", {"i": number})
    ledger.checkpoint()
    for column, seq in (("bytes", 1), ("leaf", 3), ("nodes", 5)):
        attack(ledger, f"UPDATE events SET {column} = 'text' WHERE seq = {seq}")
    assert [problem.first for problem in ledger.verify([signer.public_raw]).problems] == [1, 3, 5]


def test_a_damaged_file(sqlite_url: str, signer: SigningKey, anchor: Path, clock: Callable[[], datetime]) -> None:
    """Any byte of the database file that is in use: the damage is reported, never passed over or a crash."""
    path = Path(sqlite_url.removeprefix("sqlite:///"))
    ledger = Ledger.open(sqlite_url, signer, anchor, clock)
    with ledger.write() as tx:
        for number in range(200):
            tx.append("a", {"i": number}, subject="bot@1", key=f"k{number}")
    ledger.checkpoint()
    ledger.close()
    whole = path.read_bytes()
    position = whole.index(b'"i":77')
    path.write_bytes(whole[: position + 4] + b"8" + whole[position + 5 :])
    assert only(Ledger.open(sqlite_url, signer, anchor, clock).verify([signer.public_raw])).where == "event 77"
    page = whole.index(b'"i":77') // 4096 * 4096
    path.write_bytes(whole[:page] + b"\xff" * 64 + whole[page + 64 :])
    found = Ledger.open(sqlite_url, signer, anchor, clock).verify([signer.public_raw])
    assert any(problem.where.startswith("database") for problem in found.problems)


def test_an_index_that_hides_an_event(
    sqlite_url: str, signer: SigningKey, anchor: Path, clock: Callable[[], datetime]
) -> None:
    ledger = Ledger.open(sqlite_url, signer, anchor, clock)
    ledger.append("a", {}, key="first")
    ledger.checkpoint()
    ledger.close()
    with sqlite3.connect(sqlite_url.removeprefix("sqlite:///"), isolation_level=None) as raw:
        raw.execute("PRAGMA writable_schema=ON")
        raw.execute(
            "UPDATE sqlite_master SET sql = replace(sql, 'IS NOT NULL', 'IS NULL') WHERE name = 'events_by_key'"
        )
    raw.close()
    found = Ledger.open(sqlite_url, signer, anchor, clock).verify([signer.public_raw])
    assert any("structure is damaged" in problem.what for problem in found.problems)


def test_what_lies_outside_is_asked_about(signed: Ledger, signer: SigningKey) -> None:
    def missing(event: Event) -> list[Problem]:
        if event.body["i"] != 7:
            return []
        return [Problem(where=f"event {event.seq}", what="a blob is missing", first=event.seq, last=event.seq)]

    assert only(signed.verify([signer.public_pem], missing)).what == "a blob is missing"


def test_verifying_with_no_key_is_no_verification(signed: Ledger, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no public key"):
        signed.verify([])
    other = load_or_create(tmp_path / "other", "ledger")
    assert not signed.verify([other.public_raw]).ok


def test_a_ledger_that_nobody_signed_says_so(ledger: Ledger, signer: SigningKey) -> None:
    ledger.append("a", {})
    found = ledger.verify([signer.public_raw])
    assert found.ok
    assert "no tree head is signed yet" in found.notes[0]


@pytest.fixture(scope="module")
def sealed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Ledger, SigningKey]]:
    """Eleven events and one head; each attack on them is undone."""
    folder = tmp_path_factory.mktemp("ledger")
    signer = load_or_create(folder / "keys", "ledger")
    ledger = Ledger.open(f"sqlite:///{folder / 'ledger.sqlite'}", signer, folder / "anchor", lambda: datetime.now(UTC))
    with ledger.write() as tx:
        for number in range(11):
            tx.append("a", {"i": number}, subject="s", key=f"k{number}")
    ledger.checkpoint()
    yield ledger, signer
    ledger.close()


@settings(max_examples=100)
@given(st.data())
def test_any_single_change_is_found(sealed: tuple[Ledger, SigningKey], data: st.DataObject) -> None:
    ledger, signer = sealed
    seq = data.draw(st.integers(0, 10))
    column = data.draw(st.sampled_from(["kind", "subject", "key", "at", "leaf", "nodes", "bytes"]))
    with ledger._database.writing() as connection:
        old = connection.execute(select(events.c[column]).where(events.c.seq == seq)).scalar_one()
        if isinstance(old, bytes):
            at = data.draw(st.integers(0, max(len(old) - 1, 0)))
            new: Any = (
                old[:at] + bytes([(old[at : at + 1] or b"\x00")[0] ^ data.draw(st.integers(1, 255))]) + old[at + 1 :]
            )
        else:
            new = old + data.draw(st.text("abc", min_size=1, max_size=3))
        connection.execute(update(events).where(events.c.seq == seq).values({column: new}))
    found = ledger.verify([signer.public_raw])
    assert any(
        problem.first is not None and problem.last is not None and problem.first <= seq <= problem.last
        for problem in found.problems
    )
    with ledger._database.writing() as connection:
        connection.execute(update(events).where(events.c.seq == seq).values({column: old}))
