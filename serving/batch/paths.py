"""`/v1/files` and `/v1/batches`, as OpenAI's clients use them. A key sees its own."""

import asyncio
from collections.abc import MutableMapping
from typing import Any

import orjson
from starlette.datastructures import UploadFile
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Route

from serving.batch.jobs import WINDOW, Job
from serving.batch.lines import parse_input
from serving.batch.worker import BY_PATH, Batches
from serving.desk import Desk
from serving.errors import Refusal, bad_request, too_large
from serving.inference import read_small
from serving.inflight import Receive
from serving.keys import authorization, require
from serving.replies import told
from serving.view import Key
from tunegate_core.errors import NotFound

MOST_NOTES = 16
NOTE_CHARACTERS = 512
MOST_LISTED = 100


class BatchPaths:
    """The handlers."""

    def __init__(self, desk: Desk, batches: Batches):
        self._desk, self._files, self._jobs = desk, batches.files, batches.jobs

    def routes(self) -> list[Route]:
        """Every path."""
        return [
            Route("/v1/files", self.upload, methods=["POST"]),
            Route("/v1/files", self.list_files),
            Route("/v1/files/{id}", self.file),
            Route("/v1/files/{id}", self.delete_file, methods=["DELETE"]),
            Route("/v1/files/{id}/content", self.content),
            Route("/v1/batches", self.create, methods=["POST"]),
            Route("/v1/batches", self.list_batches),
            Route("/v1/batches/{id}", self.batch),
            Route("/v1/batches/{id}/cancel", self.cancel, methods=["POST"]),
        ]

    async def upload(self, request: Request) -> Response:
        """Keep a file."""
        key, caps = self._key(request), self._desk.settings.caps
        if await asyncio.to_thread(self._files.count, key.owner) >= caps.files:
            raise bad_request(f"This API key has {caps.files} files; delete some first.", "file", "too_many_files")
        bounded = Request(request.scope, bound(request.receive, caps.file_bytes))
        async with bounded.form(max_files=1, max_fields=8) as form:
            sent = form.get("file")
            if not isinstance(sent, UploadFile) or form.get("purpose") != "batch":
                raise bad_request("Send 'file', and 'purpose' as 'batch', in a form.", "file")
            kept = await asyncio.to_thread(self._files.put, key.owner, sent.filename or "batch.jsonl", sent.file)
        return told(kept.card())

    async def list_files(self, request: Request) -> Response:
        """A key's files."""
        found = await asyncio.to_thread(self._files.list, self._key(request).owner)
        return told(listed([file.card() for file in found]))

    async def file(self, request: Request) -> Response:
        """What is known of one."""
        return told((await self._file(request)).card())

    async def delete_file(self, request: Request) -> Response:
        """Forget one."""
        file = await self._file(request)
        await asyncio.to_thread(self._files.delete, file)
        return told({"id": file.id, "object": "file", "deleted": True})

    async def content(self, request: Request) -> Response:
        """What lies in it."""
        file = await self._file(request)
        return FileResponse(self._files.path(file.id), media_type="application/jsonl")

    async def create(self, request: Request) -> Response:
        """Begin a batch, if its input can be read."""
        key, caps = self._key(request), self._desk.settings.caps
        body = parse_create(await read_small(self._desk, request))
        source = await self._found(self._files.get, body["input_file_id"], key.owner)
        path, url = self._files.path(source.id), body["endpoint"]
        total, problems = await asyncio.to_thread(parse_input, path, url, caps.batch_lines)
        notes = body.get("metadata")
        job = await asyncio.to_thread(self._jobs.create, key.owner, url, source.id, total, problems, notes)
        return told(job.card())

    async def list_batches(self, request: Request) -> Response:
        """A key's batches, after one of them where that is asked for."""
        jobs = await asyncio.to_thread(self._jobs.list, self._key(request).owner)
        return told(page([job.card() for job in jobs], request.query_params.get("after"), limit(request)))

    async def batch(self, request: Request) -> Response:
        """How far it is."""
        return told((await self._job(request)).card())

    async def cancel(self, request: Request) -> Response:
        """Call it off; what is under way is finished."""
        job = await self._job(request)
        await asyncio.to_thread(self._jobs.change, job.id, {"status": "cancelling"}, ("in_progress",))
        return told((await self._job(request)).card())

    def _key(self, request: Request) -> Key:
        key = self._desk.caller(authorization(request.scope["headers"]))[1]
        require(key, "infer")
        return key

    async def _file(self, request: Request) -> Any:
        return await self._found(self._files.get, request.path_params["id"], self._key(request).owner)

    async def _job(self, request: Request) -> Job:
        found: Job = await self._found(self._jobs.get, request.path_params["id"], self._key(request).owner)
        return found

    async def _found(self, get: Any, wanted: str, key_id: str) -> Any:
        try:
            return await asyncio.to_thread(get, wanted, key_id)
        except NotFound:
            raise Refusal(404, "not_found", "There is nothing of this API key by that id.", param="id") from None


