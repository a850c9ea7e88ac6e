"""Requests that are being answered: at most so many, holding at most so much memory together, and each can be cut when
its version may not answer any more.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from serving.call import GONE, Call
from serving.errors import Refusal, unavailable
from serving.outlet import Outlet
from serving.view import View

SWEEP_SECONDS = 1.0
PLACE_BYTES = 262_144  # of one request's task, connections and buffers, to its caller and to its engine

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Hold = Callable[[int], None]


@dataclass(eq=False)
class Cuttable:
    """One answer, the task that gives it, and the caller's connection (none for a shadow)."""

    call: Call
    outlet: Outlet | None
    task: "asyncio.Task[Any]"
    why: Refusal | None = None

    def cut(self, why: Refusal) -> None:
        """End it; the task sees `why` raised. The first reason stands."""
        if self.why is None:
            self.why = why
            self.task.cancel()


class InFlight:
    """Counts and cuts. `held`: bytes, as they were weighed; at most `most_bytes`."""

    def __init__(self, most: int, most_bytes: int):
        self.held = 0
        self._most, self._most_bytes, self._places = most, most_bytes, 0
        self._running: set[Cuttable] = set()

    def __len__(self) -> int:
        return self._places

    @property
    def is_busy(self) -> bool:
        """Whether half of the places or of the memory is taken: no time for what nobody waits for."""
        return self._places * 2 > self._most or self.held * 2 > self._most_bytes

    @contextmanager
    def holding(self) -> Iterator[Hold]:
        """A function that takes so many more bytes until the block ends. It raises Refusal (503) when all are taken."""
        mine = 0

        def hold(size: int) -> None:
            nonlocal mine
            if self.held + size > self._most_bytes:
                raise unavailable("overloaded", "Too much is being answered at once; try again in a moment.")
            mine += size
            self.held += size

        try:
            yield hold
        finally:
            self.held -= mine

    @contextmanager
    def place(self) -> Iterator[Hold]:
        """A place for one request, and its memory. Raises Refusal (503) when all are taken."""
        if self._places >= self._most:
            raise unavailable("overloaded", "Too many requests at once; try again in a moment.")
        with self.holding() as hold:
            hold(PLACE_BYTES)
            self._places += 1
            try:
                yield hold
            finally:
                self._places -= 1

    @contextmanager
    def cuttable(self, call: Call, outlet: Outlet | None = None) -> Iterator[Cuttable]:
        """The block, in the running task, can be cut from outside; then its Refusal is raised here."""
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("requests are answered in tasks")
        entry = Cuttable(call, outlet, task)
        self._running.add(entry)
        try:
            yield entry
        except asyncio.CancelledError:
            if entry.why is None:
                raise
            task.uncancel()
            raise entry.why from None
        finally:
            self._running.discard(entry)

    def sweep(self, stall_seconds: float) -> None:
        """Cut every answer whose caller has taken nothing for so long."""
        since = time.perf_counter() - stall_seconds
        for entry in list(self._running):
            if entry.outlet is not None and (entry.outlet.stuck_since or since) < since:
                entry.cut(Refusal(GONE, "client_stalled", "The caller takes nothing."))

    async def watch(self, stall_seconds: float) -> None:
        """Sweep for ever."""
        while True:
            await asyncio.sleep(SWEEP_SECONDS)
            self.sweep(stall_seconds)

    def apply(self, view: View) -> None:
        """Cut every answer that a new snapshot does not allow."""
        for entry in list(self._running):
            decision = entry.call.decision
            if not view.still_answers(decision.alias, decision.subject, entry.call.key_id):
                entry.cut(unavailable("model_withdrawn", "This version was withdrawn while it answered."))


async def watch_for_leaving(receive: Receive, entry: Cuttable) -> None:
    """Cut the answer when its caller goes away before the last word; many leave at it, and the engine ends later."""
    while (await receive())["type"] != "http.disconnect":
        pass
    if not entry.call.reading.is_complete:
        entry.cut(Refusal(GONE, "client_gone", "The caller went away."))
