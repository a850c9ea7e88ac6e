"""The door of an engine's HTTP server: every path but `/health` wants the engine's key.

vLLM's own `--api-key` guards the paths below /v1 and a few more; the others (`/invocations` among them, which answers
like /v1) would be open to whoever reaches the port.
"""

import hashlib
import os
from collections.abc import Awaitable, Callable, MutableMapping
from hmac import compare_digest
from typing import Any

SECRET = "VLLM_API_KEY"  # a variable, so that the key is not in the process list
OPEN = "/health"

Message = MutableMapping[str, Any]
App = Callable[[Message, Callable[[], Awaitable[Message]], Callable[[Message], Awaitable[None]]], Awaitable[None]]


class Door:
    """ASGI middleware, made by vLLM (`--middleware`) in the engine's process."""

    def __init__(self, app: App):
        self._app = app
        self._key = _hashed(f"Bearer {os.environ[SECRET]}".encode())

    async def __call__(
        self, scope: Message, receive: Callable[[], Awaitable[Message]], send: Callable[[Message], Awaitable[None]]
    ) -> None:
        """Let in who has the key, and who asks whether the engine lives."""
        if scope["type"] == "lifespan" or scope["path"] == OPEN or self._is_right(scope["headers"]):
            await self._app(scope, receive, send)
            return
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
            return
        await send({"type": "http.response.start", "status": 401, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body", "body": b""})

    def _is_right(self, headers: list[tuple[bytes, bytes]]) -> bool:
        given = [value for name, value in headers if name == b"authorization"]
        return len(given) == 1 and compare_digest(_hashed(given[0]), self._key)


def _hashed(value: bytes) -> bytes:
    return hashlib.sha256(value).digest()
