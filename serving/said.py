"""Feedback as it was given through the API, with the answer it is about, for who collects it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson
from sqlalchemy import select

from serving.tables import Tables, feedback, requests, texts

MOST_ROWS = 10_000


@dataclass(frozen=True)
class Said:
    """One row of `feedback`. `texts`: correction, preferred, comment, and of the answer prompt and answer, as far as
    they are kept. `thumb` is 1 or -1; `at` milliseconds since 1970."""

    seq: int
    response_id: str
    at: int
    key_id: str
    version: str | None
    thumb: int | None
    rating: int | None
    texts: Mapping[str, str]


def said(tables: Tables, after: int) -> list[Said]:
    """Rows after a number, in order, at most `MOST_ROWS`."""
    found, asked = texts.alias("found"), texts.alias("asked")
    joined = (
        feedback.outerjoin(requests, requests.c.id == feedback.c.request)
        .outerjoin(found, found.c.hash == feedback.c.text)
        .outerjoin(asked, asked.c.hash == requests.c.text)
    )
    columns = (feedback, requests.c.version, found.c.body.label("said"), asked.c.body.label("asked"))
    wanted = select(*columns).select_from(joined).where(feedback.c.seq > after).order_by(feedback.c.seq)
    with tables.reading() as connection:
        return [_said(row) for row in connection.execute(wanted.limit(MOST_ROWS))]


def _said(row: Any) -> Said:
    words: dict[str, str] = {}
    for body in (row.asked, row.said):
        words |= {name: text for name, text in orjson.loads(body).items() if name != "salt"} if body else {}
    return Said(row.seq, row.request, row.at, row.key_id, row.version, row.thumb, row.rating, words)
