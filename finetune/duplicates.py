"""Rows that say the same, exactly or nearly. Pure, exact and deterministic.

Exact: equal after NFKC normalisation and folding of white space; case counts. Near: Jaccard similarity of the sets of
5-word shingles (case-folded words) of at least 0.8 with an earlier row, found by prefix filtering (Chaudhuri et al.
2006; Xiao et al. 2008): two sets that similar must share one of their rarest members, so only rows that do are
compared, and no pair is missed. System prompts are left out there: rows that share a long one are not near duplicates.
Overlap with an evaluation item: `tunegate_core.overlap`.
"""

import math
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Sequence

from finetune.data import Row
from tunegate_core.overlap import SHINGLE_WORDS, SIMILARITY, Words, words


def fold(text: str) -> str:
    """`text` in NFKC with every run of white space as one space."""
    return " ".join(unicodedata.normalize("NFKC", text).split())


def exact_duplicates(rows: Sequence[Row]) -> dict[int, int]:
    """Position of each row that equals an earlier one, and that one's position."""
    first: dict[tuple[tuple[str, str], ...], int] = {}
    found = {}
    for at, row in enumerate(rows):
        key = tuple((part.role, fold(part.text)) for part in row.parts)
        if first.setdefault(key, at) != at:
            found[at] = first[key]
    return found


def near_duplicates(rows: Sequence[Row]) -> dict[int, int]:
    """Position of each row that is nearly an earlier one, and the earliest such position."""
    sets = [_shingles(row) for row in rows]
    seen = Counter(shingle for shingles in sets for shingle in shingles)
    ordered = [sorted(shingles, key=lambda shingle: (seen[shingle], shingle)) for shingles in sets]
    index: dict[Words, list[int]] = defaultdict(list)
    found = {}
    for at, shingles in enumerate(ordered):
        prefix = shingles[: len(shingles) - math.ceil(SIMILARITY * len(shingles)) + 1]
        candidates = sorted({earlier for shingle in prefix for earlier in index[shingle]})
        match = next((earlier for earlier in candidates if _similar(sets[at], sets[earlier])), None)
        if match is not None:
            found[at] = match
        for shingle in prefix:
            index[shingle].append(at)
    return found


def _shingles(row: Row) -> frozenset[Words]:
    """Shingles of each part by itself, each with its role, so that a question is not taken for an answer."""
    found: set[Words] = set()
    for part in row.parts:
        if part.role != "system":
            text = words(part.text)
            ends = range(SHINGLE_WORDS, max(len(text), SHINGLE_WORDS) + 1)
            found.update((part.role, *text[end - SHINGLE_WORDS : end]) for end in ends)
    return frozenset(found)


def _similar(one: frozenset[Words], other: frozenset[Words]) -> bool:
    if min(len(one), len(other)) < SIMILARITY * max(len(one), len(other)):
        return False
    shared = len(one & other)
    return shared >= SIMILARITY * (len(one) + len(other) - shared)
