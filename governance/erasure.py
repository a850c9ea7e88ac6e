"""Data that was withdrawn: which rows, what learnt from them, and what follows, as the ledger tells.

1. One event names every row that is erased, by its set's root and its leaf hash, and every candidate that learnt from
   one; it is recorded before anything is erased, together with what follows for each of them.
2. A row that such an event names reads as erased for ever. One that reads as erased and is named by none was lost; one
   that is named and has its text is not erased yet, or came back from an old copy.
3. A candidate that is not released ends Withdrawn. A release ends Revoked, or must be made anew in the time that the
   policy of its plan gives; it then stays where it is until then.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal, Self

from pydantic import Field, ValidationError

from governance.happened import Happened
from governance.ledger.event import format_time
from governance.policy import ErasureRule
from tunegate_core.errors import IntegrityError
from tunegate_core.records import Record

ERASED, SCHEDULED = ERASURE_EVENTS = ("erased", "retraining-scheduled")
Fate = Literal["revoked", "withdrawn", "scheduled", "ended"]


class ErasedRow(Record):
    """A row by its set's root, its number, and its leaf hash (hex), which is all that is left of it."""

    rows: str = Field(pattern=r"^rows:[0-9a-f]{64}$")
    row: int = Field(ge=0)
    leaf: str = Field(pattern=r"^[0-9a-f]{64}$")


class Erased(Record):
    """The body of an erasure. `reason`: a commitment to erasable text; `affected`: candidates that learnt from it."""

    rows: tuple[ErasedRow, ...] = Field(min_length=1)
    affected: tuple[str, ...]
    reason: str


class Scheduled(Record):
    """A release that must be made anew until `due` (RFC 3339), because of the erasure that is event `erased`."""

    version: str
    due: str
    erased: int = Field(ge=0)


@dataclass
class Erasures:
    """`rows`: erased row numbers by the set's root, each with the number of its event; `due`: release -> when."""

    rows: dict[str, dict[int, int]] = field(default_factory=dict)
    due: dict[str, str] = field(default_factory=dict)

    @classmethod
    def from_events(cls, events: Iterable[Any]) -> Self:
        """Walk the events once; passing over others than erasures'. Raises IntegrityError for a body that is none."""
        found = cls()
        for event in events:
            found.take(event, event.seq)
        return found

    def take(self, event: Happened, seq: int) -> None:
        """Go on with one event."""
        try:
            if event.kind == ERASED:
                for erased in Erased.model_validate(event.body).rows:
                    self.rows.setdefault(erased.rows, {})[erased.row] = seq
            elif event.kind == SCHEDULED:
                said = Scheduled.model_validate(event.body)
                self.due[said.version] = said.due
        except ValidationError as error:
            raise IntegrityError(f"event {seq} ('{event.kind}') does not hold what it must: {error}") from error

    def has(self, rows: str, row: int) -> bool:
        """Whether an event says that this row is erased."""
        return row in self.rows.get(rows, {})


def fate(state: str, rule: ErasureRule) -> Fate:
    """What follows for a candidate that learnt from withdrawn data, by the name of its lifecycle state."""
    if state in ("Revoked", "Refused", "Withdrawn"):
        return "ended"
    if state not in ("Released", "Retired"):
        return "withdrawn"
    return "scheduled" if rule.then == "retrain" else "revoked"


def due(now: datetime, rule: ErasureRule) -> str:
    """Until when a release must be made anew."""
    return format_time(now + timedelta(days=rule.days))


def learnt(lineage: Iterable[Mapping[str, Any]], row: int) -> bool:
    """Whether training saw a row, by the account of its data set; a row the account lacks counts as seen."""
    found = [entry for entry in lineage if entry.get("row") == row]
    return not found or any(entry.get("status") != "dropped" for entry in found)
