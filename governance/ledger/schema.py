"""The ledger's two tables. What is here is what the newest migration leaves; a test compares the two.

A row of `events` holds its leaf hash and, in `nodes`, the roots of all perfect subtrees that it completes, 32 bytes
each from level 1 upwards: the root of the subtree (level, index) lies in the row `(index + 1) * 2**level - 1`. So an
append writes one row, and a proof reads O(log n) rows by their number.
"""

from sqlalchemy import BigInteger, Column, Index, Integer, LargeBinary, MetaData, Table, Text

REVISION = "0001"
VERSION_TABLE = "ledger_version"  # of its own: other tables of a house migrate by themselves

# On SQLite only an INTEGER primary key is the row's own number, which saves an index.
NUMBER = BigInteger().with_variant(Integer(), "sqlite")

metadata = MetaData()

events = Table(
    "events",
    metadata,
    Column("seq", NUMBER, primary_key=True, autoincrement=False),
    Column("kind", Text, nullable=False),
    Column("subject", Text),
    Column("key", Text),
    Column("at", Text, nullable=False),
    Column("leaf", LargeBinary, nullable=False),
    Column("nodes", LargeBinary, nullable=False),
    Column("bytes", LargeBinary, nullable=False),
)
# Two of the indexes hold only what is not null. The migration says so: to say it here would load both databases'
# dialects, a tenth of what a light verb takes to start.
Index("events_by_key", events.c.key, unique=True)
Index("events_by_subject", events.c.subject, events.c.seq)
Index("events_by_kind", events.c.kind, events.c.seq)

checkpoints = Table(
    "checkpoints",
    metadata,
    Column("size", NUMBER, primary_key=True, autoincrement=False),
    Column("root", LargeBinary, nullable=False),
    Column("note", Text, nullable=False),
)

# What an append runs, as plain SQL: building these statements anew costs more than running them.
LAST_ROW = "SELECT seq, leaf FROM events ORDER BY seq DESC LIMIT 1"
BY_KEY = "SELECT seq, kind, subject, key, leaf, bytes FROM events WHERE key = {}"
INSERT = "INSERT INTO events (seq, kind, subject, key, at, leaf, nodes, bytes) VALUES ({}, {}, {}, {}, {}, {}, {}, {})"


def in_dialect(sql: str, paramstyle: str) -> str:
    """The statement with the placeholders that a driver wants."""
    return sql.replace("{}", "?" if paramstyle == "qmark" else "%s")
