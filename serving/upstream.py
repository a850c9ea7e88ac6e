"""The one file that speaks HTTP to an engine: pooled connections, streams passed on as they come, faults as one error.

aiohttp, because a streamed answer costs it a third of httpx's processor time (docs/benchmarks.md). An answer that is
left before its end closes its connection, and the engine stops generating.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import aiohttp

from serving.board import Status
from tunegate_core.errors import IntegrityError, ResourcesUnavailable

CONNECT_SECONDS = 3.0
MOST_ANSWER_BYTES = 33_554_432
PIECE = 65_536


class UpstreamLost(ResourcesUnavailable):
    """The engine can't be reached, or went away before its answer was complete."""


class Answer:
    """What an engine is answering. Its methods raise UpstreamLost when it breaks off."""

    def __init__(self, response: aiohttp.ClientResponse):
        self._response = response
        self.status = response.status

    @property
    def is_stream(self) -> bool:
        """Whether it comes in events."""
        return self._response.content_type == "text/event-stream"

    async def read(self, hold: Callable[[int], None]) -> bytes:
        """The whole body; `hold` is told of what it takes while it comes, in pieces and whole.

        Raises IntegrityError for one that is too long: the engine is well, and another would say as much.
        """
        pieces, total = [], 0
        async for piece in self.pieces():
            hold(2 * len(piece))
            pieces.append(piece)
            total += len(piece)
            if total > MOST_ANSWER_BYTES:
                raise IntegrityError(f"the engine's answer has more than {MOST_ANSWER_BYTES} bytes")
        return b"".join(pieces)

    async def pieces(self) -> AsyncIterator[bytes]:
        """The body as it arrives."""
        try:
            async for piece in self._response.content.iter_any():
                yield piece
        except (aiohttp.ClientError, OSError) as error:
            raise UpstreamLost(f"the engine broke off: {type(error).__name__}") from error


class Upstream:
    """A pool of connections, used by one event loop from `open` to `close`."""

    def __init__(self) -> None:
        self._session: aiohttp.ClientSession | None = None

    async def open(self) -> None:
        """Ready the pool. How many connections there are is bounded by the requests in flight."""
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=30.0),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS),
            skip_auto_headers=("User-Agent", "Accept-Encoding"),
            cookie_jar=aiohttp.DummyCookieJar(),
            read_bufsize=PIECE,
        )

    async def close(self) -> None:
        """Drop every connection."""
        if self._session is not None:
            await self._session.close()

    @asynccontextmanager
    async def post(self, engine: Status, path: str, body: bytes, request_id: str) -> AsyncIterator[Answer]:
        """Ask an engine. Only what stands here reaches it: none of the caller's headers do. Raises UpstreamLost."""
        if self._session is None:
            raise UpstreamLost("the pool of connections is closed")
        headers = {"Content-Type": "application/json", "X-Request-Id": request_id}
        if engine.key:
            headers["Authorization"] = f"Bearer {engine.key}"
        try:
            response = await self._session.post(engine.url + path, data=body, headers=headers, allow_redirects=False)
        except (aiohttp.ClientError, OSError) as error:
            raise UpstreamLost(f"the engine can't be reached: {type(error).__name__}") from error
        try:
            yield Answer(response)
        finally:
            response.close() if not response.content.at_eof() else response.release()
