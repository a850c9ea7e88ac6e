"""What every answer carries and what every request may be, as plain ASGI."""

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

MOST_BODY = 1_000_000  # bytes
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


class Limits:
    """Adds the headers above, forbids keeping pages, and refuses bodies of more than `MOST_BODY` bytes."""

    def __init__(self, app: ASGIApp):
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.update(HEADERS)
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        said = Headers(scope=scope).get("content-length", "0")
        if not said.isdigit() or int(said) > MOST_BODY:
            await PlainTextResponse(f"more than {MOST_BODY} bytes were sent\n", 413)(scope, receive, answer)
            return
        await self._app(scope, _bounded(receive), answer)


def _bounded(receive: Receive) -> Receive:
    """What is read, until it is too much: a length that was not said, or not true."""
    read = 0

    async def bounded() -> Message:
        nonlocal read
        message = await receive()
        read += len(message.get("body", b""))
        if read > MOST_BODY:
            raise HTTPException(413, f"More than {MOST_BODY} bytes were sent.")
        return message

    return bounded
