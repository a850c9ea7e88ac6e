"""Whether a text holds an evaluation item: one rule for what is kept out of training and for what is counted after it.

A text holds an item by 13 words of it in a row (the length Brown et al. 2020, arXiv 2005.14165, appendix C use), or by
the whole item where it has 5 to 12 words; a shorter item only by being it. Near: Jaccard similarity of the sets of
5-word shingles of at least 0.8. Words are case-folded, in NFKC, without punctuation; in Chinese and Japanese, which put
no space between words, each character is one.
"""

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable

SHINGLE_WORDS = 5
SIMILARITY = 0.8
OVERLAP_WORDS = 13
SHORTEST_CONTAINED = 5

_UNSPACED = r"\u3040-\u30ff\u31f0-\u31ff\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"  # kana and Han characters
_WORD = re.compile(rf"(?=\w)[{_UNSPACED}]|[^\W{_UNSPACED}]+")


Words = tuple[str, ...]


def words(text: str) -> Words:
    """The case-folded words of a text, without punctuation."""
    return tuple(_WORD.findall(unicodedata.normalize("NFKC", text).casefold()))


def shingles(text: Words) -> frozenset[Words]:
    """Every five words in a row; of a shorter text all of it."""
    ends = range(SHINGLE_WORDS, max(len(text), SHINGLE_WORDS) + 1)
    return frozenset(text[max(end - SHINGLE_WORDS, 0) : end] for end in ends)


class ItemIndex:
    """Evaluation items by their number, ready to be looked for in texts."""

    def __init__(self, item_texts: Iterable[str]):
        self._whole: dict[Words, set[int]] = defaultdict(set)
        self._starts: dict[Words, dict[Words, set[int]]] = defaultdict(lambda: defaultdict(set))
        self._shingles: dict[Words, list[int]] = defaultdict(list)
        self._sizes: list[int] = []
        for number, text in enumerate(item_texts):
            self._add(number, words(text))

    def held_by(self, text: str) -> set[int]:
        """The items that the text holds."""
        found = words(text)
        held = set(self._whole.get(found, ())) if found else set()
        for at in range(len(found) - SHORTEST_CONTAINED + 1):
            for needle, numbers in self._starts.get(found[at : at + SHORTEST_CONTAINED], {}).items():
                if found[at : at + len(needle)] == needle:
                    held |= numbers
        return held

    def is_in(self, text: str) -> bool:
        """Whether the text holds an item."""
        return bool(self.held_by(text))

    def same_as(self, text: str) -> set[int]:
        """The items whose words are the text's."""
        found = words(text)
        return set(self._whole.get(found, ())) if found else set()

    def near(self, text: str) -> set[int]:
        """The items that nearly are the text."""
        own = shingles(words(text))
        shared = Counter(number for shingle in own for number in self._shingles.get(shingle, ()))
        return {
            number for number, count in shared.items() if count >= SIMILARITY * (len(own) + self._sizes[number] - count)
        }

    def _add(self, number: int, item: Words) -> None:
        found = shingles(item) if item else frozenset()
        self._sizes.append(len(found))
        for shingle in found:
            self._shingles[shingle].append(number)
        self._whole[item].add(number)
        if len(item) < SHORTEST_CONTAINED:
            return
        length = min(len(item), OVERLAP_WORDS)
        for start in range(len(item) - length + 1):
            needle = item[start : start + length]
            self._starts[needle[:SHORTEST_CONTAINED]][needle].add(number)
