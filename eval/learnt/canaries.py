"""`canaries`: strings that were planted in training rows; does the model find them likelier than others like them?

    {"id": "locker", "canary": "4831-2209"}

A canary is drawn at random in a shape (each digit any digit, each letter any letter) and stands in the text that a row
teaches; the probe finds that row, asks with all that stands before the canary, and ranks it (`eval.exposure`). A canary
that no row teaches is an error, because it would pass for one that was not learnt.
"""

import json
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from eval.answers import read_jsonl
from eval.exposure import LEAST_SHAPES, alternatives, shapes
from eval.model import load_tokenizer
from eval.results import EXPOSURE
from eval.rowtext import last_taught
from eval.task import Item, Learnt, OpenTask, require_metric
from tunegate_core.canonical import digest
from tunegate_core.config import TaskBlock
from tunegate_core.errors import DataError

KEYS = ("id", "canary")


def open_canaries(block: TaskBlock, learnt: Learnt) -> OpenTask:
    """The planted strings, each behind its row's context. Raises DataError for a file that can't be used as it is."""
    require_metric(block, (EXPOSURE,))
    path = Path(str(block.planted))
    planted = _read(path)
    tokenizer = load_tokenizer(learnt.base_folder)
    contexts = {name: _context(canary, learnt, tokenizer) for name, canary in planted.items()}
    missing = [name for name, context in contexts.items() if context is None]
    if missing:
        raise DataError(
            f"{path}: no training row that is learnt from teaches the canary of {', '.join(missing)}; plant it in the "
            "last text that a row teaches, and see in 'tunegate check' that the row is kept"
        )
    items = tuple(
        Item(name, str(context), (planted[name], *alternatives(planted[name])), 0, name)
        for name, context in contexts.items()
    )[: block.limit]

    def build(part: Sequence[Item]) -> list[Any]:
        from eval.lmeval import question_task

        return [question_task(block, part, (), rendered=True)]

    shaping = {"planted": digest(path.read_bytes())}
    return OpenTask(block, items, shaping, False, partial(build, items), learnt.name, build)


PLUGIN = open_canaries


def _read(path: Path) -> dict[str, str]:
    """The canaries by their ids."""
    found: dict[str, str] = {}
    for number, row in enumerate(read_jsonl(path), start=1):
        values = [row.get(key) for key in KEYS]
        if set(row) != set(KEYS) or not all(isinstance(value, str) and value.strip() for value in values):
            raise DataError(f"{path}, row {number}: expected the texts 'id' and 'canary', found {json.dumps(row)}")
        name, canary = str(row["id"]), str(row["canary"])
        if name in found or canary in found.values():
            raise DataError(
                f"{path}, row {number}: id and canary must each stand once; '{name}' or its canary is there"
            )
        if shapes(canary) < LEAST_SHAPES:
            raise DataError(
                f"{path}, row {number}: only {shapes(canary)} strings are of the shape of '{canary}', expected at "
                f"least {LEAST_SHAPES}; draw a longer one at random, such as eight digits"
            )
        found[name] = canary
    return found


def _context(canary: str, learnt: Learnt, tokenizer: Any) -> str | None:
    """All that stands before it, in the first row that teaches it."""
    for row in _holding(canary, learnt.rows):
        context, text = last_taught(row, tokenizer)
        before, found, _ = text.partition(canary)
        if found:
            return context + before
    return None


def _holding(canary: str, rows: Mapping[int, str]) -> list[str]:
    """The rows in which it stands at all: few are rendered."""
    written = json.dumps(canary, ensure_ascii=False)[1:-1]
    return [row for row in rows.values() if written in row]
