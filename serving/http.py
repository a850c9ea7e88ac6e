"""The HTTP server under the gateway: uvicorn on uvloop, with time and room limits for those who send slowly or much."""

import asyncio
import logging
import socket
from typing import Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from serving.errors import place
from tunegate_core.errors import BadInput

HEADER_SECONDS = 15.0
HEADER_BYTES = 32_768
KEEP_ALIVE_SECONDS = 65
DRAIN_SECONDS = 30
MOST_CONNECTIONS = 4_096

log = logging.getLogger(__name__)


class Guarded(HttpToolsProtocol):
    """A connection that is closed when a request's head is not there in time, or is too long."""

    _until: "asyncio.TimerHandle | None" = None
    _head = 0  # bytes of whole headers
    _waiting = 0  # bytes that came while the head was not whole

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """The first head is awaited."""
        super().connection_made(transport)
        self._await_head()

    def data_received(self, data: bytes) -> None:
        """The parser keeps an unfinished line for as long as it grows, so what it was given is counted here."""
        was_awaited = self._until is not None
        super().data_received(data)
        if was_awaited and self._until is not None:
            self._waiting += len(data)
            if self._waiting > HEADER_BYTES:
                self.transport.close()

    def on_message_begin(self) -> None:
        """A head begins."""
        super().on_message_begin()
        self._head = self._waiting = 0
        self._await_head()

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header has come."""
        self._head += len(name) + len(value)
        if self._head > HEADER_BYTES:
            self.transport.close()
            return
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """The head is there."""
        self._stop_waiting()
        super().on_headers_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nobody is awaited any more."""
        self._stop_waiting()
        super().connection_lost(exc)

    def _await_head(self) -> None:
        if self._until is None:
            self._until = self.loop.call_later(HEADER_SECONDS, self.transport.close)

    def _stop_waiting(self) -> None:
        if self._until is not None:
            self._until.cancel()
            self._until = None


def discreet(app: Any) -> Any:
    """The app, which has answered for its own faults by now: else the server would log their words, and with them what
    was asked."""

    async def answer(scope: Any, receive: Any, send: Any) -> None:
        try:
            await app(scope, receive, send)
        except Exception as error:
            if scope["type"] != "http":
                raise
            log.error("%s at %s", type(error).__name__, place(error))

    return answer


def verify_free(host: str, port: int) -> None:
    """Nobody else listens there: known before anything is started for it. Raises BadInput."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as trial:
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            trial.bind((host, port))
        except OSError as error:
            raise BadInput(f"can't listen at {host}:{port}: {error.strerror}; choose another with --port") from error


def gateway_server(app: Any, host: str, port: int) -> uvicorn.Server:
    """A server that is ready to `run()`; SIGINT and SIGTERM let answers end for a while, then cut them."""
    config = uvicorn.Config(
        discreet(app),
        host=host,
        port=port,
        loop="uvloop",
        http=Guarded,
        ws="none",
        lifespan="on",
        log_level="warning",
        access_log=False,
        server_header=False,
        limit_concurrency=MOST_CONNECTIONS,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=DRAIN_SECONDS,
    )
    return uvicorn.Server(config)
