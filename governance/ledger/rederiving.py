"""Re-deriving the tree from leaves while comparing it with the hashes that were stored on the way.

Where a stored hash differs from the derived one, the fault is noted and the stored one is carried on, so that one
changed leaf is one fault and the signed heads above it still speak for everything else. A missing event makes the
hashes above it unknown (None) until a stored one says what they were.
"""

from collections.abc import Iterable
from hashlib import sha256

from governance.ledger.hashes import HASH_BYTES
from tunegate_core.proof.paths import fold


class Rederiving:
    """The perfect subtrees over the events seen so far: one hash, or None, for each set bit of `size`.

    `size` and `edge`: of events that are taken as seen, to go on after them.
    """

    def __init__(self, size: int = 0, edge: Iterable[bytes] = ()) -> None:
        self.size = size
        self._edge: list[bytes | None] = list(edge)

    def add(self, leaf: bytes, stored: bytes) -> int:
        """Take the next event's leaf and its stored subtree roots; return the lowest level that differs, or 0.

        Raises TypeError, and takes nothing, when they are no hashes.
        """
        if type(leaf) is not bytes or type(stored) is not bytes or len(leaf) != HASH_BYTES:
            raise TypeError("its leaf or its tree hashes are no hashes")
        seq, level, fault = self.size, 0, 0
        value: bytes | None = leaf
        while seq & 1:
            left = self._edge.pop()
            claim = stored[HASH_BYTES * level : HASH_BYTES * (level + 1)]
            derived = None if left is None or value is None else sha256(b"\x01" + left + value).digest()
            level += 1
            if derived != claim and derived is not None and not fault:
                fault = level
            value = claim if len(claim) == HASH_BYTES else derived
            seq >>= 1
        if len(stored) != HASH_BYTES * level and not fault:
            fault = max(level, 1)
        self._edge.append(value)
        self.size += 1
        return fault

    def skip(self, size: int) -> None:
        """Take the events up to `size` as missing, in O(log n) however many they are."""
        while self.size < size:
            aligned = (self.size & -self.size).bit_length() - 1 if self.size else size.bit_length()
            level = min(aligned, (size - self.size).bit_length() - 1)
            above = self.size >> level
            while above & 1:
                self._edge.pop()
                above >>= 1
            self._edge.append(None)
            self.size += 1 << level

    def root(self) -> bytes | None:
        """The root of the events so far, None where a missing event hides it."""
        known = [value for value in self._edge if value is not None]
        return fold(known) if len(known) == len(self._edge) else None
