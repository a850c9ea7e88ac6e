"""Prompts that people compare: read with every problem and its line, frozen like every other item."""

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from eval.items import freeze, open_task
from tunegate_core.config import TaskBlock
from tunegate_core.errors import BadInput, DataError


def write(path: Path, *rows: Any) -> Path:
    path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows), "utf-8")
    return path


def block(path: Path, **changes: Any) -> TaskBlock:
    return TaskBlock(name="chat", feedback=str(path), **changes)


def test_prompts_are_items_and_raters_are_part_of_the_plan(tmp_path: Path) -> None:
    path = write(tmp_path / "p.jsonl", {"id": "a", "prompt": "why?"}, {"id": "b", "prompt": "how?", "cluster": "c"})
    (frozen,) = freeze([block(path)])
    assert (frozen.metric, frozen.n, frozen.texts) == ("preferred", 2, ("why?", "how?"))
    assert [item.cluster for item in open_task(block(path)).items] == ["a", "c"]
    (twice,) = freeze([block(path, raters=2)])
    assert frozen.digest != twice.digest


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        ([], "no prompts found"),
        (["{"], "line 1: not a whole JSON object"),
        ([{"id": "a"}], "line 1: expected an object with id, prompt"),
        ([{"id": "a", "prompt": "x", "answer": "y"}], "found id, prompt, answer"),
        ([{"id": "a", "prompt": " "}], "'prompt' must be a text"),
        ([{"id": "a" * 201, "prompt": "x"}], "line 1: 'id' has 201 characters; at most 200 can be rated"),
        ([{"id": "a", "prompt": "x"}, {"id": "a", "prompt": "y"}], "line 2: id 'a' is already used in line 1"),
    ],
)
def test_bad_files_are_refused_with_their_line(rows: list[Any], told: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=told):
        open_task(block(write(tmp_path / "p.jsonl", *rows)))


@pytest.mark.parametrize("changes", [{"metric": "acc"}, {"few_shot": 1}, {"groups": ("gender",)}], ids=str)
def test_settings_that_do_not_fit_are_refused(changes: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(BadInput):
        open_task(block(write(tmp_path / "p.jsonl", {"id": "a", "prompt": "x"}), **changes))


def test_a_task_has_one_source(tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match="exactly one of"):
        block(tmp_path / "p.jsonl", questions="q.jsonl")
