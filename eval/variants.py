"""The same questions in another form: slips of the keyboard, the choices in another order, or your own paraphrases.

The first two depend on the item's id alone. Paraphrases are a JSONL; several of one question are in its cluster:

    {"paraphrase_of": "q1", "question": "the same in other words"}

A variant is a task of its own, with clusters as before, so that how much an arm loses is seen beside the plain task.
"""

import random
import re
from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

from eval.answers import read_jsonl
from eval.task import Item
from tunegate_core.errors import BadInput, DataError
from tunegate_core.registry import nearest

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


def paraphrased(path: Path, items: Sequence[Item], known: Collection[str]) -> tuple[Item, ...]:
    """The items in the file's words; those without a paraphrase are left out. `known`: the ids of all questions.

    Raises DataError with the row, for keys, an id or a text that can't be.
    """
    texts: dict[str, list[str]] = defaultdict(list)
    plain = {item.id: item.text for item in items}
    for number, row in enumerate(read_jsonl(path), start=1):
        of, text = row.get("paraphrase_of"), row.get("question")
        if set(row) != {"paraphrase_of", "question"} or not isinstance(of, str) or not isinstance(text, str):
            raise DataError(f"{path}, row {number}: expected the texts 'paraphrase_of' and 'question', found {row}")
        if of not in known:
            raise DataError(f"{path}, row {number}: there is no question '{of}'{nearest(of, list(known))}")
        if not text.strip() or text in (plain.get(of), *texts[of]):
            raise DataError(f"{path}, row {number}: a paraphrase of '{of}' must be in words of its own; found '{text}'")
        texts[of].append(text)
    found = tuple(
        replace(item, id=f"{item.id}~{number}", text=text, of=item.id)
        for item in items
        for number, text in enumerate(texts[item.id], start=1)
    )
    if not found:
        raise DataError(f"{path}: no question that is scored has a paraphrase in it")
    return found


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
