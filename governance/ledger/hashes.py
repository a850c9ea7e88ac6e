"""The tree's hashes as they lie in the table: roots and proofs from O(log n) rows, and the growing edge for appends."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, select

from governance.ledger.schema import LAST_ROW, events
from tunegate_core.errors import BadInput, IntegrityError
from tunegate_core.proof.paths import Node, Range, fold, perfect_nodes
from tunegate_core.proof.tree import node_hash

HASH_BYTES = 32


@dataclass(frozen=True)
class Head:
    """The tree's state: its size, its last leaf (to notice other writers), and its perfect subtrees, left to right."""

    size: int
    last_leaf: bytes | None
    edge: tuple[bytes, ...]

    @property
    def root(self) -> bytes:
        """The RFC 6962 root."""
        return fold(self.edge)


def read_head(connection: Connection, known: Head | None) -> Head:
    """The head as the table has it; `known` again if nobody appended since."""
    last = connection.exec_driver_sql(LAST_ROW).first()
    if last is None:
        return Head(0, None, ())
    size, leaf = last[0] + 1, last[1]
    if known is not None and (known.size, known.last_leaf) == (size, leaf):
        return known
    nodes = perfect_nodes((0, size))
    found = read_nodes(connection, nodes)
    return Head(size, leaf, tuple(found[node] for node in nodes))


def grow(edge: list[bytes], seq: int, leaf: bytes) -> bytes:
    """Put the leaf `seq` on the edge, in place; return the roots of the subtrees it completes, level 1 first."""
    completed = []
    value = leaf
    while seq & 1:
        value = node_hash(edge.pop(), value)
        completed.append(value)
        seq >>= 1
    edge.append(value)
    return b"".join(completed)


def range_roots(connection: Connection, ranges: Sequence[Range]) -> list[bytes]:
    """The roots of ranges of leaves, in one query. Raises BadInput beyond the log's end."""
    found = read_nodes(connection, [node for span in ranges for node in perfect_nodes(span)])
    return [fold([found[node] for node in perfect_nodes(span)]) for span in ranges]


def read_nodes(connection: Connection, nodes: Iterable[Node]) -> dict[Node, bytes]:
    """The hashes of perfect subtrees. Raises BadInput beyond the log's end, IntegrityError where rows are damaged."""
    rows = {node: (node[1] + 1 << node[0]) - 1 for node in nodes}
    if not rows:
        return {}
    query = select(events.c.seq, events.c.leaf, events.c.nodes).where(events.c.seq.in_(sorted(set(rows.values()))))
    found = {row.seq: (row.leaf, row.nodes) for row in connection.execute(query)}
    missing = sorted(set(rows.values()) - set(found))
    if missing:
        raise BadInput(f"the ledger has no event {missing[0]}; 'tunegate ledger checkpoint' says how many there are")
    return {node: _hash(node, *found[seq]) for node, seq in rows.items()}


def _hash(node: Node, leaf: bytes, nodes: bytes) -> bytes:
    level, index = node
    value = nodes[HASH_BYTES * (level - 1) : HASH_BYTES * level] if level else leaf
    if len(value) != HASH_BYTES:
        raise IntegrityError(f"the stored hash {index} at level {level} is damaged; run 'tunegate ledger verify'")
    return value
