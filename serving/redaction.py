"""The seam of `serving.redactions`: what takes personal and secret strings out of a text before it is kept or told."""

from collections.abc import Callable
from typing import Protocol

from tunegate_core import registry
from tunegate_core.errors import ConfigError

REDACTIONS = "serving.redactions"

Redact = Callable[[str], str]


class Redaction(Protocol):
    """A plug-in: cheap to check, possibly dear to open."""

    def check(self) -> None:
        """Raise ConfigError, saying how to get it, when something that it needs is not installed."""
        ...

    def open(self) -> Redact:
        """The function; it is called by threads that nobody waits for."""
        ...


def redaction(name: str) -> Redaction:
    """The plug-in that a config names, checked. Raises ConfigError."""
    known = registry.names(REDACTIONS)
    if name not in known:
        near = registry.nearest(name, known)
        raise ConfigError(f"records.redaction: there is no '{name}'{near}; there are: {', '.join(known)}")
    found: Redaction = registry.load(REDACTIONS, name)
    found.check()
    return found
