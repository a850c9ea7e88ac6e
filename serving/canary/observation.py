"""What is known of one request of a canary's route, and how each guard reads it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from tunegate_core.config.schema import GuardName

Arm = Literal["champion", "canary"]


@dataclass(frozen=True, slots=True)
class Observation:
    """A request, or what was said of it later; None is "not measured", never a good value.

    `at`: when the request came, in seconds since 1970. `unit`: whom the arm was chosen for (user, session or key), in
    any form that tells one from another; None if unknown. `ok`: answered without a fault of ours. `ttft_ms`: until the
    caller had the first of the answer, or all of it where it was not streamed, in milliseconds. `itl_ms`: between two
    tokens, on average. `thumb`: 1 up, -1 down. `score`: a judge's, from 0 to 1, higher is better.
    """

    arm: Arm
    at: float
    unit: str | None = None
    ok: bool | None = None
    ttft_ms: float | None = None
    itl_ms: float | None = None
    refused: bool | None = None
    empty: bool | None = None
    truncated: bool | None = None
    thumb: Literal[1, -1] | None = None
    score: float | None = None


@dataclass(frozen=True, slots=True)
class Reading:
    """How a guard reads an observation. `kind`: a share of bad ones, a time, or a score; larger values are worse."""

    kind: Literal["rate", "time", "score"]
    value: Callable[[Observation], float | None]


READINGS: Mapping[GuardName, Reading] = {
    "errors": Reading("rate", lambda seen: None if seen.ok is None else float(not seen.ok)),
    "ttft": Reading("time", lambda seen: seen.ttft_ms),
    "itl": Reading("time", lambda seen: seen.itl_ms),
    "refusals": Reading("rate", lambda seen: seen.refused),
    "empty": Reading("rate", lambda seen: seen.empty),
    "truncated": Reading("rate", lambda seen: seen.truncated),
    "thumbs-down": Reading("rate", lambda seen: None if seen.thumb is None else float(seen.thumb < 0)),
    "score": Reading("score", lambda seen: None if seen.score is None else -seen.score),
}
