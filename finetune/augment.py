"""Counterfactual copies of training rows: the same row about the other group, by pairs of words.

Every word of a row that stands in a pair becomes its partner, in both directions at once and in its own case (Zhao et
al. 2018, NAACL, arXiv 1804.06876; Lu et al. 2020, arXiv 1807.11714). A row without such a word gets no copy. A word in
several pairs has no one partner ("her" is "him" or "his"), and which is right is a matter of grammar that nothing here
knows: a row with such a word gets no copy either, and is counted.

A copy has no text of its own in the store: it is its row and the pairs, so that who erases the row has erased the copy.
"""

import json
import re
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

from tunegate_core.canonical import canonical_json
from tunegate_core.errors import DataError
from tunegate_core.rows import texts_of

WORD = re.compile(r"[^\W\d_]+(?:['\N{RIGHT SINGLE QUOTATION MARK}-][^\W\d_]+)*")
WHOSE = re.compile(r"['\N{RIGHT SINGLE QUOTATION MARK}]s$")
EXPECTED = "two words a line, as in he,she"
Outcome = Literal["swapped", "unchanged", "ambiguous"]


class Swaps:
    """Pairs of words, ready to be exchanged in a row's texts."""

    def __init__(self, pairs: Sequence[tuple[str, str]]):
        self._partners: dict[str, set[str]] = defaultdict(set)
        for one, other in pairs:
            self._partners[one.lower()].add(other.lower())
            self._partners[other.lower()].add(one.lower())

    def row(self, canonical: str) -> tuple[Outcome, str]:
        """What becomes of a row (canonical JSON), and the row with its words exchanged, or as it was."""
        told = json.loads(canonical)
        words = {part for text in texts_of(told) for word in WORD.findall(text) for part in _parts(word)}
        found = [self._partners[word] for word in words & self._partners.keys()]
        if not found:
            return "unchanged", canonical
        if any(len(partners) > 1 for partners in found):
            return "ambiguous", canonical
        return "swapped", canonical_json(_mapped(told, self.text)).decode()

    def text(self, text: str) -> str:
        """A text with its words exchanged. Every word in it must have one partner at most."""
        return WORD.sub(lambda word: self._word(word[0]), text)

    def _word(self, word: str) -> str:
        name = next((part for part in _parts(word) if part in self._partners), None)
        if name is None:
            return word
        (partner,) = self._partners[name]
        return _cased(partner, word[: len(name)]) + word[len(name) :]


def read_pairs(path: Path) -> list[tuple[str, str]]:
    """The pairs of a file; see `parse_pairs`. Raises DataError."""
    try:
        return parse_pairs(path.read_text(encoding="utf-8"), str(path))
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: can't be read as UTF-8 text ({error}); expected {EXPECTED}") from error


def parse_pairs(text: str, name: str) -> list[tuple[str, str]]:
    """The pairs of a CSV without a header, two words a line; lines that begin with # are none. Raises DataError."""
    pairs = []
    for number, line in enumerate(text.removeprefix("\ufeff").splitlines(), start=1):  # spreadsheets begin with a mark
        if not line.strip() or line.startswith("#"):
            continue
        words = [word.strip() for word in line.split(",")]
        if len(words) != 2 or not all(WORD.fullmatch(word) for word in words) or words[0].lower() == words[1].lower():
            raise DataError(f"{name}, line {number}: expected {EXPECTED}, and the two different; found '{line}'")
        pairs.append((words[0], words[1]))
    if not pairs:
        raise DataError(f"{name}: holds no pair; expected {EXPECTED}")
    return pairs


def _parts(word: str) -> list[str]:
    """How a word may stand in a pair: as it is, and without the 's of whose it is."""
    folded = word.lower()
    return list(dict.fromkeys((folded, WHOSE.sub("", folded))))


def _cased(word: str, like: str) -> str:
    if like.isupper() and len(like) > 1:
        return word.upper()
    if like.istitle():
        return word.title()  # Jean-Luc is one name, and Mother-in-law begins a sentence
    return word.capitalize() if like[:1].isupper() else word


def _mapped(value: Any, change: Callable[[str], str]) -> Any:
    """The same value with those texts changed."""
    if isinstance(value, str):
        return change(value)
    if isinstance(value, dict):
        return {key: part if key == "role" else _mapped(part, change) for key, part in value.items()}
    return [_mapped(part, change) for part in value] if isinstance(value, list) else value
