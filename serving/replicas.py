"""Which engine is asked: the least busy one that has the version loaded and was not lost a moment ago.

Engines are told of through one function, `exchange`: it gets the newest snapshot's bytes and gives the engines that
there are. When it fails, those known last go on being asked.
"""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from serving.board import Status
from tunegate_core.errors import TunegateError

Exchange = Callable[[bytes], Sequence[Status]]

LOST_SECONDS = 1.0
TURN_SECONDS = 0.2
POLL_SECONDS = 0.02

log = logging.getLogger(__name__)


class Replicas:
    """The engines known now, and how busy this gateway keeps each."""

    def __init__(self, exchange: Exchange, clock: Callable[[], float] = time.monotonic):
        self.known: Sequence[Status] = ()
        self._exchange, self._clock = exchange, clock
        self._busy: Counter[str] = Counter()
        self._lost: dict[str, float] = {}
        self._turn = asyncio.Event()

    def pick(self, name: str) -> Status | None:
        """An engine that has this name ready; None when there is none."""
        ready = [engine for engine in self.known if name in engine.ready]
        since = self._clock() - LOST_SECONDS
        return min(
            ready, key=lambda engine: (self._lost.get(engine.url, 0.0) > since, self._busy[engine.url]), default=None
        )

    async def find(self, name: str, seconds: float) -> Status | None:
        """The same, waiting for an engine that is still loading it."""
        until = self._clock() + seconds
        while (found := self.pick(name)) is None and self._clock() < until:
            await asyncio.sleep(POLL_SECONDS)
        return found

    @contextmanager
    def using(self, engine: Status) -> Iterator[None]:
        """Count a request as this engine's."""
        self._busy[engine.url] += 1
        try:
            yield
        finally:
            self._busy[engine.url] -= 1
            if not self._busy[engine.url]:
                del self._busy[engine.url]

    def lose(self, engine: Status) -> None:
        """It did not answer: others first, for a moment."""
        self._lost = {url: at for url, at in self._lost.items() if at > self._clock() - LOST_SECONDS}
        self._lost[engine.url] = self._clock()

    def hurry(self) -> None:
        """There is a new snapshot: tell the engines now."""
        self._turn.set()

    async def watch(self, data: Callable[[], bytes]) -> None:
        """Exchange for ever. The function may block, so it gets a thread."""
        while True:
            await self.refresh(data())
            self._turn.clear()
            try:
                async with asyncio.timeout(TURN_SECONDS):
                    await self._turn.wait()
            except TimeoutError:
                pass

    async def refresh(self, data: bytes) -> None:
        """Exchange once."""
        try:
            self.known = tuple(await asyncio.to_thread(self._exchange, data))
        except TunegateError as error:
            log.warning("the engines could not be asked: %s", type(error).__name__)
