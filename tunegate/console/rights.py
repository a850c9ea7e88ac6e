"""Who may do what on the pages: people have roles, roles give rights, every page asks for one right."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, Protocol

Role = Literal["trainer", "reviewer", "operator", "auditor", "admin"]
Right = Literal["read", "annotate", "approve", "operate", "manage"]

RIGHTS: Mapping[Role, frozenset[Right]] = {
    "trainer": frozenset({"read", "annotate"}),
    "reviewer": frozenset({"read", "annotate", "approve"}),
    "operator": frozenset({"read", "operate"}),
    "auditor": frozenset({"read"}),
    "admin": frozenset({"read", "operate", "manage"}),  # whoever makes the users does not approve as well
}


@dataclass(frozen=True)
class User:
    """Somebody who is logged in. `name` is also the name of their signing key."""

    name: str
    roles: tuple[Role, ...]

    def may(self, right: Right) -> bool:
        """Whether one of the roles gives this right."""
        return any(right in RIGHTS[role] for role in self.roles)


class Users(Protocol):
    """Where people are known."""

    def authenticate(self, name: str, password: str) -> User | None:
        """The user of this name and password; None for anybody else, after the same time."""
        ...

    def find(self, name: str) -> User | None:
        """The user of this name as they are now; None once they were removed."""
        ...


class NobodyYet:
    """A house without users."""

    def authenticate(self, name: str, password: str) -> User | None:
        """Nobody."""
        return None

    def find(self, name: str) -> User | None:
        """Nobody."""
        return None
