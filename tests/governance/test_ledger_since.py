"""Verification after a head that was verified before: what came since is checked, and the report says what is not."""

from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import text

from governance.keys import SigningKey, load_or_create
from governance.ledger import Ledger, VerifyReport
from governance.ledger.hashes import Head, grow, read_head
from governance.ledger.signing import sign_checkpoint
from tests.governance.tampering import attack, only
from tunegate_core.errors import IntegrityError
from tunegate_core.proof.tree import leaf_hash

EVENTS, SINCE = 24, 16
pytestmark = pytest.mark.usefixtures("nobody_is_signing")


@pytest.fixture
def notes(ledger: Ledger) -> list[str]:
    """24 events; the head of every size, signed."""
    found = [sign_checkpoint(Head(0, None, ()), ledger._signer)] if ledger._signer else []
    for number in range(EVENTS):
        ledger.append("work", {"i": number}, subject=f"bot@{number}", key=f"k{number}")
        found.append(ledger.checkpoint())
    return found


@pytest.fixture
def report(ledger: Ledger, signer: SigningKey, notes: list[str]) -> Callable[[], VerifyReport]:
    """Verification of what came after 16 events, which somebody verified before."""

    def run() -> VerifyReport:
        return ledger.verify([signer.public_raw], since=notes[SINCE])

    assert run().ok
    return run


def rewrite(ledger: Ledger, seq: int) -> None:
    """Another body in one event, and every hash after it made as the ledger would."""
    with ledger._database.writing() as connection:
        edge: list[bytes] = []
        for at, data in connection.execute(text("SELECT seq, bytes FROM events ORDER BY seq")).all():
            new = bytes(data).replace(b'"i":', b'"j":') if at == seq else bytes(data)
            values = {"seq": at, "bytes": new, "leaf": leaf_hash(new), "nodes": grow(edge, at, leaf_hash(new))}
            connection.execute(
                text("UPDATE events SET bytes = :bytes, leaf = :leaf, nodes = :nodes WHERE seq = :seq"), values
            )


def test_from_every_head_the_same_root_is_derived(ledger: Ledger, signer: SigningKey, notes: list[str]) -> None:
    for size, note in enumerate(notes):
        seen: list[int] = []
        report = ledger.verify([signer.public_raw], lambda event, seen=seen: seen.append(event.seq) or (), since=note)  # type: ignore[misc, func-returns-value]
        assert (report.ok, report.size, report.since) == (True, EVENTS, size)
        assert report.root == ledger.root(EVENTS).hex()
        assert report.checkpoints == EVENTS - size + 1
        assert seen == list(range(size, EVENTS))  # these, and no other


def test_the_report_says_what_was_not_looked_at(report: Callable[[], VerifyReport]) -> None:
    (note,) = report().notes
    assert note.startswith("events 0 to 15 were not looked at again: not their bytes")


@pytest.mark.parametrize(
    ("statement", "first", "last", "what"),
    [
        ("UPDATE events SET subject = 'bot@2' WHERE seq = 20", 20, 20, "columns differ"),
        ("DELETE FROM events WHERE seq = 18", 18, 18, "was removed"),
        ("DELETE FROM events WHERE seq = 16", 16, 16, "was removed"),
        ("DELETE FROM events WHERE seq >= 20", 20, 23, "tail was cut"),
        ("DELETE FROM events WHERE seq >= 10", 10, 23, "tail was cut"),
    ],
)
def test_tampering_after_the_head_is_found_and_located(
    ledger: Ledger, report: Callable[[], VerifyReport], statement: str, first: int, last: int, what: str
) -> None:
    attack(ledger, statement)
    problem = only(report())
    assert (problem.first, problem.last) == (first, last)
    assert what in problem.what


def test_bytes_changed_after_the_head_are_located(ledger: Ledger, report: Callable[[], VerifyReport]) -> None:
    with ledger._database.writing() as connection:
        data = connection.execute(text("SELECT bytes FROM events WHERE seq = 21")).scalar_one()
        connection.execute(text("UPDATE events SET bytes = :b WHERE seq = 21"), {"b": data.replace(b"21", b"12")})
    problem = only(report())
    assert (problem.first, problem.last) == (21, 21)


@pytest.mark.parametrize("heads", [(), (24,), (17, 24)])
def test_heads_removed_after_the_head_are_missed(
    ledger: Ledger, report: Callable[[], VerifyReport], heads: tuple[int, ...]
) -> None:
    for size in heads:
        attack(ledger, f"DELETE FROM checkpoints WHERE size = {size}")
    assert len(report().problems) == bool(heads)
    assert all(f"lacks {len(heads)} tree heads" in problem.what for problem in report().problems)


@pytest.mark.parametrize("seq", [0, 9, 15])
def test_a_history_written_anew_before_the_head_is_found(
    ledger: Ledger, signer: SigningKey, anchor: Path, report: Callable[[], VerifyReport], seq: int
) -> None:
    """Every hash made again, and with the ledger's key every head that the anchor and the table hold."""
    rewrite(ledger, seq)
    assert [(problem.first, problem.last) for problem in report().problems] == [(0, SINCE - 1)]
    attack(ledger, "DELETE FROM checkpoints")
    anchor.unlink()
    with ledger._database.reading() as connection:
        forged = sign_checkpoint(read_head(connection, None), signer)
    assert ledger.checkpoint() == forged
    assert ledger.verify([signer.public_raw]).ok  # from inside nothing is to be seen; the head that was kept tells
    problem = only(report())
    assert (problem.first, problem.last) == (0, SINCE - 1)
    assert "are not those that were signed" in problem.what


def test_a_row_whose_hashes_the_tree_needs_is_missed(ledger: Ledger, report: Callable[[], VerifyReport]) -> None:
    """Of 16 events that is the last one: it holds the root of them all."""
    attack(ledger, "DELETE FROM events WHERE seq = 15")
    problem = only(report())
    assert (problem.first, problem.last) == (0, SINCE - 1)
    assert "can't be read" in problem.what


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE events SET bytes = (SELECT bytes FROM events WHERE seq = 6) WHERE seq = 5",
        "UPDATE events SET leaf = (SELECT leaf FROM events WHERE seq = 6) WHERE seq = 5",
        "UPDATE events SET nodes = leaf WHERE seq = 7",
        "UPDATE events SET subject = 'bot@2' WHERE seq = 5",
        "DELETE FROM events WHERE seq = 5",
        "DELETE FROM checkpoints WHERE size = 5",
    ],
)
def test_what_is_not_looked_at_again_is_not_found_until_everything_is(
    ledger: Ledger, signer: SigningKey, report: Callable[[], VerifyReport], statement: str
) -> None:
    attack(ledger, statement)
    assert report().ok
    assert not ledger.verify([signer.public_raw]).ok


def test_a_head_of_another_key_is_none_to_go_on_after(
    ledger: Ledger, signer: SigningKey, notes: list[str], tmp_path: Path
) -> None:
    with ledger._database.reading() as connection:
        foreign = sign_checkpoint(read_head(connection, None), load_or_create(tmp_path / "else", "ledger"))
    for note in (foreign, notes[SINCE].replace("\n16\n", "\n17\n"), "no note"):
        with pytest.raises(IntegrityError, match="to go on after does not count"):
            ledger.verify([signer.public_raw], since=note)
