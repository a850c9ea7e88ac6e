"""Batches of request records leave a digest in the ledger, so that a row changed later can be told.

A batch is every row of `requests` and `feedback` that came since the one before. Its root is the RFC 6962 root over the
canonical JSON of its rows, requests first. It is written down before it is recorded, and recorded again after a
failure: a ledger that is away delays digests and nothing else.

Rows and texts leave when their time is over. That batches left is an event too, so that who finds their rows gone knows
why; a batch whose rows are gone can't be verified any more, and says so.
"""

import logging
import threading
import time
from dataclasses import dataclass

from sqlalchemy import Connection, Table, delete, func, insert, select, text, update

from serving.tables import Tables, batches, feedback, requests, texts
from tunegate_core.canonical import canonical_json
from tunegate_core.errors import IntegrityError, TunegateError
from tunegate_core.ports import Recorder
from tunegate_core.proof.tree import leaf_hash, tree_root

EVENT = "requests-recorded"
FORGOTTEN = "requests-forgotten"  # every batch up to this one, because its time was over
MOST_ROWS = 10_000
DAY_MS = 86_400_000

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Retention:
    """How long things are kept."""

    text_days: int = 30
    row_days: int = 365


@dataclass(frozen=True)
class Overdue:
    """What is beyond its time: texts, and rows of every batch up to `batch`; None where no batch is."""

    texts: int
    batch: int | None
    rows: int


class Sealer:
    """A thread that seals every `seconds`, and once more when closed."""

    def __init__(self, tables: Tables, recorder: Recorder, retention: Retention, seconds: float):
        self._tables, self._recorder, self._retention, self._seconds = tables, recorder, retention, seconds
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="request-batches", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def close(self) -> None:
        """Seal what is there, and end."""
        self._stop.set()
        self._thread.join(timeout=10)

    def _run(self) -> None:
        is_last = False
        while not is_last:
            is_last = self._stop.wait(self._seconds)
            try:
                seal(self._tables)
                record(self._tables, self._recorder)
                forget(self._tables, self._recorder, self._retention, now_ms())
            except TunegateError as error:
                log.warning("the digest of request records waits: %s", type(error).__name__)


def now_ms() -> int:
    """Milliseconds since 1970."""
    return time.time_ns() // 1_000_000


def seal(tables: Tables) -> None:
    """Make batches of all rows that are in none."""
    while True:
        with tables.writing() as connection:
            last = connection.execute(select(batches).order_by(batches.c.number.desc()).limit(1)).first()
            after = (last.requests, last.feedback) if last else (0, 0)
            asked, said = _rows(connection, requests, after[0]), _rows(connection, feedback, after[1])
            if not asked and not said:
                return
            batch = {
                "number": (last.number if last else 0) + 1,
                "requests": asked[-1]["seq"] if asked else after[0],
                "feedback": said[-1]["seq"] if said else after[1],
                "rows": len(asked) + len(said),
                "root": _root([*asked, *said]),
                "at": now_ms(),
                "recorded": False,
                "kept": True,
            }
            connection.execute(insert(batches), batch)


def record(tables: Tables, recorder: Recorder) -> None:
    """Send every batch that the ledger has not got, in order. Raises what the recorder raises."""
    with tables.reading() as connection:
        open_ones = connection.execute(select(batches).where(~batches.c.recorded).order_by(batches.c.number)).all()
    for batch in open_ones:
        recorder(EVENT, {"batch": batch.number, "rows": batch.rows, "root": batch.root})
        with tables.writing() as connection:
            connection.execute(update(batches).where(batches.c.number == batch.number).values(recorded=True))


def overdue(tables: Tables, retention: Retention, now: int) -> Overdue:
    """What is kept beyond its time; rows only of batches that are in the ledger."""
    with tables.reading() as connection:
        kept = select(func.count()).select_from(texts).where(texts.c.at < now - retention.text_days * DAY_MS)
        is_over = batches.c.recorded & batches.c.kept & (batches.c.at < now - retention.row_days * DAY_MS)
        last = connection.execute(select(batches.c.number).where(is_over).order_by(batches.c.number.desc())).scalar()
        rows = select(func.sum(batches.c.rows)).where(batches.c.kept & (batches.c.number <= (last or 0)))
        found = int(connection.execute(kept).scalar_one()), int(connection.execute(rows).scalar() or 0)
        return Overdue(texts=found[0], batch=last, rows=found[1])


def forget(tables: Tables, recorder: Recorder, retention: Retention, now: int) -> Overdue:
    """Delete texts, and whole batches of rows, whose time is over; that batches go is recorded first. What went.

    Raises what the recorder raises; texts are gone then.
    """
    found = overdue(tables, retention, now)
    with tables.writing() as connection:
        connection.execute(text("PRAGMA secure_delete = ON"))  # zeros, not free pages with the text in them
        connection.execute(delete(texts).where(texts.c.at < now - retention.text_days * DAY_MS))
    if found.batch is None:
        return found
    recorder(FORGOTTEN, {"batch": found.batch, "rows": found.rows})
    with tables.writing() as connection:
        connection.execute(text("PRAGMA secure_delete = ON"))
        last = connection.execute(select(batches).where(batches.c.number == found.batch)).one()
        connection.execute(delete(requests).where(requests.c.seq <= last.requests))
        connection.execute(delete(feedback).where(feedback.c.seq <= last.feedback))
        connection.execute(update(batches).where(batches.c.number <= last.number).values(kept=False))
    return found


def erase(tables: Tables, response_id: str) -> int:
    """Delete what was said in a request and in feedback on it; how many texts that were. The digests still verify."""
    with tables.writing() as connection:
        asked = select(requests.c.text).where(requests.c.id == response_id)
        said = select(feedback.c.text).where(feedback.c.request == response_id)
        return int(connection.execute(delete(texts).where(texts.c.hash.in_(asked.union(said)))).rowcount)


def verify(tables: Tables) -> dict[int, str]:
    """The root of every batch that is still whole, by its number. Raises IntegrityError naming one that was changed."""
    roots = {}
    with tables.reading() as connection:
        after = (0, 0)
        for batch in connection.execute(select(batches).order_by(batches.c.number)).all():
            asked = _rows(connection, requests, after[0], batch.requests)
            said = _rows(connection, feedback, after[1], batch.feedback)
            after = (batch.requests, batch.feedback)
            if batch.kept and _root([*asked, *said]) != batch.root:
                raise IntegrityError(f"batch {batch.number} of the request records was changed after it was sealed")
            if batch.kept:
                roots[batch.number] = str(batch.root)
    return roots


def _rows(connection: Connection, rows: Table, after: int, upto: int | None = None) -> list[dict[str, object]]:
    """Rows as digests cover them: a score was not among their columns at first, so it is there only where given."""
    wanted = select(rows).where(rows.c.seq > after).order_by(rows.c.seq).limit(MOST_ROWS)
    if upto is not None:
        wanted = wanted.where(rows.c.seq <= upto)
    return [
        {name: value for name, value in row.items() if name != "score" or value is not None}
        for row in connection.execute(wanted).mappings()
    ]


def _root(rows: list[dict[str, object]]) -> str:
    return tree_root([leaf_hash(canonical_json(row)) for row in rows]).hex()
