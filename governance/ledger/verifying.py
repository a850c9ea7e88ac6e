"""Verification: the law is that nothing is believed because it is stored.

1. The notes in the table and the lines of the anchor are the same, each signed by a trusted key.
2. Rows are numbered from 0 without a gap; each row's bytes give its leaf hash, are a canonical event, and say what the
   columns say.
3. The tree over the leaves gives every stored subtree hash, and every signed root at its size.
4. The log is at least as long as the longest signed tree, those that witnesses cosigned included.
5. The database's own structure is sound (indexes find what the table holds), and no trigger, view or rule stands
   between it and what is recorded.

Events after the last signed head are checked by 2 and 3 only: nobody signed for them yet. Not everything is read into
memory: rows are streamed. After a head that the verifier trusts, all this is asked of what was recorded since; see
`resuming`.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, select
from sqlalchemy.exc import DBAPIError

from governance.ledger.anchor import AnchorLines, read_anchor
from governance.ledger.database import Database
from governance.ledger.event import Event
from governance.ledger.heads import Heads, agreeing, judge_heads, read_heads, span
from governance.ledger.locating import Findings, locate
from governance.ledger.rederiving import Rederiving
from governance.ledger.report import Problem, VerifyReport, WitnessSeen
from governance.ledger.resuming import UNSEEN, stored_tree, trusted_head
from governance.ledger.rows import column_fault, is_canonical, parse_row
from governance.ledger.schema import checkpoints, in_dialect
from governance.ledger.succession import rotations
from governance.ledger.witnesses import known_witnesses, read_cosigned
from tunegate_core.errors import BadInput, IntegrityError
from tunegate_core.proof.keys import parse_public_key
from tunegate_core.proof.rotation import KeyLine, verify_line
from tunegate_core.proof.tree import leaf_hash

BlobCheck = Callable[[Event], Iterable[Problem]]

# Plain SQL: a row whose column has the wrong type must come out as it is, to be reported.
ROWS = "SELECT seq, kind, subject, key, at, leaf, nodes, bytes FROM events WHERE seq >= {} ORDER BY seq"
LOWEST = -(2**63)  # a row with a number that no event can have is to be found too
ROWS_AT_ONCE = 2000
# Triggers, views and rules by whether the database is SQLite.
FOREIGN = {
    True: "SELECT type || ' ' || name FROM sqlite_master WHERE type IN ('trigger', 'view') ORDER BY name",
    False: "SELECT 'trigger ' || tgname FROM pg_trigger JOIN pg_class ON pg_class.oid = tgrelid WHERE NOT tgisinternal"
    " AND relname IN ('events', 'checkpoints') UNION ALL SELECT 'rule ' || rulename FROM pg_rules"
    " WHERE tablename IN ('events', 'checkpoints') ORDER BY 1",
}
SETTLE_TRIES = 10
SETTLE_SECONDS = 0.05
RAW_KEY_BYTES = 32


def verify_log(
    database: Database,
    anchor: Path | None,
    public_keys: Sequence[bytes],
    blob_check: BlobCheck | None,
    cosigned: Sequence[str] = (),
    since: str | None = None,
) -> VerifyReport:
    """Check everything, or what came after the tree head in the note `since`; see the module's law.

    Raises BadInput without a key, StoreFault when nothing can be read, IntegrityError when `since` does not count.
    """
    if not public_keys:
        raise BadInput("no public key to verify with; give the one that 'tunegate keys export' printed")
    keys = [key if len(key) == RAW_KEY_BYTES else parse_public_key(key) for key in public_keys]
    with _settled(database, anchor) as (connection, rows, lines):
        trusted, wrong = _lines(connection, keys)
        start = trusted_head(since, trusted) if since is not None else None
        heads = read_heads(rows, lines, trusted, start)
        heads.problems += wrong
        witnesses = _witnesses(connection, heads, cosigned, trusted)
        walk = _Walk(heads, blob_check)
        if start is not None:
            walk.resume(connection, start.size)
        walk.run(connection)
        problems = [*heads.problems, *locate(walk.found), *walk.problems, *_database(connection, start is None)]
    problems += judge_heads(heads, walk.tree.size if walk.is_complete else None, walk.roots)
    root = walk.tree.root()
    unseen = (f"{span(0, start.size - 1)} {UNSEEN}",) if start is not None and start.size else ()
    return VerifyReport(
        ok=not problems,
        size=walk.tree.size,
        root=root.hex() if root is not None else None,
        checkpoints=len(agreeing(heads, walk.roots)),
        problems=tuple(problems),
        notes=(*heads.notes, *unseen),
        witnesses=tuple(witnesses),
        since=start.size if start is not None else 0,
    )


@contextmanager
def _settled(
    database: Database, anchor: Path | None
) -> Iterator[tuple[Connection, list[Sequence[Any]], AnchorLines | None]]:
    """One view of the database and the anchor at the same moment: taken again while somebody is just signing."""
    for attempt in range(SETTLE_TRIES):
        lines = read_anchor(anchor) if anchor is not None else None
        with database.reading() as connection:
            query = select(checkpoints.c.size, checkpoints.c.root, checkpoints.c.note).order_by(checkpoints.c.size)
            rows: list[Sequence[Any]] = list(connection.execute(query).all())
            if attempt == SETTLE_TRIES - 1 or lines is None or len(rows) == len(set(lines.lines)):
                yield connection, rows, lines
                return
        time.sleep(SETTLE_SECONDS)


def _lines(connection: Connection, keys: Sequence[bytes]) -> tuple[list[KeyLine], list[Problem]]:
    """The keys that count: the trusted ones, and those that the log's own rotations reach from them."""
    try:
        found = rotations(connection)
    except (IntegrityError, DBAPIError) as error:
        what = f"the rotations of the log's key can't be read, so only the given keys count: {error}"
        return [KeyLine((key,)) for key in keys], [Problem(where="keys", what=what)]
    trusted, problems = [], []
    for key in keys:
        try:
            trusted.append(verify_line(found, key))
        except IntegrityError as error:
            trusted.append(KeyLine((key,)))
            problems.append(Problem(where="keys", what=str(error)))
    return trusted, problems


