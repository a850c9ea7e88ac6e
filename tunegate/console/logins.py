"""Who is logged in. The cookie holds a signed random id and nothing else; what it stands for is kept here, in memory.

1. A login has a new id: what a browser held before, or was given by somebody, never becomes one.
2. It ends when the person logs out, after `IDLE` without a request, after `LONGEST`, and when the console is restarted.
3. After `MOST_FAILURES` wrong passwords within `FAILURE_WINDOW` a name has to wait, whoever asks.
"""

import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

IDLE, LONGEST = 3_600.0, 12 * 3_600.0
MOST_FAILURES, FAILURE_WINDOW = 5, 900.0
MOST_NAMES = 10_000
TOKEN_BYTES = 32


@dataclass
class Login:
    """One person in one browser. `csrf` is what its forms must send back; `said` is shown once, on the next page."""

    name: str
    csrf: str
    since: float
    seen: float
    said: list[str] = field(default_factory=list)


class Logins:
    """Logins by id, and failures by name. Safe to share between threads. `clock`: seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic):
        self._clock, self._lock = clock, threading.Lock()
        self._logins: dict[str, Login] = {}
        self._failures: dict[str, list[float]] = {}

    def begin(self, name: str) -> str:
        """A new login; returns its id."""
        now, key = self._clock(), secrets.token_urlsafe(TOKEN_BYTES)
        with self._lock:
            self._logins = {key: login for key, login in self._logins.items() if _is_alive(login, now)}
            self._logins[key] = Login(name, secrets.token_urlsafe(TOKEN_BYTES), now, now)
            self._failures.pop(name, None)
        return key

    def find(self, key: object) -> Login | None:
        """The login of this id, if it has not ended; it was seen now."""
        with self._lock:
            login = self._logins.get(key) if isinstance(key, str) else None
            if login is None or not _is_alive(login, self._clock()):
                return None
            login.seen = self._clock()
            return login

    def end(self, key: object) -> None:
        """Log out."""
        with self._lock:
            if isinstance(key, str):
                self._logins.pop(key, None)

    def fail(self, name: str) -> None:
        """A wrong password was given for this name."""
        with self._lock:
            if len(self._failures) >= MOST_NAMES:  # made-up names: the oldest make room
                self._failures.pop(next(iter(self._failures)))
            self._failures[name] = [*self._recent(name), self._clock()]

    def must_wait(self, name: str) -> bool:
        """Whether too many wrong passwords were given for this name."""
        with self._lock:
            return len(self._recent(name)) >= MOST_FAILURES

    def _recent(self, name: str) -> list[float]:
        return [at for at in self._failures.get(name, ()) if self._clock() - at < FAILURE_WINDOW]


def _is_alive(login: Login, now: float) -> bool:
    return now - login.seen < IDLE and now - login.since < LONGEST
