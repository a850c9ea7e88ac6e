"""What an annotator sees, and nothing of who answered: order and sides are drawn for each person and prompt.

Both are drawn from a digest of sheet, person and prompt, so that a person who comes back sees the same again, and two
people see the answers on sides of their own.
"""

import hashlib
from dataclasses import dataclass

from eval.feedback.evidence import Sheet, Side
from eval.task import Item


@dataclass(frozen=True)
class Shown:
    """One prompt as one person sees it. `first` and `second` are drawn; `index` counts in this person's order."""

    index: int
    item: Item
    first: Side
    second: Side
    answers: tuple[str, str]


def shown(sheet: Sheet, author: str) -> list[Shown]:
    """The prompts in this person's order; those with the same answer twice are not asked."""
    asked = [place for place in range(len(sheet.items)) if not sheet.is_alike(place)]
    asked.sort(key=lambda place: _drawn(sheet, author, "order", sheet.items[place].id))
    return [_shown(sheet, author, index, place) for index, place in enumerate(asked)]


def _shown(sheet: Sheet, author: str, index: int, place: int) -> Shown:
    item = sheet.items[place]
    is_turned = bool(_drawn(sheet, author, "side", item.id)[0] & 1)
    first, second = (sheet.other, sheet.candidate) if is_turned else (sheet.candidate, sheet.other)
    return Shown(index, item, first, second, (first.answers[place], second.answers[place]))


def _drawn(sheet: Sheet, author: str, what: str, item: str) -> bytes:
    words = (sheet.items_digest, sheet.candidate.name, sheet.other.name, author, what, item)
    return hashlib.sha256("\0".join(words).encode()).digest()
