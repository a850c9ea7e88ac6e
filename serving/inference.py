"""An endpoint that a model answers: admitted, decided, forwarded and closed. Plain ASGI, since streams pass through it.

The order of the checks is the order of their cost: a free place, the key, its scope, its rate, then the body.
"""

import asyncio
import logging
import secrets
import time
from collections.abc import Iterable, MutableMapping
from typing import Any

from starlette.requests import Request

from serving.accept import accept
from serving.call import Call
from serving.desk import Desk
from serving.endpoints import Endpoint
from serving.errors import Refusal, bad_request, failed, place, too_large
from serving.forward import forward_in_time
from serving.inflight import Hold, Receive, watch_for_leaving
from serving.keys import authorization, require
from serving.outlet import Outlet, Send
from serving.sanitise import sanitise
from serving.shadow import Shadows
from serving.weight import weight

log = logging.getLogger(__name__)

SESSION_CHARACTERS = 256


class Inference:
    """The ASGI app of one endpoint."""

    def __init__(self, desk: Desk, endpoint: Endpoint, shadows: Shadows):
        self._desk, self._endpoint, self._shadows = desk, endpoint, shadows

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """Answer one request; every fault becomes an error object."""
        started, request_id = time.perf_counter(), secrets.token_hex(16)
        outlet = Outlet(send, request_id, self._endpoint.events == "typed")
        try:
            await self._serve(scope["headers"], receive, outlet, request_id, started)
        except Refusal as refusal:
            await outlet.refuse(refusal)
        except Exception as error:  # its words may hold what was asked: they stay here
            log.error("request %s failed in the gateway: %s at %s", request_id, type(error).__name__, place(error))
            await outlet.refuse(failed(500, "internal_error", "The gateway failed."))

    async def _serve(
        self, headers: Iterable[tuple[bytes, bytes]], receive: Receive, outlet: Outlet, request_id: str, started: float
    ) -> None:
        desk = self._desk
        with desk.inflight.place() as hold:
            try:
                call = await self._admit(list(headers), receive, hold, request_id, started)
            except Refusal as refusal:
                desk.metrics.refused.labels(refusal.code).inc()
                raise
            await self._answer(call, receive, outlet)
        self._shadows.follow(call)

    async def _answer(self, call: Call, receive: Receive, outlet: Outlet) -> None:
        desk = self._desk
        with desk.closing(call), desk.inflight.cuttable(call, outlet) as entry:
            leaving = asyncio.create_task(watch_for_leaving(receive, entry))
            try:
                await forward_in_time(desk, call, outlet)
            finally:
                leaving.cancel()

    async def _admit(
        self, sent: list[tuple[bytes, bytes]], receive: Receive, hold: Hold, request_id: str, started: float
    ) -> Call:
        """Everything that is decided before an engine is asked. Raises Refusal."""
        desk, caps, headers = self._desk, self._desk.settings.caps, dict(sent)
        _, key = desk.caller(authorization(sent))
        require(key, "infer")
        desk.account(key).admit(time.monotonic())
        raw = await read_body(headers, receive, hold, caps.body_bytes, desk.settings.body_seconds)
        hold(weight(raw))
        session = headers.get(b"x-session-id", b"")[:SESSION_CHARACTERS].decode("latin-1")
        call = accept(desk, self._endpoint, key, sanitise(self._endpoint, raw, caps), session, request_id, started)
        call.hold = hold
        return call


async def read_small(desk: Desk, request: Request) -> bytes:
    """The whole body of a request that no model answers; it counts as memory in flight while it comes."""
    with desk.inflight.holding() as hold:
        headers, most = dict(request.scope["headers"]), desk.settings.caps.body_bytes
        raw = await read_body(headers, request.receive, hold, most, desk.settings.body_seconds)
        hold(weight(raw))
    return raw


async def read_body(headers: dict[bytes, bytes], receive: Receive, hold: Hold, most: int, seconds: float) -> bytes:
    """The whole body. Raises Refusal for one that is too long, compressed, too slow, or broken off."""
    if headers.get(b"content-encoding", b"identity") != b"identity":
        raise Refusal(415, "unsupported_encoding", "Send the body without a content encoding.")
    told = headers.get(b"content-length", b"0")
    if told.isdigit() and int(told) > most:
        raise too_large(most)
    try:
        async with asyncio.timeout(seconds):
            return await _read_pieces(receive, hold, most)
    except TimeoutError:
        raise Refusal(408, "too_slow", f"The body did not come within {seconds:g} seconds.") from None


async def _read_pieces(receive: Receive, hold: Hold, most: int) -> bytes:
    data, has_more = bytearray(), True
    while has_more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise bad_request("The body broke off.", code="invalid_json")
        piece = message.get("body", b"")
        hold(2 * len(piece))  # here, and once more when all is there
        data += piece
        has_more = message.get("more_body", False)
        if len(data) > most:
            raise too_large(most)
    return bytes(data)
