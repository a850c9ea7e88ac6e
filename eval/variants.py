"""The same questions, disturbed: slips of the keyboard, or the choices in another order. Deterministic by item.

A variant is a task of its own, with clusters as before, so that how much an arm loses is seen beside the plain task.
"""

import random
import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

from eval.task import Item
from tunegate_core.errors import BadInput

SLIPS = 0.1  # share of the longer words with a slip; at least one in each question that has such a word
LEAST_LETTERS = 4
_WORD = re.compile(rf"[^\W\d_]{{{LEAST_LETTERS},}}")


def vary(variant: Literal["typos", "order"], items: Sequence[Item]) -> tuple[Item, ...]:
    """The items, disturbed. Raises BadInput for another order of choices where there are none."""
    if variant == "typos":
        return tuple(replace(item, text=with_slips(item.text, random.Random(item.id))) for item in items)
    if items[0].choices is None:
        raise BadInput("variant order changes the order of choices, and these questions have none; use typos")
    return tuple(_reordered(item, random.Random(item.id)) for item in items)


def with_slips(text: str, chance: random.Random) -> str:
    """The text with letters swapped, dropped or doubled inside some words; never the first letter, never a digit."""
    words = list(_WORD.finditer(text))
    count = max(1, round(SLIPS * len(words)))
    for word in sorted(chance.sample(words, min(count, len(words))), key=lambda found: -found.start()):
        at = word.start() + chance.randrange(1, len(word[0]) - 1)
        slip = chance.choice(("swap", "drop", "double"))
        if slip == "swap" and text[at] == text[at + 1]:
            slip = "double"
        here = {"swap": text[at + 1] + text[at], "drop": text[at + 1], "double": text[at] * 2 + text[at + 1]}[slip]
        text = text[:at] + here + text[at + 2 :]
    return text


def _reordered(item: Item, chance: random.Random) -> Item:
    """Its choices moved on by some places, so that the right one never stays where it was."""
    choices = item.choices or ()
    by = chance.randrange(1, len(choices))
    moved = tuple(choices[(at - by) % len(choices)] for at in range(len(choices)))
    return replace(item, choices=moved, answer=(item.answer + by) % len(choices))
