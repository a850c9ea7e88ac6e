"""A file of answers, joined with the data of the suite it answers.

JSONL, one object a line. With the suite's data, a line needs the key and the answer; without, it must carry the data's
columns too, as the files of the suites' own repositories often do. What the data say holds: an answer can't bring its
own labels, and a column of the data is never an answer.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from eval.suite import Columns, Row
from tunegate_core.errors import DataError
from tunegate_core.lines import parse
from tunegate_core.registry import nearest

NO_ANSWER = "no answer given"


def read_jsonl(path: Path) -> list[dict[str, Any]]:
    """The objects of a file. Raises DataError with the line of what is none."""
    rows = []
    for number, line in enumerate(read_text(path).split("\n"), start=1):
        if not line.strip():
            continue
        try:
            row = parse(line)
        except json.JSONDecodeError as error:
            raise DataError(
                f"{path}, line {number}: not a whole JSON object ({error.msg}); expected one object a line"
            ) from error
        if not isinstance(row, dict):
            raise DataError(f"{path}, line {number}: expected a JSON object, found {type(row).__name__}")
        rows.append(row)
    if not rows:
        raise DataError(f"{path}: no rows found; expected one JSON object a line")
    return rows


def read_text(path: Path) -> str:
    """A text file. Raises DataError when it can't be read."""
    try:
        return path.read_text(encoding="utf-8-sig")  # with or without a byte order mark
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not UTF-8 text; save it as UTF-8") from error
    except OSError as error:
        raise DataError(f"{path}: can't be read: {error.strerror}") from error


def data_files(path: Path, pattern: str) -> list[Path]:
    """The file itself, or those of a folder, sorted. Raises DataError when there is none."""
    found = [path] if path.is_file() else sorted(path.glob(pattern))
    if not found:
        raise DataError(f"{path}: expected the suite's file, or a folder with {pattern}")
    return found


def joined(path: Path, answers: Sequence[Row], columns: Columns, data: Sequence[Row] | None) -> list[Row]:
    """One row for each row of the data's answered parts, with its answer if there is one; without data, one an answer.

    Raises DataError for a column that is missing, a key given twice or an answer to a question that was not asked.
    """
    needed = columns.key if data is not None else (*columns.key, *columns.data)
    for number, row in enumerate(answers, start=1):
        for column in needed:
            if column not in row:
                what = "" if data is not None or column in columns.key else "; give the suite's data, or this column"
                hint = nearest(column, list(row))
                raise DataError(f"{path}, row {number}: the column '{column}' is missing{hint}{what}")
    if not any(column in row for row in answers for column in columns.answer):
        wanted, there = " and ".join(f"'{name}'" for name in columns.answer), ", ".join(answers[0])
        told = "; say with --column which one it is" if len(columns.answer) == 1 else ""
        raise DataError(f"{path}: no row has the answer's column {wanted}; row 1 has: {there}{told}")
    by_key = _by_key(answers, columns, path)
    if data is None:
        return list(answers)
    for number, row in enumerate(data, start=1):
        lacking = next((column for column in (*columns.key, *columns.data) if column not in row), None)
        if lacking is not None:
            raise DataError(
                f"the suite's data, row {number}: the column '{lacking}' is missing{nearest(lacking, list(row))}; "
                "give the suite's own files with --data, as docs/fairness.md lists them"
            )
    asked = _by_key(data, columns, Path("the suite's data"))
    strange = [key for key in by_key if key not in asked]
    if strange:
        raise DataError(
            f"{path}: {len(strange)} answers are to rows that the data does not have, the first to "
            f"{dict(zip(columns.key, strange[0], strict=True))}"
        )
    parts = {tuple(str(row[column]) for column in columns.part) for row in answers}
    own = {*columns.answer, *columns.more}
    return [
        {**by_key.get(key, {}), **{column: value for column, value in row.items() if column not in own}}
        for key, row in asked.items()
        if tuple(str(row[column]) for column in columns.part) in parts
    ]


def _by_key(rows: Sequence[Row], columns: Columns, path: Path) -> dict[tuple[str, ...], Row]:
    found: dict[tuple[str, ...], Row] = {}
    for row in rows:
        key = tuple(str(row[column]) for column in columns.key)
        if key in found:
            raise DataError(f"{path}: given twice: {dict(zip(columns.key, key, strict=True))}")
        found[key] = row
    return found
