"""Names of callers in the request records: the same for a caller as long as a canary is compared, and nobody's later.

A name is a keyed BLAKE2b (RFC 7693) of the caller's own, so it can't be made or tested without the secret. Each canary
has a secret of its own, in a file that only its owner can read and that lies apart from the records. It is made with
the canary and deleted when the canary has ended: from then on its names belong to nobody. On a route without a canary
nothing is compared, and the secret of this process is used, which is written nowhere.
"""

import fcntl
import hashlib
import logging
import os
import secrets
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from serving.view import View

SECRET_BYTES = 32
NAME_BYTES = 8
LOCK = ".lock"

log = logging.getLogger(__name__)


class Pseudonyms:
    """`follow` each new view, then ask `of`. Gateways that share the folder give the same names."""

    def __init__(self, folder: Path):
        self._folder = folder
        self._own = secrets.token_bytes(SECRET_BYTES)
        self._canaries: dict[str, str] | None = None  # by alias, as last followed
        self._secrets: dict[str, bytes] = {}  # by alias

    def of(self, alias: str, unit: str) -> str:
        """The name of a unit (user, session or key) on this route: 16 hex digits."""
        told = f"{alias}\0{unit}".encode("utf-8", "surrogatepass")
        key = self._secrets.get(alias, self._own)
        return hashlib.blake2b(told, key=key, digest_size=NAME_BYTES).hexdigest()

    def follow(self, view: View) -> None:
        """Take a secret for each canary, and delete those of canaries that have ended.

        Where that can't be done, the secret of this process is used: callers have other names after a restart, and no
        request waits or fails for it.
        """
        canaries = {alias: route.canary for alias, route in view.routes.items() if route.canary is not None}
        if canaries == self._canaries and canaries.keys() == self._secrets.keys():
            return
        self._canaries, self._secrets = canaries, {}
        if not canaries and not self._folder.exists():
            return
        try:
            with self._locked():
                kept = {alias: _kept(self._folder / f"{alias}.{canary}") for alias, canary in canaries.items()}
                self._forget_others({f"{alias}.{canary}" for alias, canary in canaries.items()})
        except OSError as error:
            log.warning("names of callers in the records will not outlive this process: %s", type(error).__name__)
        else:
            self._secrets = kept

    @contextmanager
    def _locked(self) -> Iterator[None]:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with (self._folder / LOCK).open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _forget_others(self, wanted: Collection[str]) -> None:
        for path in self._folder.iterdir():
            if path.name not in wanted and path.name != LOCK:
                path.unlink(missing_ok=True)


def _kept(path: Path) -> bytes:
    """The secret in a file, made now if there is none that is whole. Raises OSError."""
    with os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o600), "r+b") as file:
        found = file.read()
        if len(found) != SECRET_BYTES:
            found = secrets.token_bytes(SECRET_BYTES)
            file.seek(0)
            file.truncate()
            file.write(found)
            file.flush()
            os.fsync(file.fileno())
    return found
