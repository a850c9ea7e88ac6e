"""The newest verified snapshot, taken up within a moment of its being written.

The file is looked at ten times a second and read when it changed. What does not verify, or is older than what was taken
before (also by an earlier process: the epoch is kept beside the file), is left and said so; the last verified one goes
on. Whoever publishes touches the file whenever the ledger has confirmed that it is still the newest: a file that has
not been touched for `max_stale_s` is stale, and the snapshot says what to do then.
"""

import asyncio
import contextlib
import logging
import os
import time
from collections.abc import Callable
from pathlib import Path

from serving.view import View
from tunegate_core.errors import IntegrityError
from tunegate_core.snapshot import verify_snapshot

LOOK_SECONDS = 0.1

Held = tuple[str, str]  # a route's alias and its canary, NAME@N

log = logging.getLogger(__name__)


class Live:
    """`view` is None until a snapshot was verified; `data` are the bytes it came in, for the replicas to verify."""

    def __init__(self, path: Path, public_raw: bytes, clock: Callable[[], float] = time.time):
        self.view: View | None = None
        self.data = b""
        self.refused = 0
        self.held: frozenset[Held] = frozenset()  # canaries that get nobody, whatever the snapshot gives them
        self._path, self._public, self._clock = path, public_raw, clock
        self._seen: tuple[int, int, int] | None = None
        self._touched = self._noticed = 0.0
        self._listeners: list[Callable[[View], None]] = []

    def on_change(self, listener: Callable[[View], None]) -> None:
        """Call this with each new view."""
        self._listeners.append(listener)

    def age(self) -> float:
        """Seconds since the snapshot was last confirmed: by the file's time, or since it was seen to change, where the
        clock was set back and the file's time lies ahead of it."""
        return max(self._clock() - self._touched, time.monotonic() - self._noticed)

    def is_too_old(self) -> bool:
        """Whether it is stale and says that nothing may answer then."""
        if self.view is None:
            return True
        staleness = self.view.staleness
        return staleness.then == "refuse" and self.age() > staleness.max_stale_s

    def look(self) -> None:
        """Take up the file if it has changed."""
        if (data := self._changed()) is not None:
            self._take(data, self._verified(data))

    async def watch(self) -> None:
        """Look for ever; a large snapshot is verified beside the answering."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            if (data := self._changed()) is not None:
                self._take(data, await asyncio.to_thread(self._verified, data))

    def _changed(self) -> bytes | None:
        """What the file holds, if it is not what was looked at before. When it is gone, the last snapshot ages."""
        with contextlib.suppress(OSError):
            found = self._path.stat()
            if found.st_mtime != self._touched:
                self._touched, self._noticed = found.st_mtime, time.monotonic()
            seen = (found.st_mtime_ns, found.st_size, found.st_ino)
            if seen != self._seen:
                data = self._path.read_bytes()
                self._seen = seen
                return None if data == self.data else data
        return None

    def _verified(self, data: bytes) -> View | None:
        try:
            return View.of(verify_snapshot(data, self._public, self._newest()))
        except IntegrityError as error:
            self.refused += 1
            log.error("the snapshot was not taken: %s", str(error).partition("\n")[0])
            return None

    def _take(self, data: bytes, view: View | None) -> None:
        if view is None:
            return
        self.view, self.data = view, data
        self._remember(view.epoch)
        for listener in self._listeners:
            listener(view)

    @property
    def _memory(self) -> Path:
        return self._path.with_suffix(".epoch")

    def _newest(self) -> int:
        with contextlib.suppress(OSError, ValueError):
            return max(int(self._memory.read_text()), self.view.epoch if self.view else 0)
        return self.view.epoch if self.view else 0

    def _remember(self, epoch: int) -> None:
        """A full disk does not keep a new snapshot out; this process remembers it in any case."""
        draft = self._memory.with_suffix(f".epoch-{os.getpid()}")
        try:
            draft.write_text(str(epoch))
            draft.replace(self._memory)
        except OSError as error:
            log.warning("the newest epoch could not be kept: %s", type(error).__name__)
