"""One-method ports: how a room reaches what lies outside it. `tunegate/house.py` is the only place that fills them."""

from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol


class Clock(Protocol):
    """The time, so that a test can choose it."""

    def __call__(self) -> datetime:
        """Now, in UTC."""
        ...


class Progress(Protocol):
    """Where long work says how far it is."""

    def __call__(self, stage: str, done: float, total: float, **figures: float) -> None:
        """`done` of `total` units of `stage`; `figures` are shown beside it (loss, tokens_per_s)."""
        ...


class Recorder(Protocol):
    """Where an event goes that must not be lost (the ledger, seen from a room that does not know it)."""

    def __call__(self, kind: str, body: dict[str, Any]) -> None:
        """Append one event; returns when it is durable."""
        ...


@dataclass(frozen=True)
class Share:
    """What each worker of a cluster gets."""

    cpus: int
    gpus: int


class Cluster(Protocol):
    """Where several workers run (Ray, as one room starts it and another uses it)."""

    def __call__(self, workers: int) -> AbstractContextManager[Share]:
        """A connection for the length of a block, and each worker's share. Raises ResourcesUnavailable, at once, when
        there is no room for so many."""
        ...
