"""A JSONL of feedback, one object a line, read whole or not at all: every problem is named with its line.

    {"kind": "preference", "item": "q1", "author": "ann", "value": "a", "a": "bot@3", "b": "base"}
    {"kind": "rubric", "item": "q1", "author": "ann", "criterion": "tone", "value": 7, "reason": "too curt"}

The columns are the fields of `eval.feedback.entry.Entry`, without `source` and with an `origin` only if it is known.
"""

import json
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from eval.feedback.entry import Entry
from tunegate_core.errors import DataError
from tunegate_core.lines import lines_of
from tunegate_core.lines import parse as read_line
from tunegate_core.registry import nearest

COLUMNS = [name for name in Entry.model_fields if name != "source"]
SHOWN_PROBLEMS = 20


def read_entries(path: Path) -> list[Entry]:
    """Every entry of a file. Raises DataError with file and line."""
    entries: list[Entry] = []
    problems: list[str] = []
    for number, line in lines_of(path, "feedback"):
        found = parse(line, f"{path.name}:{number}")
        if isinstance(found, Entry):
            entries.append(found)
        else:
            problems += [f"{path}, line {number}: {problem}" for problem in found]
    if problems:
        more = len(problems) - SHOWN_PROBLEMS
        raise DataError("\n".join(problems[:SHOWN_PROBLEMS] + ([f"... and {more} more problems"] if more > 0 else [])))
    if not entries:
        raise DataError(f"{path}: no feedback found; expected one JSON object a line")
    return entries


def parse(line: str, origin: str) -> Entry | list[str]:
    """The entry of a line, or what is wrong with it."""
    try:
        row = read_line(line)
    except json.JSONDecodeError as error:
        return [f"not a whole JSON object ({error.msg} at column {error.colno}); is the line cut off?"]
    if not isinstance(row, dict):
        return [f"expected a JSON object, found {type(row).__name__}"]
    unknown = [key for key in row if key not in COLUMNS]
    if unknown:
        return [f"unknown column '{key}'{nearest(key, COLUMNS)}; there are: {', '.join(COLUMNS)}" for key in unknown]
    try:
        return Entry(**{"origin": origin, **row})
    except ValidationError as error:
        return [_told(problem) for problem in error.errors()]


def _told(problem: Any) -> str:
    where = ".".join(str(part) for part in problem["loc"])
    what = str(problem["msg"]).removeprefix("Value error, ")
    return f"'{where}': {what}" if where else what
