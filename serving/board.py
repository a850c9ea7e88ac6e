"""Where replicas and the gateway meet inside Ray: one small actor that holds the newest snapshot and who is there.

It decides nothing and is trusted with nothing: snapshots are signed, and each replica verifies them itself. When it is
lost, Ray starts it again empty; replicas report and the gateway publishes again within a moment.
"""

import time
from dataclasses import dataclass, field

NAME = "tunegate-board"
NAMESPACE = "tunegate"
GONE_SECONDS = 5.0


@dataclass(frozen=True)
class Status:
    """What a replica says of itself: where its engine answers, and which names it answered a probe for.

    `epoch` is that of the snapshot it has taken; `refused` names versions it would not load, each with the reason.
    `is_there`: it answers; one of a fixed list is told of also when it does not.
    """

    replica: str
    url: str
    key: str = field(repr=False)
    epoch: int
    ready: frozenset[str]
    refused: dict[str, str] = field(default_factory=dict)
    is_there: bool = True


class Board:
    """The actor. Its methods return quickly; nobody waits here for anybody."""

    def __init__(self) -> None:
        self._snapshot = b""
        self._statuses: dict[str, tuple[float, Status]] = {}

    def newest(self) -> bytes:
        """The newest snapshot's bytes, for a replica that has nothing to offer yet (none yet: empty)."""
        return self._snapshot

    def report(self, status: Status) -> bytes:
        """A replica says how it is and gets the newest snapshot's bytes (none yet: empty)."""
        self._statuses[status.replica] = (time.monotonic(), status)
        return self._snapshot

    def leave(self, replica: str) -> None:
        """A replica ends."""
        self._statuses.pop(replica, None)

    def publish(self, snapshot: bytes) -> list[Status]:
        """The gateway leaves its snapshot and gets every replica that was heard of lately."""
        self._snapshot = snapshot
        oldest = time.monotonic() - GONE_SECONDS
        return [status for heard, status in self._statuses.values() if heard > oldest]
