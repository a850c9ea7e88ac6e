"""Merkle trees as in RFC 6962, section 2.1: leaf `H(0x00 || d)`, node `H(0x01 || l || r)`, SHA-256.

A tree of n leaves splits at the largest power of two smaller than n. Hashes are 32 raw bytes.
"""

import hashlib
from collections.abc import Sequence

from tunegate_core.errors import IntegrityError

EMPTY_ROOT = hashlib.sha256(b"").digest()


def leaf_hash(data: bytes) -> bytes:
    """Hash of a leaf's data."""
    return hashlib.sha256(b"\x00" + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Hash of an inner node."""
    return hashlib.sha256(b"\x01" + left + right).digest()


def tree_root(leaves: Sequence[bytes]) -> bytes:
    """Root over leaf hashes (RFC 6962 2.1), in one pass with a stack of perfect subtrees."""
    stack: list[tuple[int, bytes]] = []
    for leaf in leaves:
        size, value = 1, leaf
        while stack and stack[-1][0] == size:
            value = node_hash(stack.pop()[1], value)
            size *= 2
        stack.append((size, value))
    if not stack:
        return EMPTY_ROOT
    root = stack.pop()[1]
    while stack:
        root = node_hash(stack.pop()[1], root)
    return root


def verify_inclusion(leaf: bytes, index: int, size: int, path: Sequence[bytes], root: bytes) -> None:
    """The leaf hash is at `index` of the tree of `size` leaves (RFC 9162, 2.1.3.2). Raises IntegrityError."""
    if not 0 <= index < size:
        raise IntegrityError(f"inclusion proof: index {index} is not in a tree of {size}")
    position, last, value = index, size - 1, leaf
    for sibling in path:
        if last == 0:
            raise IntegrityError("inclusion proof: the path is too long")
        if position & 1 or position == last:
            value = node_hash(sibling, value)
            while not position & 1 and position:
                position >>= 1
                last >>= 1
        else:
            value = node_hash(value, sibling)
        position >>= 1
        last >>= 1
    if last != 0 or value != root:
        raise IntegrityError(f"inclusion proof: event {index} is not in the signed tree of {size} events")


def verify_consistency(first: int, second: int, first_root: bytes, second_root: bytes, path: Sequence[bytes]) -> None:
    """The tree of `first` leaves is a prefix of the tree of `second` (RFC 9162, 2.1.4.2). Raises IntegrityError."""
    if first > second:
        raise IntegrityError(f"consistency proof: {first} is more than {second} events")
    if first == second or first == 0:
        if path or (first == second and first_root != second_root) or (first == 0 and first_root != EMPTY_ROOT):
            raise IntegrityError(f"consistency proof: the two trees at {first} events differ")
        return
    nodes = list(path) if first & (first - 1) else [first_root, *path]
    if not nodes:
        raise IntegrityError("consistency proof: the path is empty")
    position, last = first - 1, second - 1
    while position & 1:
        position >>= 1
        last >>= 1
    old = new = nodes[0]
    for sibling in nodes[1:]:
        if last == 0:
            raise IntegrityError("consistency proof: the path is too long")
        if position & 1 or position == last:
            old, new = node_hash(sibling, old), node_hash(sibling, new)
            while not position & 1 and position:
                position >>= 1
                last >>= 1
        else:
            new = node_hash(new, sibling)
        position >>= 1
        last >>= 1
    if last != 0 or old != first_root or new != second_root:
        raise IntegrityError(f"consistency proof: the tree of {second} events does not extend that of {first}")
