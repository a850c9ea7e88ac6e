"""What was decided about a canary, with every figure it was decided by. The ledger holds its digest."""

from typing import Literal

from pydantic import Field

from tunegate_core.config.schema import GuardName
from tunegate_core.records import Record
from tunegate_core.snapshot import ALL

Action = Literal["advance", "hold", "pause", "rollback"]


class Side(Record):
    """One arm under one guard: `n` values; `value` their share of bad ones, or their median in milliseconds or score
    points; `tail` the value that the worst twentieth reaches. None: not measured."""

    n: int = Field(ge=0)
    value: float | None = None
    tail: float | None = None


class Figure(Record):
    """A guard. `evidence`: log10 of the largest e-value so far against "no worse"; `enough`: from here on it is worse.

    `odds_low`, `odds_high`: bounds of the odds ratio of a bad value, canary to champion, that hold at any time; None:
    no bound yet, or not a share.
    """

    guard: GuardName
    is_needed: bool
    canary: Side
    champion: Side
    evidence: float
    enough: float
    odds_low: float | None = None
    odds_high: float | None = None


class Decision(Record):
    """What to do with a canary's weight: `to_bp` of 10,000 from now on. `guard`: what it failed by, if by one.

    `started`, `at`: the window looked at, in seconds since 1970. `alpha` is for all stages and guards together.
    """

    action: Action
    reason: str
    guard: GuardName | None = None
    weight_bp: int = Field(ge=0, le=ALL)
    to_bp: int = Field(ge=0, le=ALL)
    started: float
    at: float
    alpha: float
    tolerance: float
    figures: tuple[Figure, ...]
