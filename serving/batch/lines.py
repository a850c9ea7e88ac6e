"""The lines of a batch: what may stand in one, what comes back for it, and which have come back already."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

ID_CHARACTERS = 128
MOST_PROBLEMS = 20
MOST_LINE_BYTES = 1_048_576


@dataclass(frozen=True)
class Line:
    """One request: the caller's name for it, and its body as JSON."""

    custom_id: str
    body: bytes


@dataclass(frozen=True)
class Problem:
    """What is wrong with a line, counted from 1."""

    line: int
    code: str
    message: str


def parse_line(number: int, raw: bytes, url: str) -> Line | Problem:
    """The request in a line, or what is wrong with it."""
    try:
        line: Any = orjson.loads(raw)
    except orjson.JSONDecodeError:
        return Problem(number, "invalid_json_line", "This line is not valid JSON.")
    if not isinstance(line, dict) or not isinstance(line.get("body"), dict):
        return Problem(number, "invalid_request", "A line must be an object with 'custom_id', 'method', 'url', 'body'.")
    custom_id = line.get("custom_id")
    if not isinstance(custom_id, str) or not 0 < len(custom_id) <= ID_CHARACTERS:
        return Problem(number, "invalid_custom_id", f"'custom_id' must have 1 to {ID_CHARACTERS} characters.")
    if line.get("method") != "POST" or line.get("url") != url:
        return Problem(number, "mismatched_endpoint", f"'method' and 'url' must be POST and {url}.")
    if line["body"].get("stream"):
        return Problem(number, "invalid_request", "Streams are not for batches.")
    return Line(custom_id, orjson.dumps(line["body"]))


def parse_input(path: Path, url: str, most: int) -> tuple[int, list[Problem]]:
    """How many lines there are, and what is wrong with them: the first 20 problems."""
    seen: set[str] = set()
    problems: list[Problem] = []
    count = 0
    for number, raw in lines_of(path):
        count += 1
        parsed = parse_line(number, raw, url)
        if isinstance(parsed, Line) and parsed.custom_id in seen:
            parsed = Problem(number, "duplicate_custom_id", "Another line has the same 'custom_id'.")
        if isinstance(parsed, Problem):
            problems.append(parsed)
        else:
            seen.add(parsed.custom_id)
        if len(problems) >= MOST_PROBLEMS or count > most:
            break
    if count > most:
        problems.append(Problem(most + 1, "too_many_lines", f"A batch may have at most {most} lines."))
    if not count:
        problems.append(Problem(1, "empty_file", "The file has no line."))
    return count, problems


def lines_of(path: Path) -> Iterator[tuple[int, bytes]]:
    """The lines that are not empty, with their numbers; one that is too long comes in pieces, which are no JSON."""
    with path.open("rb") as file:
        for number, raw in enumerate(iter(lambda: file.readline(MOST_LINE_BYTES), b""), start=1):
            if raw.strip():
                yield number, raw


def answered(path: Path) -> set[str]:
    """The requests that have their answer in a file; a last line that was cut off is removed from it."""
    if not path.exists():
        return set()
    found, whole = set(), 0
    with path.open("rb+") as file:
        for raw in file:
            if not raw.endswith(b"\n"):
                break
            found.add(str(orjson.loads(raw)["custom_id"]))
            whole += len(raw)
        file.truncate(whole)
    return found


def answer_line(custom_id: str, request_id: str, status: int, body: bytes) -> bytes:
    """What comes back for a request."""
    response = {"status_code": status, "request_id": request_id, "body": orjson.Fragment(body)}
    line = {"id": f"batch_req_{request_id}", "custom_id": custom_id, "response": response, "error": None}
    return orjson.dumps(line) + b"\n"
