"""Verification that goes on after a tree head which the verifier verified before and kept out of others' reach.

The law: the head must be signed by a trusted key, and the subtrees stored over its events must give its root. Then what
was recorded since is checked as ever, from these subtrees on: the log extends what was verified. The events before are
not looked at again. Their stored hashes are seen as far as they are these subtrees' roots (O(log n) of them), and
nothing else of them; `UNSEEN` says so in every report.
"""

from collections.abc import Sequence

from sqlalchemy import Connection

from governance.ledger.hashes import read_nodes
from governance.ledger.rederiving import Rederiving
from governance.ledger.schema import LAST_ROW
from tunegate_core.errors import BadInput, IntegrityError
from tunegate_core.proof.checkpoint import Checkpoint
from tunegate_core.proof.paths import perfect_nodes
from tunegate_core.proof.rotation import KeyLine, verify_trusted_head

UNSEEN = (
    "were not looked at again: not their bytes, columns and tree hashes, nor that every row is there, nor tree heads "
    "signed before, nor the database's own structure; verify without a tree head to look at everything"
)


def trusted_head(note: str, trusted: Sequence[KeyLine]) -> Checkpoint:
    """The tree head to go on after. Raises IntegrityError unless one of the trusted keys signed it in its time."""
    try:
        return verify_trusted_head(note, trusted)
    except IntegrityError as error:
        raise IntegrityError(f"the tree head to go on after does not count: {error}") from error


def stored_tree(connection: Connection, size: int) -> tuple[Rederiving, str | None]:
    """The tree of the first `size` events as its subtrees are stored, or of all where there are fewer; and why these
    can't be read (the tree's hashes are unknown then)."""
    last = connection.exec_driver_sql(LAST_ROW).first()
    held = last[0] + 1 if last is not None else 0
    tree, fault = Rederiving(), None
    if size <= held:
        nodes = perfect_nodes((0, size))
        try:
            found = read_nodes(connection, nodes)
            return Rederiving(size, [found[node] for node in nodes]), None
        except (BadInput, IntegrityError, TypeError) as error:
            fault = f"the tree hashes stored over them can't be read: {error}"
    tree.skip(min(size, held))
    return tree, fault
