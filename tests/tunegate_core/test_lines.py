"""What is no line of JSON is one kind of error in every file that is read, and a byte order mark is no letter."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from eval.answers import read_jsonl
from eval.feedback.files import read_entries
from eval.feedback.prompts import read_prompts
from eval.questionfile import _read
from eval.scorers.judge import read_labels
from finetune.files import read_file
from tunegate_core.errors import DataError
from tunegate_core.lines import parse

BAD = ["[" * 100_000, '{"id": ' + "9" * 5000 + "}", '{"id": 1', "\0", '{"id": 1, "a": {"b": 1, "b": 2}}']
READERS: dict[str, tuple[Callable[[Path], Any], list[dict[str, Any]]]] = {
    "answers": (read_jsonl, [{"id": 1}]),
    "feedback": (read_entries, [{"kind": "rating", "item": "q", "author": "ann", "value": 3}]),
    "prompts": (read_prompts, [{"id": "p", "prompt": "Hello?"}]),
    "questions": (
        lambda path: _read(path, "text", ()),
        [{"id": "q", "question": "?", "choices": ["a", "b"], "answer": 0}],
    ),
    "labels": (lambda path: read_labels(path, "rubric"), [{"question": "?", "answer": "x", "label": 3}] * 10),
    "rows": (read_file, [{"text": "a"}]),
}


@pytest.mark.parametrize("line", BAD)
def test_one_kind_of_error(line: str) -> None:
    with pytest.raises(json.JSONDecodeError):
        parse(line)


def test_what_is_json_is_read() -> None:
    assert parse('{"a": [1, null]}') == {"a": [1, None]}


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("line", BAD)
def test_every_reader_names_the_line(reader: str, line: str, tmp_path: Path) -> None:
    read, rows = READERS[reader]
    path = tmp_path / "file.jsonl"
    path.write_text("\n".join(["", *map(json.dumps, rows), line]))
    with pytest.raises(DataError, match=f"line {len(rows) + 2}"):
        read(path)


@pytest.mark.parametrize("reader", READERS)
def test_every_reader_takes_a_byte_order_mark_and_windows_line_ends(reader: str, tmp_path: Path) -> None:
    read, rows = READERS[reader]
    plain, marked = tmp_path / "plain.jsonl", tmp_path / "marked.jsonl"
    text = "\n".join(map(json.dumps, rows))
    plain.write_text(text)
    marked.write_bytes(b"\xef\xbb\xbf" + text.replace("\n", "\r\n").encode())
    assert len(read(marked)) == len(read(plain)) == len(rows)


@pytest.mark.parametrize(
    "row", [{"question": 1, "a": "x", "b": "y", "better": "a"}, {"question": "?", "a": "x", "b": "y", "better": ["a"]}]
)
def test_labels_of_a_judge_are_texts(row: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "labels.jsonl"
    path.write_text(json.dumps(row))
    with pytest.raises(DataError, match="line 1"):
        read_labels(path, "pairwise")
