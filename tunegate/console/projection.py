"""What the pages are made from, kept in memory and advanced by new events only: a page costs what has changed.

It is the registry that every verb uses, and beside it what only pages ask: where in the ledger each thing was said.
Everything in it can be thrown away and made again from the ledger.
"""

import threading
from collections.abc import Collection
from dataclasses import dataclass, field

from governance.ledger import Event
from governance.registry import KINDS, Entry, Registry
from governance.routing import FOLLOWING
from tunegate.console.denials import DENIED
from tunegate.house import House
from tunegate_core.errors import NotFound

READ_AT_ONCE = 20_000  # events


@dataclass
class Trail:
    """Where the ledger speaks of one candidate. `marks`: kind -> number of its latest event, in order of the first.

    `data`: the commitment to its training rows; `required`: approvals that its policy asks for; `given`: those it has.
    """

    marks: dict[str, int] = field(default_factory=dict)
    data: str | None = None
    required: int = 0
    given: int = 0


@dataclass
class Known:
    """The ledger as of `size` events. Not to be changed by who reads it."""

    size: int = 0
    registry: Registry = field(default_factory=Registry)
    trails: dict[str, Trail] = field(default_factory=dict)
    changes: dict[str, list[int]] = field(default_factory=dict)  # route -> numbers of its events
    denials: list[int] = field(default_factory=list)

    def entry(self, subject: str) -> Entry:
        """A candidate. Raises NotFound."""
        found = self.registry.entries.get(subject)
        if found is None:
            raise NotFound(f"there is no {subject}; the list of releases shows those there are")
        return found

    def take(self, event: Event) -> None:
        """Go on with the next event."""
        self.size = event.seq + 1
        if event.kind == DENIED:
            self.denials.append(event.seq)
            return
        self.registry.take(event)
        if event.kind in FOLLOWING:
            self.changes.setdefault(str(event.subject), []).append(event.seq)
            return
        trail = self.trails.setdefault(str(event.subject), Trail())
        trail.marks[event.kind] = event.seq
        if event.kind == "planned":
            trail.data = event.body["data"]["rows"] if event.body["data"] else None
            trail.required = event.body["approvals"]["required"]
        elif event.kind == "judged":
            trail.given = 0
        elif event.kind == "approval" and event.body["decision"] == "approve":
            trail.given += 1


class Projection:
    """One house's `Known`, advanced when it is asked for. Safe to share between threads."""

    def __init__(self, house: House):
        self._house, self._lock = house, threading.Lock()
        self._known = Known()

    def now(self) -> Known:
        """Everything up to the ledger's last event."""
        with self._lock:
            if self._house.has_ledger:
                self._advance()
            return self._known

    def _advance(self) -> None:
        ledger, known = self._house.existing_ledger, self._known
        size = ledger.size()
        while known.size < size:
            events = ledger.events(WATCHED, start=known.size, limit=READ_AT_ONCE)
            for event in events:
                known.take(event)
            if len(events) < READ_AT_ONCE:
                known.size = max(known.size, size)


WATCHED: Collection[str] = (*KINDS, DENIED)
