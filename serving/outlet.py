"""The way back to the caller: a whole answer or a stream, and an error in the right form at any point of either."""

import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Protocol

import orjson

from serving.call import GONE, Call
from serving.errors import Refusal, error_object
from serving.sse import event

Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Headers = list[tuple[bytes, bytes]]

JSON: Headers = [(b"content-type", b"application/json")]
STREAM: Headers = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache"),
    (b"x-accel-buffering", b"no"),
]


class Sink(Protocol):
    """Where an answer goes."""

    has_begun: bool

    async def whole(self, call: Call, body: bytes) -> None:
        """All of it."""
        ...

    async def more(self, call: Call, data: bytes) -> None:
        """The next events of a stream."""
        ...

    async def end(self) -> None:
        """The stream is complete."""
        ...


class Nowhere:
    """For shadow requests: nobody sees their answers."""

    has_begun = False

    async def whole(self, call: Call, body: bytes) -> None:
        """Drop it."""
        call.begin()

    async def more(self, call: Call, data: bytes) -> None:
        """Drop it."""
        if not self.has_begun:
            self.has_begun = True
            call.begin()

    async def end(self) -> None:
        """Nothing is left to do."""


class Outlet:
    """One caller's connection. `stuck_since` is when it began to take nothing (`perf_counter`), None while it takes."""

    def __init__(self, send: Send, request_id: str, is_typed: bool):
        self.has_begun = False
        self.stuck_since: float | None = None
        self._send, self._id, self._is_typed = send, request_id, is_typed
        self._is_over = False

    async def whole(self, call: Call, body: bytes) -> None:
        """A complete answer."""
        await self._answer(200, body, call.begin())

    async def more(self, call: Call, data: bytes) -> None:
        """The next events, after the head where they are the first."""
        if not self.has_begun:
            self.has_begun = True
            await self._put({"type": "http.response.start", "status": 200, "headers": STREAM + call.begin()})
        await self._put({"type": "http.response.body", "body": data, "more_body": True})

    async def end(self) -> None:
        """The end of a stream."""
        self._is_over = True
        await self._put({"type": "http.response.body", "body": b""})

    async def refuse(self, refusal: Refusal) -> None:
        """An error: as the answer, or as the last event of a stream that has begun."""
        if refusal.status == GONE or self._is_over:
            return
        if not self.has_begun:
            headers = [(b"x-request-id", self._id.encode()), *refusal.headers()]
            await self._answer(refusal.status, refusal.body(), headers)
            return
        await self._put({"type": "http.response.body", "body": self._last_event(refusal), "more_body": True})
        await self.end()

    def _last_event(self, refusal: Refusal) -> bytes:
        told = error_object(refusal.message, refusal.kind, refusal.code, refusal.param)
        if not self._is_typed:
            return event(orjson.dumps(told))
        # The event of the responses API, with the object by which OpenAI's clients know that they must raise.
        typed = {**told["error"], **told, "type": "error", "sequence_number": 0}
        return event(orjson.dumps(typed), b"error")

    async def _answer(self, status: int, body: bytes, headers: Headers) -> None:
        self.has_begun = self._is_over = True
        length = (b"content-length", b"%d" % len(body))
        await self._put({"type": "http.response.start", "status": status, "headers": [*JSON, length, *headers]})
        await self._put({"type": "http.response.body", "body": body})

    async def _put(self, message: dict[str, Any]) -> None:
        self.stuck_since = time.perf_counter()
        await self._send(message)
        self.stuck_since = None