def _witnesses(
    connection: Connection, heads: Heads, cosigned: Sequence[str], trusted: Sequence[KeyLine]
) -> list[WitnessSeen]:
    try:
        return read_cosigned(heads, cosigned, known_witnesses(connection), trusted)
    except (IntegrityError, DBAPIError) as error:
        heads.problems.append(Problem(where="witnesses", what=str(error)))
        return []


def _database(connection: Connection, is_whole: bool) -> list[Problem]:
    """What acts by itself on the ledger's tables: nothing of ours does; and, by reading the whole database, what is
    damaged."""
    is_sqlite = connection.dialect.name == "sqlite"
    try:
        foreign = [str(row[0]) for row in connection.exec_driver_sql(FOREIGN[is_sqlite])]
        lines = connection.exec_driver_sql("PRAGMA integrity_check(5)") if is_sqlite and is_whole else ()
        found = [str(row[0]) for row in lines]
    except DBAPIError as error:
        foreign, found = [], [str(error.orig)]
    what = "can drop or change what is recorded, and is none of the ledger's; remove it"
    return [Problem(where="database", what=f"{name} {what}") for name in foreign] + [
        Problem(where="database", what=f"its structure is damaged: {line}") for line in found if line != "ok"
    ]


def _parts(connection: Connection, start: int) -> Iterator[Sequence[Any]]:
    """The rows from `start` on in order, many at once. SQLite's as the driver gives them: another form costs a tenth of
    the time."""
    sql = in_dialect(ROWS, connection.dialect.paramstyle)
    result = connection.execution_options(stream_results=True).exec_driver_sql(sql, (start,))
    if connection.dialect.name != "sqlite":
        yield from result.partitions(ROWS_AT_ONCE)
        return
    cursor: Any = result.cursor
    while rows := cursor.fetchmany(ROWS_AT_ONCE):
        yield rows


class _Walk:
    """One pass over the rows."""

    def __init__(self, heads: Heads, blob_check: BlobCheck | None):
        self.tree = Rederiving()
        self.found = Findings()
        self.problems: list[Problem] = []
        self.is_complete = False
        self.start = LOWEST
        self.roots: dict[int, bytes | None] = {0: self.tree.root()} if 0 in heads.roots else {}
        self._wanted, self._blob_check = set(heads.roots), blob_check

    def resume(self, connection: Connection, size: int) -> None:
        """Begin after `size` events, whose tree is taken as it is stored; `judge_heads` compares it with their head."""
        self.tree, fault = stored_tree(connection, size)
        self.start = size
        self.roots[self.tree.size] = self.tree.root()
        if fault is not None:
            self.problems.append(Problem(where=span(0, size - 1), what=fault, first=0, last=size - 1))

    def run(self, connection: Connection) -> None:
        """Read and check every row, or those from where it began, as far as the database can be read."""
        driver: Any = connection.dialect.loaded_dbapi
        try:
            for part in _parts(connection, self.start):
                for row in part:
                    self._take(*row)
            self.is_complete = True
        except (DBAPIError, driver.Error) as error:
            where = f"database, some way after event {self.tree.size - 1}"
            what = f"can't be read further: {getattr(error, 'orig', error)}"
            self.problems.append(Problem(where=where, what=what))

    def _take(self, seq: int, kind: Any, subject: Any, key: Any, at: Any, leaf: Any, nodes: Any, data: Any) -> None:
        if seq != self.tree.size and not self._gap(seq):
            return
        tree = self.tree
        try:
            if leaf_hash(data) != leaf:
                self.found.changed.append(seq)
            fault = tree.add(leaf, nodes)
            if fault:
                first = seq >> fault << fault
                self.found.subtrees.append((first, seq))
            event = parse_row(data)
            if event["seq"] != seq:
                self.found.moved[seq] = event["seq"]
            wrong = column_fault(event, kind, subject, key, at)
            if wrong is not None:
                self.found.odd[seq] = f"the columns differ from the bytes: {wrong}"
            elif not is_canonical(data, event):
                self.found.odd[seq] = "the bytes are not in canonical form"
        except (TypeError, ValueError) as error:
            self.found.odd[seq] = f"the row can't be read as an event: {error}"
            tree.skip(seq + 1)
        if tree.size in self._wanted:
            self.roots[tree.size] = tree.root()
        if self._blob_check is not None:
            self._check_blobs(seq, data)

    def _gap(self, seq: int) -> bool:
        """Note what is missing before `seq`; False for a row whose number no event can have."""
        if seq < self.tree.size:
            self.found.odd[seq] = "no event can have this number"
            return False
        self.found.missing.append((self.tree.size, seq - 1))
        self.tree.skip(seq)
        return True

    def _check_blobs(self, seq: int, data: bytes) -> None:
        if self._blob_check is None or seq in self.found.odd or self.found.changed[-1:] == [seq]:
            return
        try:
            self.problems.extend(self._blob_check(Event.parse(data)))
        except IntegrityError as error:
            self.found.odd[seq] = str(error)
