"""Why single answers are as they are, where somebody asked for that to be recorded."""

from collections.abc import Iterator, Mapping
from typing import Any

from governance.document.form import ERASED
from governance.document.held import Explained, Held
from governance.document.model import Fact, Row, Source, Table

NOTHING = "the weights say nothing here"


def explanations(held: Held) -> list[Table]:
    """Weights of words, edits that change the answer, and training rows that read alike."""
    told = [(str(number), one) for number, one in enumerate(held.explained, start=1)]
    tables = (
        (
            "Answers explained",
            ("no.", "asked", "answered",
             "each word, with how much less likely the answer is without it (natural logarithm, nats)",
             "the same without the heaviest third of the words, and without as many others"),
            [_row(one, _answer(number, one.told)) for number, one in told],
        ),
        (
            "Words without which the answer is another",
            ("no.", "without", "answered"),
            [_row(one, (number, *edit)) for number, one in told for edit in _edits(one.told)],
        ),
        (
            "Training rows that read most alike; that is not why it answers so",
            ("no.", "row", "likeness, 0 to 1"),
            [_row(one, (number, *row)) for number, one in told for row in _nearest(one.told)],
        ),
    )  # fmt: skip
    return [Table(title=title, head=head, rows=tuple(rows)) for title, head, rows in tables if rows]


def number(held: Held) -> list[Fact]:
    """How many answers were explained, without their words."""
    sources = tuple(Source(event=one.event.seq) for one in held.explained)
    return [Fact(name="answers explained", value=str(len(sources)), sources=sources)] if sources else []


def _row(one: Explained, cells: tuple[str, ...]) -> Row:
    return Row(cells=cells, sources=(Source(event=one.event.seq),))


def _answer(number: str, told: Mapping[str, Any] | None) -> tuple[str, ...]:
    if told is None:
        return number, ERASED, ERASED, ERASED, ERASED
    words = " ".join(f"{word['word']} ({word['weight']:+z.2f})" for word in told["words"])
    return number, told["prompt"], told["answer"], words, _tried(told["deletion"], told["chance"])


def _tried(deletion: float | None, chance: float | None) -> str:
    """Whether the weights mean anything."""
    if deletion is None or chance is None:
        return "too few words to try"
    return f"{deletion:.2f} and {chance:.2f}" + ("" if deletion > chance else f": {NOTHING}")


def _edits(told: Mapping[str, Any] | None) -> Iterator[tuple[str, str]]:
    """One word left out, and the fewest of the heaviest that do so together where none does alone."""
    fewest = told["fewest"] if told else None
    many = [fewest] if fewest and len(fewest["without"]) > 1 else []
    for edit in (*(told["edits"] if told else ()), *many):
        yield " ".join(edit["without"]), edit["answer"] or "(nothing)"


def _nearest(told: Mapping[str, Any] | None) -> Iterator[tuple[str, str]]:
    """By their names, never by their texts: those are other people's, and could not be erased here."""
    for row in told["nearest"] if told else ():
        yield f"{told['rows']}#{row['row']}" if told else "", f"{row['similarity']:.2f}"
