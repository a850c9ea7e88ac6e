"""A JSONL of prompts whose answers people compare: {"id": "p1", "prompt": "...", "cluster": "topic-1"}."""

import json
from pathlib import Path
from typing import Any

from eval.feedback.entry import ID_CHARACTERS, TEXT_CHARACTERS
from eval.task import Item
from tunegate_core.errors import DataError
from tunegate_core.lines import lines_of, parse

FIELDS = {"id": ID_CHARACTERS, "prompt": TEXT_CHARACTERS, "cluster": ID_CHARACTERS}  # the most characters of each
SHOWN_PROBLEMS = 20


def read_prompts(path: Path) -> list[Item]:
    """The prompts in order; one without a cluster is its own. Raises DataError with every problem and its line."""
    items: list[Item] = []
    problems: list[str] = []
    lines: dict[str, int] = {}
    for number, line in lines_of(path, "prompts"):
        item, problem = _parse(line)
        if item is not None and item.id in lines:
            problem = f"id '{item.id}' is already used in line {lines[item.id]}; every id must be unique"
        if item is None or problem:
            problems.append(f"{path}, line {number}: {problem}")
            continue
        lines[item.id] = number
        items.append(item)
    if problems:
        more = len(problems) - SHOWN_PROBLEMS
        raise DataError("\n".join(problems[:SHOWN_PROBLEMS] + ([f"... and {more} more problems"] if more > 0 else [])))
    if not items:
        raise DataError(f"{path}: no prompts found; expected one JSON object a line")
    return items


def _parse(line: str) -> tuple[Item | None, str | None]:
    try:
        row = parse(line)
    except json.JSONDecodeError as error:
        return None, f"not a whole JSON object ({error.msg} at column {error.colno}); is the line cut off?"
    if not isinstance(row, dict) or not {"id", "prompt"} <= row.keys() <= FIELDS.keys():
        found = ", ".join(map(str, row)) if isinstance(row, dict) else type(row).__name__
        return None, f"expected an object with id, prompt and, if wanted, cluster; found {found}"
    wrong = [name for name, value in row.items() if not _is_text(value)]
    if wrong:
        return None, f"'{wrong[0]}' must be a text that is not empty, found {row[wrong[0]]!r}"
    long = [name for name, value in row.items() if len(value) > FIELDS[name]]
    if long:
        return None, f"'{long[0]}' has {len(row[long[0]])} characters; at most {FIELDS[long[0]]} can be rated"
    return Item(row["id"], row["prompt"], None, None, str(row.get("cluster", row["id"]))), None


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip())
