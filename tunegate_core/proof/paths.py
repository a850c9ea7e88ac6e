"""Which hashes a proof consists of, without looking any up (RFC 6962, 2.1.1 and 2.1.2), and the proofs as records.

A proof over n leaves holds at most ceil(log2 n) + 1 hashes, each the root of a range of leaves. Every range but the
last one on the right edge is perfect: `(level, index)` names the perfect subtree over the leaves
`index * 2**level` to `(index + 1) * 2**level - 1`.
"""

from collections.abc import Sequence

from pydantic import Field

from tunegate_core.errors import BadInput, IntegrityError
from tunegate_core.proof.tree import EMPTY_ROOT, node_hash, verify_consistency, verify_inclusion
from tunegate_core.records import Record

Range = tuple[int, int]  # leaves from the first to before the second
Node = tuple[int, int]  # level, index

HASH = r"^[0-9a-f]{64}$"


class InclusionProof(Record):
    """That the leaf `seq` is in the tree of the first `size` events. `path` goes from leaf to root, hex."""

    seq: int = Field(ge=0)
    size: int = Field(ge=1)
    path: tuple[str, ...]

    def verify(self, leaf: bytes, root: bytes) -> None:
        """Raises IntegrityError unless the proof leads from the leaf hash to the root."""
        verify_inclusion(leaf, self.seq, self.size, raw_hashes(self.path), root)


class ConsistencyProof(Record):
    """That the tree of `second` events begins with the tree of `first` events. `path` is hex."""

    first: int = Field(ge=0)
    second: int = Field(ge=0)
    path: tuple[str, ...]

    def verify(self, first_root: bytes, second_root: bytes) -> None:
        """Raises IntegrityError unless the second tree extends the first."""
        verify_consistency(self.first, self.second, first_root, second_root, raw_hashes(self.path))


def raw_hashes(path: Sequence[str]) -> list[bytes]:
    """Hashes of 32 bytes from hex. Raises IntegrityError for anything else."""
    try:
        hashes = [bytes.fromhex(text) for text in path]
    except ValueError as error:
        raise IntegrityError(f"a proof holds something that is no hash: {error}") from error
    if any(len(value) != 32 for value in hashes):
        raise IntegrityError("a proof holds a hash that is not 32 bytes long")
    return hashes


def inclusion_ranges(seq: int, size: int) -> list[Range]:
    """The ranges whose roots are the inclusion path of a leaf, from leaf to root. Raises BadInput outside the tree."""
    if not 0 <= seq < size:
        raise BadInput(f"there is no event {seq} in a tree of {size} events")
    start, end, ranges = 0, size, []
    while end - start > 1:
        middle = start + _split(end - start)
        ranges.append((middle, end) if seq < middle else (start, middle))
        start, end = (start, middle) if seq < middle else (middle, end)
    return ranges[::-1]


def consistency_ranges(first: int, second: int) -> list[Range]:
    """The ranges whose roots prove that `second` events extend `first`. Raises BadInput unless 0 <= first <= second."""
    if not 0 <= first <= second:
        raise BadInput(f"a tree of {second} events can't extend one of {first}")
    if first in (0, second):
        return []
    start, end, ranges, whole = 0, second, [], True
    while first != end:
        middle = start + _split(end - start)
        if first <= middle:
            ranges.append((middle, end))
            end = middle
        else:
            ranges.append((start, middle))
            start, whole = middle, False
    return ([] if whole else [(start, end)]) + ranges[::-1]


def perfect_nodes(span: Range) -> list[Node]:
    """The perfect subtrees that make up a range, left to right (largest first, as an RFC 6962 tree splits)."""
    start, end = span
    nodes = []
    while start < end:
        level = (end - start).bit_length() - 1
        nodes.append((level, start >> level))
        start += 1 << level
    return nodes


def fold(hashes: Sequence[bytes]) -> bytes:
    """Root over perfect subtrees given left to right; the empty root for none."""
    if not hashes:
        return EMPTY_ROOT
    root = hashes[-1]
    for left in reversed(hashes[:-1]):
        root = node_hash(left, root)
    return root


def _split(size: int) -> int:
    """The largest power of two smaller than `size`."""
    return 1 << (size - 1).bit_length() - 1
