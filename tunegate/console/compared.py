"""Which batches of feedback compare which two, kept in memory without a word of what was said.

A page about two that answered reads the batches that compare these two, and no other. Each batch is read once more
when a console first asks after it was recorded, to learn whom it is about. All of it can be made again from the ledger.
"""

import threading
from collections.abc import Set

from eval.feedback.entry import Entry, of_kind, standing
from tunegate.feedback import RECORDED, entries_of
from tunegate.house import House


class Compared:
    """One house's batches by whom they compare. Safe to share between threads."""

    def __init__(self, house: House):
        self._house, self._lock = house, threading.Lock()
        self._size, self._batches = 0, dict[Set[str | None], list[str]]()

    def of(self, ours: str, theirs: str) -> list[Entry]:
        """What counts now of all that was said comparing these two, in the order in which it was recorded."""
        names = frozenset((ours, theirs))
        with self._lock:
            if self._house.has_ledger:
                self._advance()
            batches = list(self._batches.get(names, ()))
        said = [entry for rows in batches for entry in entries_of(self._house, rows)]
        # One person's words about one prompt are about the same two, so what others were compared changes nothing here.
        return standing(entry for entry in said if {entry.a, entry.b} == names)

    def _advance(self) -> None:
        ledger = self._house.existing_ledger
        if ledger.size() < self._size:  # an older ledger was put in its place
            self._size, self._batches = 0, {}
        for event in ledger.events(RECORDED, start=self._size):
            rows = event.body["rows"]
            told = of_kind(entries_of(self._house, rows), ["preference"]) if rows else []
            for pair in {frozenset((entry.a, entry.b)) for entry in told}:
                self._batches.setdefault(pair, []).append(rows)
            self._size = event.seq + 1
