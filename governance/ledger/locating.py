"""From what was seen row by row to the fewest sentences that say where the fault is.

Two rows that hold each other's event were swapped; a run of rows that all hold the event after them was moved up. A
stored tree hash that differs is told only where no event inside it is already named.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

from governance.ledger.heads import span
from governance.ledger.report import Problem


@dataclass
class Findings:
    """What is wrong with the rows, by event number. Spans include both ends."""

    missing: list[tuple[int, int]] = field(default_factory=list)
    changed: list[int] = field(default_factory=list)  # bytes that do not give their leaf hash
    moved: dict[int, int] = field(default_factory=dict)  # row -> the event its bytes say
    odd: dict[int, str] = field(default_factory=dict)  # anything else about one row
    subtrees: list[tuple[int, int]] = field(default_factory=list)  # stored tree hashes that differ


def locate(found: Findings) -> list[Problem]:
    """The problems, in order of the events they concern."""
    swapped = {row: said for row, said in found.moved.items() if row < said and found.moved.get(said) == row}
    named = set(swapped) | set(swapped.values())
    problems = [_swapped(first, last) for first, last in swapped.items()]
    problems += [_missing(first, last) for first, last in found.missing]
    problems += _shifted({row: said for row, said in found.moved.items() if row not in named})
    named |= set(found.moved)
    problems += [_changed(first, last) for first, last in runs(seq for seq in found.changed if seq not in named)]
    named |= set(found.changed)
    problems += [_odd(seq, what) for seq, what in found.odd.items() if seq not in named]
    taken = [(problem.first, problem.last) for problem in problems]
    for first, last in sorted(found.subtrees, key=lambda ends: (ends[1] - ends[0], ends[0])):
        if not any(a is not None and b is not None and a <= last and first <= b for a, b in taken):
            problems.append(_subtree(first, last))
            taken.append((first, last))
    return sorted(problems, key=lambda problem: problem.first or 0)


def runs(numbers: Iterable[int]) -> list[tuple[int, int]]:
    """Runs of neighbours in ascending numbers, both ends included."""
    spans: list[tuple[int, int]] = []
    for number in numbers:
        if spans and spans[-1][1] == number - 1:
            spans[-1] = (spans[-1][0], number)
        else:
            spans.append((number, number))
    return spans


def _shifted(moved: dict[int, int]) -> list[Problem]:
    problems = []
    for shift in sorted({said - row for row, said in moved.items()}):
        for first, last in runs(row for row, said in moved.items() if said - row == shift):
            what = f"the bytes say {span(first + shift, last + shift)}: rows were removed, put in or moved"
            problems.append(_problem(first, last, what))
    return problems


def _swapped(first: int, last: int) -> Problem:
    return Problem(where=f"events {first} and {last}", what="the two were swapped", first=first, last=last)


def _missing(first: int, last: int) -> Problem:
    return _problem(first, last, "the row was removed" if first == last else "the rows were removed")


def _changed(first: int, last: int) -> Problem:
    return _problem(first, last, "the bytes were changed after they were recorded: they do not give the leaf hash")


def _subtree(first: int, last: int) -> Problem:
    return _problem(first, last, "the events do not give the tree hash stored over them: one of the two was rewritten")


def _odd(seq: int, what: str) -> Problem:
    return _problem(seq, seq, what)


def _problem(first: int, last: int, what: str) -> Problem:
    return Problem(where=span(first, last), what=what, first=first, last=last)
