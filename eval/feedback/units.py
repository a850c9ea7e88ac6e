"""Entries as labels on units, for what compares annotators: the same unit labelled by several of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from eval.feedback.entry import SKIP, TIE, Entry

Level = Literal["nominal", "ordinal"]
LEVELS: dict[str, Level] = {"preference": "nominal", "thumb": "nominal", "rating": "ordinal", "rubric": "ordinal"}


@dataclass(frozen=True)
class Label:
    """What one author said about one unit, as a number; the numbers of a question mean the same for every author."""

    unit: str
    author: str
    value: int


@dataclass(frozen=True)
class Match:
    """One comparison. `score` is a's: 1 won, 0.5 a tie, 0 lost."""

    prompt: str
    author: str
    a: str
    b: str
    score: float


def questions(entries: Sequence[Entry]) -> dict[str, list[Label]]:
    """Labels by what was asked: preference, thumb, rating, or each criterion of a rubric. A skip is no label."""
    found: dict[str, list[Label]] = {}
    for entry in entries:
        if entry.kind not in LEVELS or entry.value == SKIP or entry.value is None:
            continue
        question = f"rubric {entry.criterion}" if entry.kind == "rubric" else entry.kind
        systems = sorted(filter(None, (entry.a, entry.b)))
        unit = " | ".join([entry.item, *systems])
        found.setdefault(question, []).append(Label(unit, entry.author, _number(entry)))
    return found


def level_of(question: str) -> Level:
    """Whether the labels of a question have an order."""
    return LEVELS[question.partition(" ")[0]]


def matches(entries: Sequence[Entry]) -> list[Match]:
    """Preferences as comparisons, the two in the order of their names; skips are left out."""
    found = []
    for entry in entries:
        if entry.kind != "preference" or entry.value == SKIP or entry.a is None or entry.b is None:
            continue
        first, second = sorted((entry.a, entry.b))
        found.append(Match(entry.item, entry.author, first, second, score_of(entry, first)))
    return found


def score_of(entry: Entry, system: str) -> float:
    """What a preference says about one of its two: 1 preferred, 0.5 a tie, 0 the other."""
    if entry.value == TIE:
        return 0.5
    return float((entry.a if entry.value == "a" else entry.b) == system)


def _number(entry: Entry) -> int:
    if entry.kind == "preference":
        first = min(str(entry.a), str(entry.b))
        return int(2 * score_of(entry, first))
    return int(entry.value == "up") if entry.kind == "thumb" else int(str(entry.value))
