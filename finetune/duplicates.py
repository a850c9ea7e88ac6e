"""Rows that say the same: exactly, nearly, or the same as an evaluation item. Pure, exact and deterministic.

Exact: equal after NFKC normalisation and folding of white space; case counts. Near: Jaccard similarity of the sets of
5-word shingles (case-folded words) of at least 0.8 with an earlier row, found by prefix filtering (Chaudhuri et al.
2006; Xiao et al. 2008): two sets that similar must share one of their rarest members, so only rows that do are
compared, and no pair is missed. System prompts are left out there: rows that share a long one are not near duplicates.

Overlap with an evaluation item: a row holds 13 words in a row of it (the length Brown et al. 2020 use), or the whole
item where it has 5 to 12 words, or, for shorter items, one of the row's parts is the item.
"""

import math
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence

from finetune.data import Row

SHINGLE_WORDS = 5
SIMILARITY = 0.8
OVERLAP_WORDS = 13
SHORTEST_CONTAINED = 5

_WORD = re.compile(r"\w+")

Words = tuple[str, ...]


def fold(text: str) -> str:
    """`text` in NFKC with every run of white space as one space."""
    return " ".join(unicodedata.normalize("NFKC", text).split())


def words(text: str) -> Words:
    """The case-folded words of a text, without punctuation."""
    return tuple(_WORD.findall(unicodedata.normalize("NFKC", text).casefold()))


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


class ItemIndex:
    """Evaluation items, ready to be looked for in rows."""

    def __init__(self, item_texts: Iterable[str]):
        self._whole: set[Words] = set()
        self._starts: dict[Words, set[Words]] = defaultdict(set)
        for text in item_texts:
            self._add(words(text))

    def is_in(self, row: Row) -> bool:
        """Whether a part of the row holds an item. System prompts count: they are learnt from as context."""
        return any(self._holds(words(part.text)) for part in row.parts)

    def _add(self, item: Words) -> None:
        if len(item) < SHORTEST_CONTAINED:
            self._whole.add(item)
            return
        length = min(len(item), OVERLAP_WORDS)
        for start in range(len(item) - length + 1):
            needle = item[start : start + length]
            self._starts[needle[:SHORTEST_CONTAINED]].add(needle)

    def _holds(self, text: Words) -> bool:
        if text in self._whole and text:
            return True
        for at in range(len(text) - SHORTEST_CONTAINED + 1):
            needles = self._starts.get(text[at : at + SHORTEST_CONTAINED])
            if needles and any(text[at : at + len(needle)] == needle for needle in needles):
                return True
        return False


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
