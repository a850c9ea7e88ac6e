"""Who is logged in. The cookie holds a signed random id and nothing else; what it stands for is kept here, in memory.

1. A login has a new id: what a browser held before, or was given by somebody, never becomes one.
2. It ends when the person logs out, after `IDLE` without a request, after `LONGEST`, and when the console is restarted.
"""

import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

IDLE, LONGEST = 3_600.0, 12 * 3_600.0
TOKEN_BYTES = 32


@dataclass
class Login:
    """One user in one browser. `csrf` is what its forms must send back; `said` is shown once, on the next page."""

    user_id: str
    csrf: str
    since: float
    seen: float
    said: list[str] = field(default_factory=list)


class Logins:
    """Logins by id. Safe to share between threads. `clock`: seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic):
        self._clock, self._lock = clock, threading.Lock()
        self._logins: dict[str, Login] = {}

    def begin(self, user_id: str) -> str:
        """A new login; returns its id."""
        now, key = self._clock(), secrets.token_urlsafe(TOKEN_BYTES)
        with self._lock:
            self._logins = {key: login for key, login in self._logins.items() if _is_alive(login, now)}
            self._logins[key] = Login(user_id, secrets.token_urlsafe(TOKEN_BYTES), now, now)
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


def _is_alive(login: Login, now: float) -> bool:
    return now - login.seen < IDLE and now - login.since < LONGEST
