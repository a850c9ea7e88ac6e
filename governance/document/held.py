"""Everything a document may be made from: events, and the stored records that they name by digest."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from governance.document.model import Fact, Head, Row, Source, Span
from governance.ledger.event import Event
from governance.lifecycle import Planned, replay
from governance.policy import Policy
from tunegate_core.canonical import Digest
from tunegate_core.proof.approval import SignedDecision
from tunegate_core.records import AdapterRecord, Environment, Evidence, Verdict
from tunegate_core.store import Tree


@dataclass(frozen=True)
class Explained:
    """An explanation of one answer, recorded because somebody asked for that. `told`: its words; None: erased."""

    event: Event
    told: Mapping[str, Any] | None


@dataclass(frozen=True)
class Declared:
    """What a person declared of a field that no record answers. `text`: their words; None: erased."""

    event: Event
    text: str | None


@dataclass(frozen=True)
class Held:
    """One candidate. `events`: its own, in order; `around`: those of its route and of the keys that signed. `declared`
    is by kind of document and field.

    What is None was not recorded (yet). `other` is the release a change log starts from.
    """

    events: Sequence[Event]
    around: Sequence[Event]
    head: Head
    config: dict[str, Any]
    policy: Policy
    environment: Environment | None = None
    evidence: Sequence[Evidence] = ()
    verdict: Verdict | None = None
    explained: Sequence[Explained] = ()
    declared: Mapping[tuple[str, str], Declared] = field(default_factory=dict)
    manifest: Tree | None = None
    other: "Held | None" = None
    planned: Planned = field(init=False)
    _digests: dict[int, tuple[Evidence | Verdict, Digest]] = field(
        init=False, default_factory=dict, repr=False, compare=False
    )

    def __post_init__(self) -> None:
        """The plan is read once; it is asked for everywhere."""
        object.__setattr__(self, "planned", Planned.model_validate(self.events[0].body))

    @property
    def subject(self) -> str:
        """NAME@N."""
        return self.planned.subject

    @property
    def state(self) -> str:
        """Its lifecycle state now."""
        return type(replay(self.events)).__name__

    @property
    def adapter(self) -> AdapterRecord | None:
        """The sealed adapter."""
        event = self.last("sealed")
        return AdapterRecord.model_validate(event.body["adapter"]) if event else None

    def last(self, kind: str) -> Event | None:
        """The latest event of a kind."""
        return next((event for event in reversed(self.events) if event.kind == kind), None)

    def decisions(self) -> list[tuple[Event, SignedDecision]]:
        """What people signed."""
        return [(event, SignedDecision.model_validate(event.body)) for event in self.events if event.kind == "approval"]

    def digest(self, record: Evidence | Verdict) -> Digest:
        """The digest of one of its records, worked out once: dozens of rows name the same evidence."""
        if id(record) not in self._digests:
            self._digests[id(record)] = record, record.digest()  # held, so that its id stays its own
        return self._digests[id(record)][1]

    def source(self, kind: str, record: str | None = None) -> Source:
        """The latest event of a kind as a source; the caller has seen that there is one."""
        event = self.last(kind)
        if event is None:
            raise LookupError(f"{self.subject} has no event '{kind}'")
        return Source(event=event.seq, record=record)

    def fact(self, name: str, value: object, kind: str, record: str | None = None) -> Fact:
        """A value that the latest event of a kind proves."""
        return Fact(name=name, value=str(value), sources=(self.source(kind, record),))

    def row(self, cells: Sequence[object], kind: str, record: str | None = None, span: Span | None = None) -> Row:
        """A table's row that the latest event of a kind proves."""
        return Row(cells=tuple(map(str, cells)), sources=(self.source(kind, record),), span=span)