def bound(receive: Receive, most: int) -> Receive:
    """The same body, which ends with a Refusal (413) beyond so many bytes."""
    left = most

    async def receive_bounded() -> MutableMapping[str, Any]:
        nonlocal left
        message = await receive()
        left -= len(message.get("body", b""))
        if left < 0:
            raise too_large(most)
        return message

    return receive_bounded


def parse_create(raw: bytes) -> dict[str, Any]:
    """What a batch is made from. Raises Refusal (400) naming the field."""
    try:
        body = orjson.loads(raw)
    except orjson.JSONDecodeError:
        raise bad_request("The body is not valid JSON.", code="invalid_json") from None
    if not isinstance(body, dict) or not isinstance(body.get("input_file_id"), str):
        raise bad_request("'input_file_id' must be the id of a file.", "input_file_id")
    if not isinstance(body.get("endpoint"), str) or body["endpoint"] not in BY_PATH:
        raise bad_request(f"'endpoint' must be one of {', '.join(BY_PATH)}.", "endpoint")
    if body.get("completion_window") != WINDOW:
        raise bad_request(f"'completion_window' must be '{WINDOW}'.", "completion_window")
    if not are_notes(body.get("metadata")):
        raise bad_request(f"'metadata' may have {MOST_NOTES} texts of {NOTE_CHARACTERS} characters.", "metadata")
    return body


def are_notes(notes: Any) -> bool:
    """Whether this is metadata as OpenAI allows it."""
    if notes is None:
        return True
    if not isinstance(notes, dict) or len(notes) > MOST_NOTES:
        return False
    return all(isinstance(text, str) and len(text) <= NOTE_CHARACTERS for text in (*notes, *notes.values()))


def limit(request: Request) -> int:
    """How many are asked for. Raises Refusal (400)."""
    told_limit = request.query_params.get("limit", "20")
    if not told_limit.isascii() or not told_limit.isdigit() or not 1 <= int(told_limit[:9]) <= MOST_LISTED:
        raise bad_request(f"'limit' must be a whole number from 1 to {MOST_LISTED}.", "limit")
    return int(told_limit)


def page(cards: list[dict[str, Any]], after: str | None, most: int) -> dict[str, Any]:
    """The next part of a list."""
    ids = [card["id"] for card in cards]
    begin = ids.index(after) + 1 if after in ids else 0
    return listed(cards[begin : begin + most], len(cards) > begin + most)


def listed(cards: list[dict[str, Any]], has_more: bool = False) -> dict[str, Any]:
    """A list as OpenAI gives it."""
    ends = {"first_id": cards[0]["id"] if cards else None, "last_id": cards[-1]["id"] if cards else None}
    return {"object": "list", "data": cards, **ends, "has_more": has_more}
