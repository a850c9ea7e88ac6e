"""Copying a ledger row by row from one database to another, as it was at one moment, without holding up its writers."""

from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import func, insert, select

from governance.ledger.anchor import read_anchor
from governance.ledger.database import Database
from governance.ledger.schema import checkpoints, events
from tunegate_core.errors import BadInput

ROWS_AT_ONCE = 2000


@dataclass(frozen=True)
class Moment:
    """Up to where a copy goes: events, the largest signed size, and the anchor's lines that belong to them."""

    size: int
    signed: int
    anchor: tuple[str, ...]


def this_moment(source: Database, anchor: Path) -> Moment:
    """The present state; taken under the write lock, so that anchor and table agree."""
    with source.writing() as connection:
        last = connection.execute(select(func.max(events.c.seq))).scalar()
        signed = connection.execute(select(func.max(checkpoints.c.size))).scalar()
        lines = read_anchor(anchor).lines
    return Moment(0 if last is None else last + 1, -1 if signed is None else signed, lines)


def copy_ledger(source: Database, target: Database, until: Moment) -> None:
    """Write the source's rows into an empty target. Raises BadInput when the target holds events."""
    with target.writing() as writer, source.reading() as reader:
        if writer.execute(select(events.c.seq).limit(1)).first() is not None:
            raise BadInput(f"the ledger at {target.where} is not empty; expected a new database; nothing was copied")
        streaming = reader.execution_options(stream_results=True)
        query = select(events).where(events.c.seq < until.size).order_by(events.c.seq)
        for part in streaming.execute(query).partitions(ROWS_AT_ONCE):
            writer.execute(insert(events), [dict(row._mapping) for row in part])
        signed = reader.execute(select(checkpoints).where(checkpoints.c.size <= until.signed)).all()
        if signed:
            writer.execute(insert(checkpoints), [dict(row._mapping) for row in signed])
