"""One call taken to an engine and its answer taken back: the same for callers and for shadows.

An engine that is lost before anything was said is replaced by another. Once something was said, a fault ends the stream
with an error. Words of an engine's error are never passed on, since they may repeat what was asked.
"""

import asyncio
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import orjson

from serving.answers import rename
from serving.board import Status
from serving.call import Call
from serving.desk import Desk
from serving.errors import Refusal, bad_request, failed, unavailable
from serving.outlet import Sink
from serving.replicas import TURN_SECONDS
from serving.sse import DONE, Events, event
from serving.upstream import Answer, UpstreamLost
from serving.weight import TEXT, weight
from tunegate_core.errors import IntegrityError

ATTEMPTS = 3
_CONTEXT = re.compile(r"maximum context length is (\d+) tokens|max_(?:model_len|total_tokens)\s*=\s*(\d+)")


async def forward_in_time(desk: Desk, call: Call, sink: Sink) -> None:
    """Answer the call into `sink` before the deadline. Raises Refusal."""
    try:
        async with asyncio.timeout(desk.settings.deadline_seconds):
            await forward(desk, call, sink)
    except TimeoutError:
        raise failed(504, "deadline", "The answer took too long.") from None


async def forward(desk: Desk, call: Call, sink: Sink) -> None:
    """Answer the call into `sink`. Raises Refusal."""
    attempt = lost = 0
    until = time.monotonic() + _patience(desk, call)
    while lost < ATTEMPTS and (attempt < ATTEMPTS or time.monotonic() < until):
        engine = await desk.replicas.find(call.decision.name, _patience(desk, call))
        if engine is None:
            raise unavailable("model_not_loaded", "No engine has this version loaded at present.", retry_after=5)
        try:
            if await _ask(desk, call, sink, engine, f"{call.request_id}-{attempt}"):
                return
            await _decide_again(desk, call)
        except UpstreamLost:
            if sink.has_begun:
                raise failed(502, "engine_lost", "The engine went away before the answer was complete.") from None
            desk.replicas.lose(engine)
            lost += 1
        attempt += 1
    raise unavailable("engine_lost", "No engine could answer; try again in a moment.", retry_after=1)


async def _ask(desk: Desk, call: Call, sink: Sink, engine: Status, request_id: str) -> bool:
    """Ask one engine; False when it does not know the version. Raises Refusal, or UpstreamLost."""
    body = engine_body(call, desk.settings.is_vllm)
    call.asked = time.perf_counter()
    with desk.replicas.using(engine):
        async with desk.upstream.post(engine, call.endpoint.path, body, request_id) as answer:
            if answer.status == 404:
                _refuse_where_nobody_answers(call, await _read(call, answer))
                return False
            if answer.status != 200:
                raise _refusal(answer.status, await _read(call, answer))
            await (_stream if call.request.is_stream else _whole)(call, answer, sink)
            return True


def _refuse_where_nobody_answers(call: Call, told: bytes) -> None:
    """An engine that lacks the version names it; else it lacks the path, as vLLM lacks embeddings where the model has
    none. Raises Refusal then."""
    if call.decision.name.encode() not in told:
        raise Refusal(404, "unsupported_endpoint", "This model does not answer on this path.", param="model")


def _patience(desk: Desk, call: Call) -> float:
    """Seconds to wait for an engine that is loading the version: none where nobody loads it, or places are scarce."""
    view = desk.live.view
    is_being_loaded = view is not None and call.decision.subject in view.routed
    return desk.settings.load_seconds if is_being_loaded and not desk.inflight.is_busy else 0.0


def engine_body(call: Call, is_vllm: bool) -> bytes:
    """What the engine is sent."""
    endpoint = call.endpoint
    body: dict[str, Any] = {**call.request.body, "model": call.decision.name}
    if endpoint.events == "typed":
        body["store"] = False
    elif call.request.is_stream:
        body["stream_options"] = {"include_usage": True} | ({"continuous_usage_stats": True} if is_vllm else {})
    if is_vllm and endpoint.generates:
        body["cache_salt"] = call.key_id
    return orjson.dumps(body)


