"""Langfuse, met in this one file: what people said there is read, and what was said here is told.

**Read**: scores that people gave (source ANNOTATION), in queues or beside a trace, through `GET /api/public/v3/scores`,
and how far each annotation queue is. A boolean score is a thumb; a number called `rating` from 1 to 5 a rating; any
other whole number from 0 to 10 a rubric annotation; a correction and a text are themselves. A score that was changed
there is another entry, and the later word counts. What does not fit is counted, with its reason.

**Told**: thumbs, ratings, rubric annotations and preferences, under ids of their own, so that telling twice is telling
once. What was written stays here.
"""

import hashlib
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC
from typing import Any

from pydantic import ValidationError

from eval.feedback.entry import BEST_LEVEL, BEST_RATING, WITHDRAWN, Entry
from tunegate_core.errors import BadInput, ResourcesUnavailable

PAGE = 100
BATCH = 50
SECONDS = 10.0
TRACE = re.compile(r"[0-9a-f]{32}")
NOBODY = "unnamed"
TOLD = ("thumb", "rating", "rubric", "preference")


@dataclass(frozen=True)
class Project:
    """Where a Langfuse project is, and its keys."""

    url: str
    public_key: str
    secret_key: str = field(repr=False)


@dataclass(frozen=True)
class Pulled:
    """`left_out`: scores by the reason why they are no entry; `queues`: name -> items by status."""

    entries: tuple[Entry, ...]
    left_out: Counter[str]
    queues: dict[str, dict[str, int]]


class Langfuse:
    """A project. Every failure of the client leaves here as ResourcesUnavailable, or BadInput for wrong keys."""

    def __init__(self, project: Project):
        import httpx
        from langfuse.api import LangfuseAPI

        self._url = project.url
        self._http = httpx.Client(timeout=SECONDS)
        self._api: Any = LangfuseAPI(
            base_url=project.url,
            username=project.public_key,
            password=project.secret_key,
            x_langfuse_sdk_name="tunegate",
            httpx_client=self._http,
        )

    def close(self) -> None:
        """Drop the connections."""
        self._http.close()

    def pull(self) -> Pulled:
        """Everything that people said there."""
        left_out: Counter[str] = Counter()
        entries = []
        with self._translated():
            for score in self._scores():
                found = entry_of(score)
                if isinstance(found, Entry):
                    entries.append(found)
                else:
                    left_out[found] += 1
            return Pulled(tuple(entries), left_out, dict(self._queues()))

    def tell(self, entries: Sequence[Entry]) -> int:
        """Send what can be told of these entries; how many scores that were."""
        from langfuse.api.scores import CreateScoreRequest

        scores = [CreateScoreRequest(**fields) for entry in entries if (fields := score_of(entry)) is not None]
        with self._translated():
            for start in range(0, len(scores), BATCH):
                self._api.scores.create(request=scores[start : start + BATCH], request_options={"max_retries": 0})
        return len(scores)

    def _scores(self) -> Iterator[Any]:
        cursor: str | None = None
        while True:
            page = self._api.scores.get_many(
                limit=PAGE, cursor=cursor, source="ANNOTATION", fields="details,subject,annotation"
            )
            yield from page.data
            cursor = page.meta.cursor
            if not cursor:
                return

    def _queues(self) -> Iterator[tuple[str, dict[str, int]]]:
        for queue in self._pages(self._api.annotation_queues.list_queues):
            items = self._pages(self._api.annotation_queues.list_queue_items, queue_id=queue.id)
            statuses = Counter(str(item.status.value).lower() for item in items)
            yield queue.name, dict(sorted(statuses.items()))

    def _pages(self, read: Any, **where: str) -> Iterator[Any]:
        number = 1
        while True:
            page = read(page=number, limit=PAGE, **where)
            yield from page.data
            if number >= page.meta.total_pages:
                return
            number += 1

    @contextmanager
    def _translated(self) -> Iterator[None]:
        import httpx
        from langfuse.api.core import ApiError

        try:
            yield
        except ApiError as error:
            if error.status_code in (401, 403):
                raise BadInput(f"Langfuse at {self._url} refused the keys; check them and the project") from error
            raise ResourcesUnavailable(f"Langfuse at {self._url} answered {error.status_code}; try again") from error
        except (httpx.HTTPError, ValidationError) as error:
            what = type(error).__name__
            raise ResourcesUnavailable(
                f"Langfuse at {self._url} can't be reached or read ({what}); try again"
            ) from error


def entry_of(score: Any) -> Entry | str:
    """A score as an entry, or why it is none."""
    if score.subject is None:
        return "it is about nothing"
    said = _said(score)
    if isinstance(said, str):
        return said
    at = score.updated_at.astimezone(UTC).isoformat()
    fields = {"item": score.subject.id, "author": score.author_user_id or NOBODY, "at": at, **said}
    try:
        return Entry(source="langfuse", origin=f"langfuse:{score.id}", **fields)
    except ValidationError as error:
        return str(error.errors()[0]["msg"])


def _said(score: Any) -> dict[str, Any] | str:
    reason = {"reason": score.comment or None}
    kind, value = score.data_type, score.value
    if kind == "BOOLEAN":
        return {"kind": "thumb", "value": "up" if value else "down", **reason}
    if kind == "CORRECTION":
        return {"kind": "correction", "correction": value, **reason} if value else "the correction is empty"
    if kind == "TEXT":
        return {"kind": "comment", "reason": value} if value else "the text is empty"
    if kind != "NUMERIC":
        return f"{kind.lower()} scores have no place here"
    is_rating = score.name == "rating"
    low, high = (1, BEST_RATING) if is_rating else (0, BEST_LEVEL)
    if value != int(value) or not low <= value <= high:
        return f"'{score.name}' is not a whole number from {low} to {high}"
    what = {"kind": "rating"} if is_rating else {"kind": "rubric", "criterion": score.name}
    return {**what, "value": int(value), **reason}


def score_of(entry: Entry) -> dict[str, Any] | None:
    """The fields of the score that tells an entry; None for what is not told."""
    if entry.kind not in TOLD or entry.value in (None, WITHDRAWN) or entry.source == "langfuse":
        return None
    name = entry.criterion if entry.kind == "rubric" else entry.kind
    value = float(entry.value == "up") if entry.kind == "thumb" else entry.value
    is_word = entry.kind == "preference"
    return {
        "id": entry.id().removeprefix("sha256:")[:32],
        "trace_id": trace_of(entry.item),
        "name": name,
        "value": str(value) if is_word else float(value or 0),
        "data_type": "CATEGORICAL" if is_word else "BOOLEAN" if entry.kind == "thumb" else "NUMERIC",
    }


def trace_of(item: str) -> str:
    """The trace of an item: that of the answer it names, as serving tells it, and else one made from its name."""
    tail = item[-32:]
    return tail if TRACE.fullmatch(tail) else hashlib.sha256(item.encode()).hexdigest()[:32]
