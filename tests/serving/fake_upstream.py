"""An OpenAI-compatible engine that answers at once, or as slowly and as badly as a test asks: a small ASGI app.

It answers as vLLM does: names it does not know get 404, streams send usage with each chunk when asked, and a client
that goes away is noticed (`aborted`). `running` serves any ASGI app on a free loopback port.
"""

import asyncio
import contextlib
import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import product
from typing import Any, Literal

import uvicorn

Fault = Literal["", "status", "error event", "broken", "cut", "stall", "no json"]


@dataclass
class FakeEngine:
    """`words` are streamed one a chunk, of several answers in turn, the first after `first_s`, the others `gap_s`
    apart; a stream is closed `last_s` after its last event."""

    names: set[str] = field(default_factory=set)
    key: str = "engine-key"
    words: tuple[str, ...] = ("Hello", " there", ".")
    first_s: float = 0.0
    gap_s: float = 0.0
    last_s: float = 0.0
    fault: Fault = ""
    status: int = 500
    message: str = "an error that repeats the input: SECRET-INPUT"
    finish: str = "stop"
    prompt_tokens: int = 7
    seen: list[dict[str, Any]] = field(default_factory=list)
    active: int = 0
    aborted: int = 0
    most: int | None = None  # answers; then it stalls
    lacks: str = ""  # a path that it does not have

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            return await _lifespan(receive, send)
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        if scope["path"] == self.lacks:
            return await _json(send, 404, _error("Not Found", 404))
        if scope["path"] == "/v1/models":
            listed = {"object": "list", "data": [{"id": name, "object": "model"} for name in sorted(self.names)]}
            return await _json(send, 200, listed)
        body = json.loads(await _read(receive))
        self.seen.append({"path": scope["path"], "headers": headers, "body": body})
        self.active += 1
        is_tired = self.most is not None and len(self.seen) > self.most
        answer = asyncio.sleep(3600) if is_tired else self._answer(scope["path"], headers, body, send)
        answering = asyncio.create_task(answer)
        leaving = asyncio.create_task(_until_gone(receive))
        try:
            await asyncio.wait({answering, leaving}, return_when=asyncio.FIRST_COMPLETED)
            if not answering.done():
                self.aborted += 1
        finally:
            self.active -= 1
            leaving.cancel()
            if not answering.done():
                answering.cancel()
        if answering.done() and not answering.cancelled():
            answering.result()

    async def _answer(self, path: str, headers: dict[str, str], body: dict[str, Any], send: Any) -> None:
        if self.key and headers.get("authorization") != f"Bearer {self.key}":
            return await _json(send, 401, _error("who are you", 401))
        if body.get("model") not in self.names:
            return await _json(send, 404, _error(f"The model `{body.get('model')}` does not exist.", 404))
        if self.fault == "status":
            return await _json(send, self.status, _error(self.message, self.status))
        await asyncio.sleep(self.first_s)
        if self.fault == "stall":
            await asyncio.sleep(3600)
        if self.fault == "no json":
            return await _bytes(send, 200, b"<html>", b"text/html")
        if path == "/v1/embeddings":
            return await _json(send, 200, self._embedding(body))
        if body.get("stream"):
            events = self._response_events(body) if path == "/v1/responses" else self._chunks(path, body)
            return await self._stream(send, events)
        await asyncio.sleep(self.gap_s * (len(self.words) - 1))
        await _json(send, 200, self._response(body) if path == "/v1/responses" else self._whole(path, body))

    async def _stream(self, send: Any, events: list[bytes]) -> None:
        kind = (b"content-type", b"text/event-stream; charset=utf-8")
        await send({"type": "http.response.start", "status": 200, "headers": [kind]})
        clock = asyncio.get_running_loop().time
        begun = clock()
        for number, event in enumerate(events):
            if number and self.gap_s:
                await asyncio.sleep(max(0.0, begun + number * self.gap_s - clock()))
            if self.fault == "broken" and number == 2:
                raise ConnectionError("the engine was killed")
            if self.fault == "cut" and number == 2:
                break
            if self.fault == "error event" and number == 1:
                event = b"data: " + json.dumps(_error(self.message, 500)).encode() + b"\n\n"
            await send({"type": "http.response.body", "body": event, "more_body": True})
        await asyncio.sleep(self.last_s)
        await send({"type": "http.response.body", "body": b""})

    def _usage(self, made: int) -> dict[str, int]:
        return {
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": made,
            "total_tokens": self.prompt_tokens + made,
        }

    def _chunks(self, path: str, body: dict[str, Any]) -> list[bytes]:
        options = body.get("stream_options") or {}
        base = {"id": "engine-id", "object": "chat.completion.chunk", "created": 1, "model": body["model"]}
        chunks: list[dict[str, Any]] = []
        prompts = len(body["prompt"]) if isinstance(body.get("prompt"), list) else 1
        answers = prompts * (body.get("n") or 1)
        for number, index in product(range(1, len(self.words) + 1), range(answers)):
            choice: dict[str, Any] = {"index": index}
            choice["finish_reason"] = self.finish if number == len(self.words) else None
            word = self.words[number - 1]
            choice |= {"text": word} if path == "/v1/completions" else {"delta": {"content": word}}
            chunk = base | {"choices": [choice]}
            if options.get("continuous_usage_stats"):
                chunk["usage"] = self._usage(number)
            chunks.append(chunk)
        if options.get("include_usage"):
            used = self._usage(answers * len(self.words)) | {"prompt_tokens": prompts * self.prompt_tokens}
            chunks.append(base | {"choices": [], "usage": used})
        return [b"data: " + json.dumps(chunk).encode() + b"\n\n" for chunk in chunks] + [b"data: [DONE]\n\n"]

    def _whole(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        text = "".join(self.words)
        choice: dict[str, Any] = {"index": 0, "finish_reason": self.finish}
        choice |= {"text": text} if path == "/v1/completions" else {"message": {"role": "assistant", "content": text}}
        n = body.get("n") or 1
        base = {"id": "engine-id", "object": "chat.completion", "created": 1, "model": body["model"]}
        return base | {"choices": [choice | {"index": i} for i in range(n)], "usage": self._usage(n * len(self.words))}

    def _response(self, body: dict[str, Any]) -> dict[str, Any]:
        part = {"type": "output_text", "text": "".join(self.words), "annotations": []}
        message = {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed", "content": [part]}
        usage = {"input_tokens": self.prompt_tokens, "output_tokens": len(self.words), "total_tokens": 10}
        return {
            "id": "resp_engine", "object": "response", "created_at": 1, "model": body["model"], "status": "completed",
            "output": [message], "parallel_tool_calls": True, "tool_choice": "auto", "tools": [], "usage": usage,
        }  # fmt: skip

    def _response_events(self, body: dict[str, Any]) -> list[bytes]:
        whole = self._response(body)
        begun = whole | {"status": "in_progress", "output": [], "usage": None}
        item, part = whole["output"][0], whole["output"][0]["content"][0]
        at = {"item_id": "msg_1", "output_index": 0, "content_index": 0}
        events: list[dict[str, Any]] = [
            {"type": "response.created", "response": begun},
            {"type": "response.output_item.added", "output_index": 0, "item": item | {"content": []}},
            {"type": "response.content_part.added", "part": part | {"text": ""}, **at},
            *({"type": "response.output_text.delta", "delta": word, "logprobs": [], **at} for word in self.words),
            {"type": "response.output_text.done", "text": part["text"], "logprobs": [], **at},
            {"type": "response.content_part.done", "part": part, **at},
            {"type": "response.output_item.done", "output_index": 0, "item": item},
            {"type": "response.completed", "response": whole},
        ]
        numbered = [event | {"sequence_number": number} for number, event in enumerate(events)]
        return [f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode() for event in numbered]

    def _embedding(self, body: dict[str, Any]) -> dict[str, Any]:
        data = [{"object": "embedding", "index": 0, "embedding": [0.5, -0.5]}]
        return {
            "object": "list",
            "model": body["model"],
            "data": data,
            "usage": {"prompt_tokens": 3, "total_tokens": 3},
        }


@contextlib.contextmanager
def running(app: Any, make: Callable[[Any, str, int], uvicorn.Server] | None = None) -> Iterator[str]:
    """The app on a free loopback port, in a thread of its own: its URL. `make` builds a server from app, host, port."""
    server = (make or _plain)(app, "127.0.0.1", 0)

    async def wait_for_the_end() -> None:  # uvicorn looks ten times a second, which many short tests would wait for
        await server.on_tick(0)
        while not server.should_exit:
            await asyncio.sleep(0.005)

    server.main_loop = wait_for_the_end  # type: ignore[method-assign]
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    until = time.monotonic() + 10
    while not server.started:
        if time.monotonic() > until or not thread.is_alive():
            raise TimeoutError("the test server did not start")
        time.sleep(0.002)
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(5 if make else 0.2)
        server.force_exit = True
        thread.join(5)


def _plain(app: Any, host: str, port: int) -> uvicorn.Server:
    return uvicorn.Server(uvicorn.Config(app, host=host, port=port, log_level="critical", access_log=False, ws="none"))


def _error(message: str, code: int) -> dict[str, Any]:
    return {"error": {"message": message, "type": "BadRequestError", "param": None, "code": code}}


async def _json(send: Any, status: int, body: dict[str, Any]) -> None:
    await _bytes(send, status, json.dumps(body).encode(), b"application/json")


async def _bytes(send: Any, status: int, body: bytes, kind: bytes) -> None:
    headers = [(b"content-type", kind), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def _read(receive: Any) -> bytes:
    data = bytearray()
    while True:
        message = await receive()
        data += message.get("body", b"")
        if not message.get("more_body"):
            return bytes(data)


async def _until_gone(receive: Any) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _lifespan(receive: Any, send: Any) -> None:
    await receive()
    await send({"type": "lifespan.startup.complete"})
    await receive()
    await send({"type": "lifespan.shutdown.complete"})
