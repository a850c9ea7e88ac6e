"""Request records as canary analysis reads them: what came since the last look, requests first, then what was said."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import func, select

from serving.canary.observation import Arm, Observation
from serving.sealing import now_ms
from serving.tables import Tables, feedback, requests

MOST_ROWS = 10_000
OURS = range(500, 600)  # faults that are not the caller's
NOBODYS = {"model_withdrawn"}  # ended by a decision, so it says nothing about the version
WAITING_MS = 600_000  # what is said of an answer may be there before the answer's row; after this time it never comes


@dataclass(frozen=True)
class Cursor:
    """How far the records were read: the last row of each table."""

    requests: int = 0
    feedback: int = 0


def beginning(tables: Tables, alias: str, started: float) -> Cursor:
    """Before the first row that can be about a stage that began then (seconds since 1970). Raises StoreFault."""
    since = int(started * 1000)
    asked = select(func.min(requests.c.seq)).where(requests.c.alias == alias, requests.c.at >= since)
    with tables.reading() as connection:
        last = connection.execute(select(func.max(requests.c.seq))).scalar() or 0
        first = connection.execute(asked).scalar() or last + 1
        said = connection.execute(select(func.min(feedback.c.seq)).where(feedback.c.at >= since)).scalar()
        latest = connection.execute(select(func.max(feedback.c.seq))).scalar() or 0
    return Cursor(first - 1, (said or latest + 1) - 1)


def observed(tables: Tables, alias: str, arms: Mapping[str, Arm], since: Cursor) -> tuple[list[Observation], Cursor]:
    """What is new of a route since a cursor, and the next cursor; at most 10,000 rows of each kind.

    `arms` tells the two versions (NAME@N) that are compared. Raises StoreFault.
    """
    # `likely` keeps SQLite from reading all of a route and sorting it: rows are read on from the cursor.
    compared = (
        func.likely(requests.c.alias == alias)
        & requests.c.version.in_(arms)
        & requests.c.arm.in_(("champion", "canary"))
    )
    asked = select(requests).where(requests.c.seq > since.requests).order_by(requests.c.seq).limit(MOST_ROWS)
    said = (
        select(feedback.c.seq, feedback.c.thumb, feedback.c.score, requests.c.version, requests.c.at, requests.c.unit)
        .join(requests, requests.c.id == feedback.c.request)
        .where(compared, feedback.c.seq > since.feedback, feedback.c.thumb.is_not(None) | feedback.c.score.is_not(None))
        .order_by(feedback.c.seq)
        .limit(MOST_ROWS)
    )
    early = (
        select(func.min(feedback.c.seq))
        .outerjoin(requests, requests.c.id == feedback.c.request)
        .where(feedback.c.seq > since.feedback, feedback.c.at > now_ms() - WAITING_MS, requests.c.id.is_(None))
    )
    with tables.reading() as connection:
        new = connection.execute(asked.where(compared)).all()
        if (first := connection.execute(early).scalar()) is not None:
            said = said.where(feedback.c.seq < first)  # else the cursor would pass it
        marks = connection.execute(said).all()
    found = [_observation(arms[row.version], row) for row in new]
    found += [
        Observation(arms[row.version], row.at / 1000, unit=row.unit, thumb=row.thumb, score=row.score) for row in marks
    ]
    cursor = Cursor(new[-1].seq if new else since.requests, marks[-1].seq if marks else since.feedback)
    return found, cursor


def _observation(arm: Arm, row: Any) -> Observation:
    is_ok = True if row.status == 200 else False if row.status in OURS and row.code not in NOBODYS else None
    is_answer = is_ok is True and row.operation != "embeddings"
    first = row.ttft_us if row.stream else row.total_us if is_ok else None
    return Observation(
        arm=arm,
        at=row.at / 1000,
        unit=row.unit,
        ok=is_ok,
        ttft_ms=None if first is None else first / 1000,
        itl_ms=None if row.itl_us is None else row.itl_us / 1000,
        refused=row.refused if is_answer else None,
        empty=row.empty if is_answer else None,
        truncated=row.truncated if is_answer else None,
    )
