"""What following any story of the ledger needs of an event: of a candidate, of people and their keys, of API keys."""

from collections.abc import Mapping
from typing import Any, Protocol


class Happened(Protocol):
    """What happened to whom, and when. `governance.ledger.event.Event` is one."""

    @property
    def kind(self) -> str:
        """planned, user-added, api-key-created, ..."""
        ...

    @property
    def at(self) -> str:
        """RFC 3339, UTC."""
        ...

    @property
    def subject(self) -> str | None:
        """What it is about: NAME@N, or the id of a user or key."""
        ...

    @property
    def body(self) -> Mapping[str, Any]:
        """The event's payload."""
        ...
