"""Candidates, releases and routes as the ledger tells them: a projection that can be thrown away and made again.

`KINDS` are the events it is made from, `MOVING` those that routes alone depend on; others may be left out.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from governance.happened import Happened
from governance.lifecycle import ARROWS
from governance.routing import FOLLOWING, Place, RouteState, created, follow
from tunegate_core.errors import BadInput, IntegrityError, NotFound

KINDS = (*ARROWS, *FOLLOWING)
MOVING = ("planned", "released", "revoked", "retired", *FOLLOWING)


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

    def take(self, event: Happened) -> None:
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
    """`entries` in the order they were planned; `states`: each route as its events tell (law: governance.routing)."""

    entries: dict[str, Entry] = field(default_factory=dict)
    states: dict[str, RouteState] = field(default_factory=dict)

    @classmethod
    def from_events(cls, events: Iterable[Happened]) -> Self:
        """Walk the events once. Raises IntegrityError for a change of a route that could not have happened then."""
        registry = cls()
        for event in events:
            registry.take(event)
        return registry

    def take(self, event: Happened) -> str | None:
        """Go on with the next event; the route that it changed, if it changed one. Raises IntegrityError as above; the
        registry is then as it was."""
        if event.kind == "planned":
            body: Mapping[str, Any] = event.body
            items = {task: str(frozen["digest"]) for task, frozen in body["items"].items()}
            self.entries[str(event.subject)] = Entry(
                subject=str(event.subject), name=body["name"], version=body["version"], route=body["route"],
                items=items, attempt=body["attempt"], planned_at=event.at, state="Planned",
            )  # fmt: skip
        elif event.kind in FOLLOWING:
            self._follow(event)
            return str(event.subject)
        elif event.subject in self.entries:
            entry = self.entries[str(event.subject)]
            before = self.states.get(entry.route)
            entry.take(event)
            if event.kind == "released":
                self._release(entry)
            elif event.kind in ("revoked", "retired"):
                self.states = {alias: state.without(entry.subject) for alias, state in self.states.items()}
            return entry.route if self.states.get(entry.route) != before else None
        return None

    @property
    def routes(self) -> dict[str, str | None]:
        """Route -> the version that answers there (its champion)."""
        return {alias: state.route.champion for alias, state in self.states.items()}

    def next_version(self, name: str) -> int:
        """The number of the next candidate of this name."""
        return 1 + max((entry.version for entry in self.entries.values() if entry.name == name), default=0)

    def champion(self, route: str) -> str | None:
        """NAME@N that the route points to, or None."""
        return self.states[route].route.champion if route in self.states else None

    def state(self, route: str) -> RouteState:
        """The route. Raises NotFound naming those there are."""
        if route not in self.states:
            known = ", ".join(sorted(self.states)) or "none yet; the first release makes one"
            raise NotFound(f"there is no route {route}; there are: {known}")
        return self.states[route]

    def is_released(self, version: str, route: str) -> bool:
        """Whether a version was released for this route and not withdrawn since."""
        entry = self.entries.get(version)
        return entry is not None and entry.state == "Released" and entry.route == route

    def place_of(self, version: str) -> Place | None:
        """Where a version stands on its route."""
        state = self.states.get(self.entries[version].route) if version in self.entries else None
        return state.place_of(version) if state else None

    def attempts(self, route: str, items: Mapping[str, str]) -> int:
        """How many candidates for this route were planned against any of these item sets."""
        sets = set(items.values())
        return sum(
            entry.route == route and not sets.isdisjoint(entry.items.values()) for entry in self.entries.values()
        )

    def _release(self, entry: Entry) -> None:
        state = self.states.get(entry.route)
        if state is None:
            self.states[entry.route] = created(entry.route, entry.subject)
        elif state.route.champion is None:
            self.states[entry.route] = state.led_by(entry.subject, state.before)

    def _follow(self, event: Happened) -> None:
        alias = str(event.subject)
        try:
            self.states[alias] = follow(self.state(alias), event.kind, event.body, self.is_released)
        except BadInput as error:
            raise IntegrityError(f"'{event.kind}' of {alias} does not follow from what was before: {error}") from error
