"""What the pages are made from, kept in memory and advanced by new events only: a page costs what has changed.

It is the registry that every verb uses, and beside it what only pages ask: where in the ledger each thing was said.
Everything in it can be thrown away and made again from the ledger.
"""

import gc
import threading
from collections.abc import Collection, Mapping
from copy import copy
from dataclasses import dataclass, field
from typing import Any

from governance.ledger import Event
from governance.people import DENIED, PEOPLE_EVENTS, People
from governance.policies import POLICY_EVENTS, Policies
from governance.registry import KINDS, Entry, Registry
from governance.routing import FOLLOWING, PROMOTED
from tunegate.house import House
from tunegate_core.errors import NotFound

READ_AT_ONCE = 20_000  # events
MANY = 5_000  # events of one reading, after which the objects that stay are many


@dataclass
class Trail:
    """Where the ledger speaks of one candidate. `marks`: kind -> number of its latest event, in order of the first.

    `required`: approvals that its policy asks for; `by`: the keys that gave one; `starter`: the key that started it,
    where another one has to approve. Whether an approval still counts is the lifecycle's to say.
    """

    marks: dict[str, int] = field(default_factory=dict)
    required: int = 0
    starter: str | None = None
    by: list[str] = field(default_factory=list)

    @property
    def given(self) -> int:
        """How many approved."""
        return len(self.by)

    def is_closed_to(self, key: str | None) -> bool:
        """Whether an approval with this key would be refused."""
        return key is not None and (key == self.starter or key in self.by)


@dataclass
class Data:
    """A set of training rows. `record`: as the plan holds it; `seq`: of the plan that named it first."""

    record: Mapping[str, Any]
    seq: int
    subjects: list[str] = field(default_factory=list)


@dataclass
class Known:
    """The ledger as of `size` events. Not to be changed by who reads it."""

    size: int = 0
    registry: Registry = field(default_factory=Registry)
    people: People = field(default_factory=People)
    law: Policies = field(default_factory=Policies)  # policies that were proposed, are in force, were before
    trails: dict[str, Trail] = field(default_factory=dict)
    changes: dict[str, list[int]] = field(default_factory=dict)  # route -> numbers of the events that changed it
    datasets: dict[str, Data] = field(default_factory=dict)  # commitment -> data
    learnt: dict[str, str] = field(default_factory=dict)  # candidate -> the data that its adapter learnt from
    policies: dict[str, list[str]] = field(default_factory=dict)  # digest -> candidates planned with it
    denials: list[int] = field(default_factory=list)
    placed: set[str] = field(default_factory=set)  # versions that were champion or canary of a route

    def entry(self, subject: str) -> Entry:
        """A candidate. Raises NotFound."""
        found = self.registry.entries.get(subject)
        if found is None:
            raise NotFound(f"there is no {subject}; the list of releases shows those there are")
        return found

    def copied(self) -> "Known":
        """The same in containers of its own; what they hold is shared."""
        parts = {name: _copied(part) if hasattr(part, "__dict__") else copy(part) for name, part in vars(self).items()}
        return Known(**parts)

    def take(self, event: Event) -> None:
        """Go on with the next event."""
        self.size = event.seq + 1
        if event.kind == DENIED:
            self.denials.append(event.seq)
            return
        if event.kind in PEOPLE_EVENTS:
            self.people.take(event)
            return
        if event.kind in POLICY_EVENTS:
            self.law.follow(event)
            return
        if changed := self.registry.take(event):
            self.changes.setdefault(changed, []).append(event.seq)
        if event.kind in FOLLOWING:
            if event.kind == PROMOTED and event.body["place"] != "shadow":
                self.placed.add(event.body["version"])
            return
        trail = self.trails.setdefault(str(event.subject), Trail())
        trail.marks[event.kind] = event.seq
        if event.kind == "planned":
            self._plan(event, trail)
        elif event.kind == "judged":
            trail.by = []
        elif event.kind == "approval":
            trail.by = [key for key in trail.by if key != event.body["approver"]]
            trail.by += [event.body["approver"]] if event.body["decision"] == "approve" else []

    def _plan(self, event: Event, trail: Trail) -> None:
        body, subject = event.body, str(event.subject)
        trail.required = body["approvals"]["required"]
        trail.starter = body["starter"] if body["approvals"]["four_eyes"] else None
        self.policies.setdefault(body["policy"], []).append(subject)
        if body["data"]:
            self.datasets.setdefault(body["data"]["rows"], Data(body["data"], event.seq))
        rows = body["data"]["rows"] if body["data"] else self.learnt.get(body["source_adapter"])
        if rows:
            self.learnt[subject] = rows
            self.datasets[rows].subjects.append(subject)


def _copied(part: Any) -> Any:
    new = copy(part)
    for name, value in vars(part).items():
        setattr(new, name, copy(value))
    return new


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
        ledger = self._house.existing_ledger
        size = ledger.size()
        if size < self._known.size:  # an older ledger was put in its place
            self._known = Known()
        began = self._known.size
        while self._known.size < size:
            events = ledger.events(WATCHED, start=self._known.size, limit=READ_AT_ONCE)
            known = self._known.copied()  # who reads the old one goes on with it; a fault leaves it as it was
            for event in events:
                known.take(event)
            if len(events) < READ_AT_ONCE:
                known.size = max(known.size, size)
            self._known = known
        if size - began > MANY:
            # What was read stays for the life of the process. Left to the collector, it is walked through again and
            # again, and now and then a page waits for that (a quarter of a second at 10,000 releases).
            gc.collect()
            gc.freeze()


WATCHED: Collection[str] = (*KINDS, *PEOPLE_EVENTS, *POLICY_EVENTS, DENIED)
