"""Records out of files and hub data sets, each with the place an error message can point at.

JSONL is read line by line here, so that a cut-off file, a wrong byte or a broken line is named by its number; CSV by
the standard library, which knows its lines; Parquet by pyarrow; hub names by `datasets`.
"""

import csv
import io
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from tunegate_core.errors import DataError
from tunegate_core.lines import parse

# Where a record stands, as an error says it; its line, where the format has lines; the record.
Located = tuple[str, int | None, Mapping[str, Any]]


def read_file(path: Path) -> list[Located]:
    """Every record of a .jsonl, .json, .csv or .parquet file. Raises DataError; an empty file is an error."""
    reader = READERS.get(path.suffix.lower())
    if reader is None:
        raise DataError(f"{path}: found a '{path.suffix}' file, expected one of {', '.join(READERS)}")
    try:
        data = path.read_bytes()
    except FileNotFoundError as error:
        raise DataError(f"{path}: no such file; give a data file, or hub://org/name for a hub data set") from error
    except OSError as error:
        raise DataError(f"{path}: can't be read: {error.strerror}") from error
    records = list(reader(path, data)) if data.strip() else []
    if not records:
        raise DataError(f"{path}: the file holds no rows; expected at least one")
    return records


def read_hub(name: str, revision: str | None, split: str) -> tuple[str, list[Located]]:
    """Commit and records of a hub data set `org/name` or `org/name/config`. Raises DataError."""
    from datasets import load_dataset
    from huggingface_hub import snapshot_download

    repository = "/".join(name.split("/")[:2])
    config = name.split("/", 2)[2] if name.count("/") > 1 else None
    try:
        card = snapshot_download(repository, repo_type="dataset", revision=revision, allow_patterns=["README.md"])
        commit = Path(card).name
        table = load_dataset(repository, config, split=split, revision=commit)
    except Exception as error:  # the hub client and datasets raise dozens of kinds; all mean: these rows can't be had
        at = f" at revision {revision}" if revision else ""
        raise DataError(
            f"hub://{name}{at}, split '{split}': can't be loaded ({type(error).__name__}: {error}); "
            "check name, revision and split, or whether HF_HUB_OFFLINE keeps it off the network"
        ) from error
    records: list[Located] = [(f"hub://{name}, row {index + 1}", None, dict(row)) for index, row in enumerate(table)]
    if not records:
        raise DataError(f"hub://{name}, split '{split}': holds no rows; expected at least one")
    return commit, records


def _jsonl(path: Path, data: bytes) -> Iterator[Located]:
    lines = data.removeprefix(b"\xef\xbb\xbf").split(b"\n")
    for number, raw in enumerate(lines, 1):
        if raw.strip():
            place = f"{path}, line {number}"
            text = _decode(raw, place)
            yield place, number, _object(_parse(text, place, cut=number == len(lines)), place)


def _json(path: Path, data: bytes) -> Iterator[Located]:
    text = _decode(data, str(path), first_line=1).removeprefix("\ufeff")
    try:
        rows = parse(text)
    except ValueError as error:
        line = getattr(error, "lineno", 1)
        cut = "; the file seems to be cut off" if getattr(error, "pos", 0) >= len(text.rstrip()) - 1 else ""
        raise DataError(f"{path}, line {line}: not valid JSON: {error}{cut}") from error
    if not isinstance(rows, list):
        raise DataError(f"{path}: found {type(rows).__name__} at the top, expected a list of rows; or use .jsonl")
    for number, row in enumerate(rows, 1):
        place = f"{path}, row {number}"
        yield place, None, _object(row, place)


def _csv(path: Path, data: bytes) -> Iterator[Located]:
    text = _decode(data, str(path), first_line=1).removeprefix("\ufeff")
    csv.field_size_limit(max(csv.field_size_limit(), len(text)))  # a cell may be a whole document
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    line = 1
    try:
        header = next(reader, [])
        twice = next((name for name in header if name and header.count(name) > 1), None)
        if twice is not None:
            raise DataError(f"{path}, line 1: the column {twice!r} stands twice in the header; name each once")
        line = reader.line_num + 1
        for row in reader:
            place = f"{path}, line {line}"
            if row and len(row) != len(header):
                raise DataError(f"{place}: found {len(row)} fields, expected {len(header)} as in the header")
            if row:
                yield place, line, _unpack(dict(zip(header, row, strict=True)), place)
            line = reader.line_num + 1
    except csv.Error as error:
        raise DataError(f"{path}, line {line}: not valid CSV: {error}; is it cut off, or a quote open?") from error


def _parquet(path: Path, data: bytes) -> Iterator[Located]:
    import pyarrow
    import pyarrow.parquet

    try:
        table = pyarrow.parquet.read_table(pyarrow.BufferReader(data))
        rows = table.to_pylist()
    except (pyarrow.ArrowException, OSError) as error:
        raise DataError(f"{path}: not a readable Parquet file: {error}; is it cut off?") from error
    except (ValueError, OverflowError) as error:  # text that is not UTF-8, a time after the year 9999
        raise DataError(
            f"{path}: a column holds a value that can't be read: {error}; leave it out or mend it"
        ) from error
    for number, row in enumerate(rows, 1):
        place = f"{path}, row {number}"
        yield place, None, row


def _decode(raw: bytes, place: str, first_line: int | None = None) -> str:
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        newlines = raw[: error.start].count(b"\n")
        at = f", line {first_line + newlines}" if first_line else ""
        raise DataError(
            f"{place}{at}: found byte {raw[error.start]:#04x}, which is not UTF-8; save the file as UTF-8"
        ) from error


def _parse(text: str, place: str, cut: bool) -> Any:
    try:
        return parse(text)
    except json.JSONDecodeError as error:
        open_ended = error.pos >= len(text.rstrip()) - 1 or error.msg.startswith("Unterminated")
        hint = "; the file ends in the middle of this row, it seems to be cut off" if cut and open_ended else ""
        raise DataError(f"{place}: not valid JSON: {error}{hint}; expected one JSON object per line") from error


def _object(value: Any, place: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise DataError(f"{place}: found {type(value).__name__}, expected a JSON object")
    return value


def _unpack(row: dict[str, Any], place: str) -> dict[str, Any]:
    """A CSV cell holds text only: `messages` stands there as JSON."""
    if "messages" in row:
        row["messages"] = _parse(row["messages"], f"{place}, column messages", cut=False)
    return row


READERS: dict[str, Callable[[Path, bytes], Iterator[Located]]] = {
    ".jsonl": _jsonl,
    ".json": _json,
    ".csv": _csv,
    ".parquet": _parquet,
}
