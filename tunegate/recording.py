"""How a step becomes an event, once: replayed against the lifecycle before it is appended, signed for after it.

The key of an event is its candidate and kind, so that a step done twice, or by two processes, is recorded once.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from governance.ledger import Event, Transaction
from governance.ledger.event import format_time
from governance.lifecycle import AnyState, Planned, replay
from tunegate.house import House
from tunegate_core.errors import BadInput, NotFound
from tunegate_core.proof.approval import latest
from tunegate_core.records import AdapterRecord, Verdict


@dataclass(frozen=True)
class Standing:
    """A candidate as its events tell, in order."""

    subject: str
    events: tuple[Event, ...]

    @property
    def state(self) -> AnyState:
        """The lifecycle state that replaying the events reaches. Raises IntegrityError when they are out of order."""
        return replay(self.events)

    def at(self, clock: datetime) -> str:
        """The time of what follows now (RFC 3339): never before what is recorded, wherever the clock stands."""
        return latest([format_time(clock), *(event.at for event in self.events)])

    def has(self, kind: str) -> bool:
        """Whether such an event is recorded."""
        return any(event.kind == kind for event in self.events)

    def body(self, kind: str) -> dict[str, Any]:
        """The body of the latest event of a kind. Raises BadInput when there is none."""
        for event in reversed(self.events):
            if event.kind == kind:
                return dict(event.body)
        raise BadInput(f"{self.subject} is not {kind} yet; 'tunegate show {self.subject}' says where it stands")

    @property
    def planned(self) -> Planned:
        """The plan."""
        return Planned.model_validate(self.body("planned"))

    @property
    def adapter(self) -> AdapterRecord:
        """The sealed adapter."""
        return AdapterRecord.model_validate(self.body("sealed")["adapter"])


def standing(house: House, subject: str) -> Standing:
    """Where a candidate stands. Raises NotFound naming those there are."""
    # Routes and keys have events of their own; neither is called NAME@N.
    events = tuple(house.existing_ledger.events(subject=subject)) if "@" in subject else ()
    if not events:
        known = [str(event.subject) for event in house.existing_ledger.events(kind="planned")]
        raise NotFound(f"there is no {subject}; there are: {', '.join(known) or 'none yet'}")
    return Standing(subject, events)


def verdict_of(house: House, now: Standing) -> Verdict | None:
    """The verdict, read from the store; None before one was reached."""
    return Verdict.parse(house.store.get(now.body("judged")["verdict"])) if now.has("judged") else None


def record_once(
    house: House, subject: str, kind: str, work: Callable[[], dict[str, Any]], key: str | None = None
) -> None:
    """Do the work and record it, unless it is recorded under its key: the candidate and the kind, if not given."""
    key = key or f"{subject}/{kind}"
    if house.ledger.by_key(key) is None:
        body = work()
        with house.ledger.write() as tx:
            append(house, tx, subject, kind, body, key)
    house.ledger.checkpoint()


def append(house: House, tx: Transaction, subject: str, kind: str, body: dict[str, Any], key: str) -> Event:
    """Append a lifecycle event; one that is out of order raises, and the transaction writes nothing."""
    event = tx.append(kind, body, subject=subject, key=key, actor=house.person_key(house.person).key_id)
    replay(tx.events(subject=subject))
    return event
