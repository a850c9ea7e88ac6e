"""Feedback told to Langfuse as scores, from our tables: each at least once and under an id of its own, in order."""

import logging
import time
from typing import Any

import httpx
from sqlalchemy import select
from sqlalchemy.dialects.sqlite import insert as upsert

from serving.tables import Tables, feedback, mirrors
from serving.told import LangfuseSettings
from tunegate_core.errors import TunegateError

NAME = "langfuse"
MOST_AT_ONCE = 50
ANSWER_SECONDS = 5.0
REST_SECONDS = 10.0
ID_DIGITS = 32

log = logging.getLogger(__name__)


class ScoreMirror:
    """`turn` sends what is new; after a failure it rests for a while and begins where it stopped."""

    def __init__(self, settings: LangfuseSettings, tables: Tables):
        from langfuse.api import LangfuseAPI

        self._tables = tables
        self._resting = 0.0
        self._http = httpx.Client(timeout=ANSWER_SECONDS)
        self._api: Any = LangfuseAPI(
            base_url=settings.url,
            username=settings.public_key,
            password=settings.secret_key,
            x_langfuse_sdk_name="tunegate",
            httpx_client=self._http,
        )

    def turn(self) -> None:
        """Send the next scores, if there are any."""
        if time.monotonic() < self._resting:
            return
        try:
            self._send()
        except TunegateError as error:
            self._rest(error)
        except Exception as error:  # whatever the SDK raises when Langfuse is away
            self._rest(error)

    def close(self) -> None:
        """Drop the connections."""
        self._http.close()

    def _send(self) -> None:
        with self._tables.reading() as connection:
            done = connection.execute(select(mirrors.c.feedback).where(mirrors.c.name == NAME)).scalar() or 0
            wanted = select(feedback).where(feedback.c.seq > done).order_by(feedback.c.seq).limit(MOST_AT_ONCE)
            rows = connection.execute(wanted).all()
        if not rows:
            return
        scores = [score for row in rows for score in scores_of(row)]
        if scores:
            self._api.scores.create(request=scores, request_options={"max_retries": 0})
        statement = upsert(mirrors).values(name=NAME, feedback=rows[-1].seq)
        with self._tables.writing() as connection:
            connection.execute(
                statement.on_conflict_do_update(index_elements=["name"], set_={"feedback": rows[-1].seq})
            )

    def _rest(self, error: Exception) -> None:
        self._resting = time.monotonic() + REST_SECONDS
        log.warning("feedback waits for Langfuse: %s", type(error).__name__)


def scores_of(row: Any) -> list[Any]:
    """A row of `feedback` as Langfuse's scores: a thumb is 1 or 0, a rating 1 to 5. What was written stays here."""
    from langfuse.api.scores import CreateScoreRequest

    said = {"thumb": None if row.thumb is None else float(row.thumb > 0), "rating": row.rating}
    return [
        CreateScoreRequest(
            id=f"{row.request}-{row.seq}-{name}", trace_id=row.request[-ID_DIGITS:], name=name, value=float(value)
        )
        for name, value in said.items()
        if value is not None
    ]
