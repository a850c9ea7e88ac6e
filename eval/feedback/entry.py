"""What one person said about one item. Never changed: who changes their mind says it again, and the later word counts.

An entry may hold personal text (the prompt, the answers, a reason, who said it). It lies as one row in
`tunegate_core.rows`, where it can be erased; the ledger holds a salted commitment to all rows of a batch.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Literal, Self

from pydantic import Field, StrictInt, StrictStr, field_validator, model_validator

from tunegate_core.canonical import digest
from tunegate_core.records import Record

Kind = Literal["preference", "rating", "thumb", "rubric", "correction", "comment"]
Source = Literal["file", "gateway", "page", "langfuse"]

WITHDRAWN = "withdrawn"
TIE, SKIP = "tie", "skip"
PREFERENCES = ("a", "b", TIE, SKIP)
THUMBS = ("up", "down")
WRITTEN = {"correction": "correction", "comment": "reason"}  # kinds that are a text
BEST_RATING = 5
BEST_LEVEL = 10
TEXT_CHARACTERS = 65_536
ID_CHARACTERS = 200

Handle = Field(min_length=1, max_length=ID_CHARACTERS)
Text = Field(default=None, min_length=1, max_length=TEXT_CHARACTERS)


class Entry(Record):
    """One thing said. The fields are also the columns of a file that is imported.

    `a` and `b` name who answered (a version such as `bot@3`, or `base`); only a preference has `b`. `value`: a
    preference is a, b, tie or skip; a thumb up or down; a rating 1 to 5; a rubric 0 to 10 on `criterion`. `withdrawn`
    takes back what the same author said before. `at`: RFC 3339. `consent`: may be learnt from. `origin`: where it
    comes from, such as file and line, or the id it has in another system.
    """

    kind: Kind
    item: str = Handle
    author: str = Handle
    value: StrictStr | StrictInt | None = None
    criterion: str | None = Field(default=None, min_length=1, max_length=ID_CHARACTERS)
    a: str | None = Field(default=None, min_length=1, max_length=ID_CHARACTERS)
    b: str | None = Field(default=None, min_length=1, max_length=ID_CHARACTERS)
    prompt: str | None = Text
    answer_a: str | None = Text
    answer_b: str | None = Text
    correction: str | None = Text
    reason: str | None = Text
    at: str | None = None
    consent: bool = Field(default=False, strict=True)
    source: Source = "file"
    origin: str = Handle

    @field_validator("at")
    @classmethod
    def is_a_time(cls, at: str | None) -> str | None:
        """A time with its zone."""
        if at is not None and datetime.fromisoformat(at).tzinfo is None:
            raise ValueError(f"{at!r} is a time without a zone; write RFC 3339, such as 2026-01-31T12:00:00Z")
        return at

    @model_validator(mode="after")
    def fits_its_kind(self) -> Self:
        """The value is one of its kind, and what the kind needs is there."""
        problem = _problem(self)
        if problem:
            raise ValueError(problem)
        return self

    def id(self) -> str:
        """What tells it from others: all but where it was read from."""
        said = self.model_copy(update={"source": "file", "origin": "-"})
        return str(digest(said.canonical()))

    def place(self) -> tuple[str, ...]:
        """What it is about. Two entries of one place contradict each other, and the later one counts."""
        systems = sorted(filter(None, (self.a, self.b)))
        return (self.kind, self.item, self.author, self.criterion or "", *systems)


def standing(entries: Iterable[Entry]) -> list[Entry]:
    """What counts now: of each place the last entry, in the order in which they were recorded, none withdrawn."""
    last: dict[tuple[str, ...], Entry] = {}
    for entry in entries:
        last.pop(entry.place(), None)
        last[entry.place()] = entry
    return [entry for entry in last.values() if entry.value != WITHDRAWN]


def of_kind(entries: Iterable[Entry], kinds: Sequence[Kind]) -> list[Entry]:
    """Those of some kinds."""
    return [entry for entry in entries if entry.kind in kinds]


def _problem(entry: Entry) -> str | None:
    if entry.kind == "preference" and (entry.a is None or entry.b is None or entry.a == entry.b):
        return "a preference needs 'a' and 'b', the names of two that answered"
    if entry.kind != "preference" and (entry.b is not None or entry.answer_b is not None):
        return f"a {entry.kind} is about one answer; 'b' and 'answer_b' belong to a preference"
    if entry.kind == "rubric" and entry.criterion is None:
        return "a rubric annotation needs its 'criterion'"
    return None if entry.value == WITHDRAWN else _value_problem(entry)


def _value_problem(entry: Entry) -> str | None:
    kind, value = entry.kind, entry.value
    if kind in WRITTEN:
        if getattr(entry, WRITTEN[kind]) is None:
            return f"a {kind} needs its text in '{WRITTEN[kind]}'"
        return None if value is None else f"a {kind} has no value; found {value!r}"
    return None if _is_fitting(kind, value) else f"{_wanted(kind)}; found {value!r}"


def _is_fitting(kind: Kind, value: str | int | None) -> bool:
    if kind in ("preference", "thumb"):
        return value in (PREFERENCES if kind == "preference" else THUMBS)
    low, high = (1, BEST_RATING) if kind == "rating" else (0, BEST_LEVEL)
    return type(value) is int and low <= value <= high


def _wanted(kind: Kind) -> str:
    return {
        "preference": "'value' of a preference must be a, b, tie or skip",
        "thumb": "'value' of a thumb must be up or down",
        "rating": f"'value' of a rating must be a whole number from 1 to {BEST_RATING}",
        "rubric": f"'value' of a rubric annotation must be a whole number from 0 to {BEST_LEVEL}",
    }[kind]
