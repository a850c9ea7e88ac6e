"""What people said, recorded: the words as erasable rows, one event a batch. Nothing recorded is ever changed.

The event holds the commitment to the rows and how many they are of which kind. What counts now is worked out from all
rows whenever it is asked for; a row that was erased is counted and says nothing.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from eval.feedback.entry import Entry, Source, standing
from eval.feedback.files import read_entries
from tunegate.house import House
from tunegate_core.errors import IntegrityError

RECORDED = "feedback"


@dataclass(frozen=True)
class Said:
    """Every entry in the order it was recorded; `erased`: rows that hold no words any more."""

    entries: tuple[Entry, ...]
    erased: int
    batches: int

    def standing(self) -> list[Entry]:
        """What counts now."""
        return standing(self.entries)


def recorded(house: House) -> Said:
    """All that was recorded in this house."""
    events = house.existing_ledger.events(kind=RECORDED) if house.has_ledger else []
    batches = [event.body["rows"] for event in events if event.body["rows"]]
    texts = [text for rows in batches for text in house.rows.get(rows)]
    entries = tuple(Entry.parse(text.encode()) for text in texts if text is not None)
    return Said(entries, sum(text is None for text in texts), len(events))


def recorded_from(house: House, seq: int) -> Iterator[tuple[int, list[Entry]]]:
    """Batches from an event on: its number, and what is left of its rows."""
    for event in house.existing_ledger.events(kind=RECORDED, start=seq):
        yield event.seq, entries_of(house, event.body["rows"]) if event.body["rows"] else []


def entries_of(house: House, rows: str) -> list[Entry]:
    """What is left of one batch, by its commitment."""
    return [Entry.parse(text.encode()) for text in house.rows.get(rows) if text is not None]


def record(house: House, entries: Sequence[Entry], source: Source, through: int | None = None) -> dict[str, Any]:
    """Record what is not recorded yet, as one batch; `through`: how far its source was read.

    Returns how many were recorded and how many were known. Durable when it returns.
    """
    known = {entry.id() for entry in recorded(house).entries}
    new = list({entry.id(): entry for entry in entries if entry.id() not in known}.values())
    if new or through is not None:
        _append(house, new, source, through)
    return {"recorded": len(new), "known": len(entries) - len(new)}


def enter(house: House, entry: Entry) -> None:
    """Record one entry at once, as the page does: it is durable when the next item is shown."""
    _append(house, [entry], entry.source, None)


def import_file(house: House, path: Path) -> dict[str, Any]:
    """The feedback in a JSONL. Raises DataError naming every line that can't be read; then nothing is recorded."""
    return {"source": str(path), **record(house, read_entries(path), "file")}


def through(house: House, source: Source) -> int:
    """How far a source was read."""
    events = house.existing_ledger.events(kind=RECORDED) if house.has_ledger else []
    marks = [event.body["through"] for event in events if event.body["source"] == source]
    return max((mark for mark in marks if mark is not None), default=0)


def _append(house: House, new: Sequence[Entry], source: Source, mark: int | None) -> None:
    if any(entry.source != source for entry in new):
        raise IntegrityError(f"a batch from {source} holds entries from elsewhere")
    rows = house.rows.put([entry.canonical().decode() for entry in new]) if new else None
    kinds = dict(sorted(Counter(entry.kind for entry in new).items()))
    consented = sum(entry.consent for entry in new)
    body = {"source": source, "rows": rows, "n": len(new), "kinds": kinds, "consented": consented, "through": mark}
    # The commitment is salted, so that the key says nothing about the words.
    house.ledger.append(RECORDED, body, key=f"feedback/{rows or f'{source}/{mark}'}")
    house.ledger.checkpoint()
