"""Candidates, releases and routes as the ledger tells them: a projection that can be thrown away and made again."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from governance.lifecycle import LifecycleEvent


@dataclass
class Entry:
    """One candidate: its place, and how far its events took it. `items`: task -> digest; `planned_at`: RFC 3339.

    `state` is the name of its lifecycle state. It is taken from the latest event without a replay, which every event
    has passed before it was recorded.
    """

    subject: str
    name: str
    version: int
    route: str
    items: Mapping[str, str]
    attempt: int
    planned_at: str
    state: str
    verdict: str | None = None
    adapter: str | None = None

    def take(self, event: LifecycleEvent) -> None:
        """Go on to what an event after the plan says."""
        if event.kind == "approval":  # a yes leaves it judged; enough of them are an event of their own
            self.state = "Refused" if event.body["decision"] == "refuse" else self.state
            return
        self.state = event.kind.capitalize()
        if event.kind == "sealed":
            self.adapter = event.body["adapter"]["tree"]
        elif event.kind == "judged":
            self.verdict = event.body["outcome"]


@dataclass
class Registry:
    """`entries` in the order they were planned; `routes`: route -> the version that answers there (its champion).

    The first release of a route creates it; a later one does not move it. A revoked champion leaves the route empty.
    """

    entries: dict[str, Entry] = field(default_factory=dict)
    routes: dict[str, str | None] = field(default_factory=dict)

    @classmethod
    def from_events(cls, events: Iterable[LifecycleEvent]) -> Self:
        """Walk the events once."""
        registry = cls()
        for event in events:
            registry._take(event)
        return registry

    def next_version(self, name: str) -> int:
        """The number of the next candidate of this name."""
        return 1 + max((entry.version for entry in self.entries.values() if entry.name == name), default=0)

    def champion(self, route: str) -> str | None:
        """NAME@N that the route points to, or None."""
        return self.routes.get(route)

    def attempts(self, route: str, items: Mapping[str, str]) -> int:
        """How many candidates for this route were planned against any of these item sets."""
        sets = set(items.values())
        return sum(
            entry.route == route and not sets.isdisjoint(entry.items.values()) for entry in self.entries.values()
        )

    def _take(self, event: LifecycleEvent) -> None:
        if event.kind == "planned":
            body: Mapping[str, Any] = event.body
            items = {task: str(frozen["digest"]) for task, frozen in body["items"].items()}
            self.entries[str(event.subject)] = Entry(
                subject=str(event.subject), name=body["name"], version=body["version"], route=body["route"],
                items=items, attempt=body["attempt"], planned_at=event.at, state="Planned",
            )  # fmt: skip
        elif event.subject in self.entries:
            entry = self.entries[str(event.subject)]
            entry.take(event)
            if event.kind == "released" and self.routes.get(entry.route) is None:
                self.routes[entry.route] = entry.subject
            elif event.kind in ("revoked", "retired") and self.routes.get(entry.route) == entry.subject:
                self.routes[entry.route] = None
