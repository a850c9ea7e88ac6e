"""RFC 6962 trees: against the published vectors, against another implementation, and by their laws."""

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pymerkle import InmemoryTree

from tunegate_core.errors import BadInput, IntegrityError
from tunegate_core.proof.paths import (
    ConsistencyProof,
    InclusionProof,
    Range,
    consistency_ranges,
    fold,
    inclusion_ranges,
    perfect_nodes,
    raw_hashes,
)
from tunegate_core.proof.tree import EMPTY_ROOT, leaf_hash, tree_root, verify_consistency, verify_inclusion

LEAVES = [leaf_hash(bytes([number])) for number in range(70)]
sizes = st.integers(1, len(LEAVES))


def range_root(span: Range) -> bytes:
    return tree_root(LEAVES[span[0] : span[1]])


def inclusion(seq: int, size: int) -> list[bytes]:
    return [range_root(span) for span in inclusion_ranges(seq, size)]


def consistency(first: int, second: int) -> list[bytes]:
    return [range_root(span) for span in consistency_ranges(first, second)]


def test_published_roots(expected_values: dict[str, Any]) -> None:
    vectors = expected_values["rfc6962_ct_vectors"]
    leaves = [leaf_hash(bytes.fromhex(text)) for text in vectors["leaf_inputs_hex"]]
    for size, root in vectors["roots"].items():
        assert tree_root(leaves[: int(size)]).hex() == root
    assert vectors["roots"]["0"] == EMPTY_ROOT.hex()


def test_published_proofs(expected_values: dict[str, Any]) -> None:
    """The paths of Certificate Transparency's reference tests over the same eight leaves."""
    vectors = expected_values["rfc6962_ct_vectors"]
    leaves = [leaf_hash(bytes.fromhex(text)) for text in vectors["leaf_inputs_hex"]]
    roots = {int(size): bytes.fromhex(root) for size, root in vectors["roots"].items()}
    path = [tree_root(leaves[start:end]) for start, end in inclusion_ranges(5, 8)]
    assert [value.hex()[:8] for value in path] == ["bc1a0643", "ca854ea1", "d37ee418"]
    verify_inclusion(leaves[5], 5, 8, path, roots[8])
    for first in range(9):
        for second in range(first, 9):
            steps = [tree_root(leaves[start:end]) for start, end in consistency_ranges(first, second)]
            verify_consistency(first, second, roots[first], roots[second], steps)


def test_another_implementation_agrees() -> None:
    tree = InmemoryTree(algorithm="sha256")
    for number in range(len(LEAVES)):
        tree.append_entry(bytes([number]))
        size = number + 1
        assert tree.get_root(size) == tree_root(LEAVES[:size])
        for seq in {0, number // 2, number}:
            theirs = tree.prove_inclusion(seq + 1, size).serialize()["path"]
            assert {value.hex() for value in inclusion(seq, size)} <= {*theirs, LEAVES[seq].hex()}
            assert len(theirs) == len(inclusion(seq, size)) + 1


@given(st.data(), sizes)
def test_inclusion_holds_for_its_leaf_only(data: st.DataObject, size: int) -> None:
    seq = data.draw(st.integers(0, size - 1))
    path, root = inclusion(seq, size), tree_root(LEAVES[:size])
    verify_inclusion(LEAVES[seq], seq, size, path, root)
    assert len(path) <= (size - 1).bit_length()
    other = data.draw(st.integers(0, size))
    for wrong in breaks(path):
        with pytest.raises(IntegrityError):
            verify_inclusion(LEAVES[seq], seq, size, wrong, root)
    if other != seq:
        with pytest.raises(IntegrityError):
            verify_inclusion(LEAVES[seq], other, size, path, root)
    with pytest.raises(IntegrityError):
        verify_inclusion(leaf_hash(b"other"), seq, size, path, root)


@given(st.data(), sizes)
def test_consistency_holds_for_prefixes_only(data: st.DataObject, second: int) -> None:
    first = data.draw(st.integers(0, second))
    path = consistency(first, second)
    old, new = tree_root(LEAVES[:first]), tree_root(LEAVES[:second])
    verify_consistency(first, second, old, new, path)
    assert len(path) <= second.bit_length() + 1
    for wrong in breaks(path):
        with pytest.raises(IntegrityError):
            verify_consistency(first, second, old, new, wrong)
    with pytest.raises(IntegrityError):
        verify_consistency(first, second, b"\x00" * 32, new, path)
    if first:  # everything extends the empty tree
        with pytest.raises(IntegrityError):
            verify_consistency(first, second, old, b"\x00" * 32, path)


def breaks(path: list[bytes]) -> Iterator[list[bytes]]:
    """A path cut short, drawn out, changed and turned round."""
    yield [*path, b"\x00" * 32]
    if path:
        yield path[:-1]
        yield [bytes([path[0][0] ^ 1]) + path[0][1:], *path[1:]]
    if len(path) > 1:
        yield path[::-1]


@given(sizes, sizes)
def test_perfect_subtrees_make_up_every_range_of_a_proof(size: int, seq: int) -> None:
    for start, end in inclusion_ranges(min(seq, size) - 1, size):
        nodes = perfect_nodes((start, end))
        spans = [(index << level, index + 1 << level) for level, index in nodes]
        assert [a for a, _ in spans] == [start, *[b for _, b in spans[:-1]]]
        assert spans[-1][1] == end
        assert fold([range_root(span) for span in spans]) == range_root((start, end))
    assert fold([]) == EMPTY_ROOT


def test_proofs_travel_as_records() -> None:
    proof = InclusionProof(seq=3, size=7, path=tuple(value.hex() for value in inclusion(3, 7)))
    InclusionProof.parse(proof.canonical()).verify(LEAVES[3], tree_root(LEAVES[:7]))
    steps = ConsistencyProof(first=3, second=7, path=tuple(value.hex() for value in consistency(3, 7)))
    steps.verify(tree_root(LEAVES[:3]), tree_root(LEAVES[:7]))
    for wrong in (["zz"], ["ab"], ["ab" * 33]):
        with pytest.raises(IntegrityError):
            raw_hashes(wrong)


@pytest.mark.parametrize(("first", "second"), [(3, 2), (-1, 2)])
def test_no_consistency_backwards(first: int, second: int) -> None:
    with pytest.raises(BadInput):
        consistency_ranges(first, second)
    with pytest.raises(IntegrityError):
        verify_consistency(first, second, EMPTY_ROOT, EMPTY_ROOT, [])