async def _decide_again(desk: Desk, call: Call) -> None:
    """An engine that said it had the version does not know it: the routes have changed, or its word was old."""
    before = call.decision
    desk.decide_again(call)
    if call.decision.name == before.name:
        await asyncio.sleep(TURN_SECONDS)


@contextmanager
def _understood() -> Iterator[None]:
    """An answer of another form is the engine's fault."""
    try:
        yield
    except (orjson.JSONDecodeError, IntegrityError, AttributeError, TypeError) as error:
        raise failed(502, "bad_answer", "The engine's answer could not be read.") from error


async def _read(call: Call, answer: Answer) -> bytes:
    with _understood():
        return await answer.read(call.hold)


async def _whole(call: Call, answer: Answer, sink: Sink) -> None:
    data = await _read(call, answer)
    call.heard = time.perf_counter()
    call.hold(weight(data))
    with _understood():
        body: dict[str, Any] = orjson.loads(data)
        take = call.reading.take_response if call.endpoint.events == "typed" else call.reading.take_chunk
        take(body, call.heard)
        rename(body, call.response_id, call.decision.subject)
        said = orjson.dumps(body)
    await sink.whole(call, said)


async def _stream(call: Call, answer: Answer, sink: Sink) -> None:
    if not answer.is_stream:
        raise failed(502, "bad_answer", "The engine did not answer in a stream.")
    events, turn = Events(), _typed if call.endpoint.events == "typed" else _chunk
    async for piece in answer.pieces():
        now = time.perf_counter()
        call.heard = call.heard or now
        with _understood():
            said = b"".join([turn(call, data, now) for _, data in events.feed(piece)])
        if call.reading.keeps_text:
            call.hold(TEXT * len(piece))
        if said:
            await sink.more(call, said)
    if not call.reading.is_complete:
        raise UpstreamLost("the engine's stream ended early")
    await sink.end()


def _chunk(call: Call, data: bytes, now: float) -> bytes:
    """One event of a chat or plain completion, as the caller gets it; nothing for a usage that it did not ask for."""
    if data == DONE:
        call.reading.is_complete = True
        return event(DONE)
    body: dict[str, Any] = orjson.loads(data)
    if body.get("error") is not None:
        raise failed(502, "engine_error", "The engine could not complete the answer.")
    call.reading.take_chunk(body, now)
    is_about_usage = not body.get("choices")
    if is_about_usage and not call.request.wants_usage:
        return b""
    if not is_about_usage:
        body.pop("usage", None)
    rename(body, call.response_id, call.decision.subject)
    return event(orjson.dumps(body))


def _typed(call: Call, data: bytes, now: float) -> bytes:
    """One event of a response, as the caller gets it."""
    if data == DONE:
        return b""
    body: dict[str, Any] = orjson.loads(data)
    kind = str(body.get("type"))
    if kind in ("error", "response.failed") or body.get("error") is not None:
        raise failed(502, "engine_error", "The engine could not complete the answer.")
    call.reading.take_event(kind, body, now)
    if isinstance(body.get("response"), dict):
        rename(body["response"], call.response_id, call.decision.subject)
    return event(orjson.dumps(body), kind.encode())


def _refusal(status: int, body: bytes) -> Refusal:
    """An engine's error in our words; of its own only numbers are used."""
    context = _CONTEXT.search(body.decode(errors="replace"))
    if status in (400, 413, 422) and context:
        tokens = context[1] or context[2]
        message = f"Prompt and answer together have more than the {tokens} tokens that the model can take."
        return bad_request(message, code="context_length_exceeded")
    if status in (400, 413, 415, 422):
        return bad_request("The model can't take this request: a field has a value that is not supported.")
    if status in (429, 503):
        return unavailable("engine_busy", "The engine is busy; try again in a moment.")
    return failed(502, "engine_error", "The engine could not answer.")
