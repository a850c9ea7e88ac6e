"""Files with one JSON value a line: what can't be read is always the same error, with its place.

Python's reader of JSON gives others for lists nested too deeply and for numbers of thousands of digits.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tunegate_core.errors import DataError


def lines_of(path: Path, what: str) -> Iterator[tuple[int, str]]:
    """Every line that holds something, with its number from 1. `what`: that there should be, for who reads the error.
    Raises DataError."""
    try:
        text = path.read_bytes().decode("utf-8-sig")  # with or without a byte order mark
    except FileNotFoundError as error:
        raise DataError(f"{path}: no such file; expected a JSONL of {what}") from error
    except UnicodeDecodeError as error:
        number = error.object[: error.start].count(b"\n") + 1
        raise DataError(
            f"{path}, line {number}: not UTF-8 text (byte {error.object[error.start]:#04x}); save the file as UTF-8"
        ) from error
    except OSError as error:
        raise DataError(f"{path}: can't be read: {error.strerror}") from error
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            yield number, line


def parse(line: str) -> Any:
    """The value. Raises json.JSONDecodeError and nothing else, also where an object has a key twice."""

    def joined(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            keys = [key for key, _ in pairs]
            twice = next(key for key in keys if keys.count(key) > 1)
            raise json.JSONDecodeError(f"the key {twice!r} stands twice in one object", line, 0)
        return found

    try:
        return json.loads(line, object_pairs_hook=joined)
    except RecursionError as error:
        raise json.JSONDecodeError("nested too deeply", line, 0) from error
    except json.JSONDecodeError:
        raise
    except ValueError as error:
        raise json.JSONDecodeError("a number is too long", line, 0) from error
