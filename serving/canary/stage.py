"""A canary at one share of its route, as the ledger tells it, and what is kept of a decision about it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Protocol

from serving.canary.decision import Decision
from tunegate_core.config.schema import CanaryBlock
from tunegate_core.records import GrownRecord
from tunegate_core.snapshot import Subject


@dataclass(frozen=True)
class Stage:
    """`event` is the number of the event that gave the canary its share, `started` that event's time in seconds since
    1970, `rules` what the canary's own released config says. `is_paused`: it waits for a person."""

    alias: str
    canary: str
    champion: str
    weight_bp: int
    event: int
    started: float
    rules: CanaryBlock
    is_paused: bool = False


class Analysis(GrownRecord):
    """Everything a canary was decided by: the ledger holds this record's digest.

    `judge`: whose scores there may be among its figures, and by what rubric.
    """

    later: ClassVar[tuple[str, ...]] = ("judge",)

    route: str
    canary: Subject
    champion: Subject
    event: int
    rules: CanaryBlock
    decision: Decision
    judge: str | None = None


class Steering(Protocol):
    """How canary analysis reaches the ledger: filled by the roof. Both raise a TunegateError when it is away."""

    def stages(self) -> Sequence[Stage]:
        """Every canary there is."""
        ...

    def steer(self, stage: Stage, decision: Decision) -> bool:
        """Do what was decided, as one event, and publish it. False when a person has moved the canary meanwhile."""
        ...
