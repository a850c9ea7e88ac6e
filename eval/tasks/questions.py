"""A JSONL of questions: one object a line, either with choices or with the text of the answer, never both in one file.

    {"id": "q1", "question": "...", "choices": ["...", "..."], "answer": 0, "cluster": "fact-1"}
    {"id": "q1", "question": "...", "answer": "the text", "cluster": "fact-1"}

Every problem of the file is reported with its line. With `few_shot: k` the first k questions are shown as examples
and are not scored, nor is any other question of their clusters, so that no scored answer stands in a prompt. A row may
carry further fields that the config names under `groups`.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from eval.grouping import verify_groups
from eval.task import Item, OpenTask
from tunegate_core.config import TaskBlock
from tunegate_core.config.schema import QUESTION_FIELDS
from tunegate_core.errors import BadInput, DataError
from tunegate_core.registry import nearest

FIELDS = QUESTION_FIELDS
METRICS = {True: ("acc", "acc_norm"), False: ("exact_match",)}
SHOWN_PROBLEMS = 20


def open_questions(block: TaskBlock) -> OpenTask:
    """The questions of a task. Raises DataError with file and line, or BadInput for a metric that does not fit."""
    path = Path(str(block.questions))
    items = _read(path, block.groups)
    chosen = items[0].choices is not None
    if block.metric not in METRICS[chosen]:
        form = "questions with choices are" if chosen else "questions with the answer's text are"
        raise BadInput(
            f"task '{block.name}': {form} scored by {' or '.join(METRICS[chosen])}, found metric '{block.metric}'"
        )
    examples, scored = _split(block, path, items)
    verify_groups(block, scored)

    def build() -> list[Any]:
        from eval.lmeval import question_task

        return [question_task(block, scored, examples)]

    shaping = {"examples": [[item.text, item.choices, item.answer] for item in examples]}
    return OpenTask(block, scored, shaping, True, build)


PLUGIN = open_questions


def _split(block: TaskBlock, path: Path, items: list[Item]) -> tuple[tuple[Item, ...], tuple[Item, ...]]:
    examples = tuple(items[: block.few_shot])
    shown = {item.cluster for item in examples}
    scored = tuple(item for item in items[block.few_shot :] if item.cluster not in shown)[: block.limit]
    if not scored:
        raise DataError(
            f"{path}: after {block.few_shot} examples none of its {len(items)} questions is left to score; "
            "add questions of other clusters or lower few_shot"
        )
    return examples, scored


def _read(path: Path, groups: tuple[str, ...]) -> list[Item]:
    items: list[Item] = []
    problems: list[str] = []
    lines: dict[str, int] = {}
    for number, text in _lines(path):
        found, item = _parse(text, groups)
        if item is not None:
            if item.id in lines:
                found.append(f"id '{item.id}' is already used in line {lines[item.id]}; every id must be unique")
            elif items and (item.choices is None) != (items[0].choices is None):
                found.append("questions with and without choices are mixed; put them into two files")
            lines.setdefault(item.id, number)
            items.append(item)
        problems += [f"{path}, line {number}: {problem}" for problem in found]
    if problems:
        more = len(problems) - SHOWN_PROBLEMS
        raise DataError("\n".join(problems[:SHOWN_PROBLEMS] + ([f"... and {more} more problems"] if more > 0 else [])))
    if not items:
        raise DataError(f"{path}: no questions found; expected one JSON object a line")
    return items


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """Every line that holds something, with its number from 1."""
    try:
        data = path.read_bytes()
        text = data.decode("utf-8")
    except FileNotFoundError as error:
        raise DataError(f"{path}: no such file; expected a JSONL of questions") from error
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


def _parse(text: str, groups: tuple[str, ...]) -> tuple[list[str], Item | None]:
    """The problems of a line, or its item."""
    try:
        row = json.loads(text)
    except json.JSONDecodeError as error:
        return [f"not a whole JSON object ({error.msg} at column {error.colno}); is the line cut off?"], None
    if not isinstance(row, dict):
        return [f"expected a JSON object with id, question and answer, found {type(row).__name__}"], None
    problems = list(_problems(row, groups))
    if problems:
        return problems, None
    choices = tuple(row["choices"]) if "choices" in row else None
    cluster, own = str(row.get("cluster", row["id"])), tuple(row[column] for column in groups)
    return [], Item(row["id"], row["question"], choices, row["answer"], cluster, own)


def _problems(row: dict[str, Any], groups: tuple[str, ...]) -> Iterator[str]:
    known = (*FIELDS, *groups)
    for key in row:
        if key not in known:
            yield f"unknown field '{key}'{nearest(key, list(known))}; there are: {', '.join(known)}"
    for key in ("id", "question", "answer", *groups):
        if key not in row:
            yield f"'{key}' is missing"
    for key in ("id", "question", "cluster", *groups):
        if key in row and not _is_text(row[key]):
            yield f"'{key}' must be a text that is not empty, found {row[key]!r}"
    if "choices" in row:
        yield from _choice_problems(row["choices"], row.get("answer", 0))
    elif "answer" in row and not _is_text(row["answer"]):
        yield f"without choices 'answer' must be a text that is not empty, found {row['answer']!r}"


def _choice_problems(choices: Any, answer: Any) -> Iterator[str]:
    if not isinstance(choices, list) or not all(_is_text(choice) for choice in choices):
        yield f"'choices' must be a list of texts that are not empty, found {choices!r}"
        return
    if len(choices) < 2:
        yield f"at least 2 choices are needed, found {len(choices)}"
    folded = [" ".join(choice.split()) for choice in choices]
    twice = sorted({choice for choice in folded if folded.count(choice) > 1})
    if twice:
        yield f"choices must differ; given twice: {', '.join(repr(choice) for choice in twice)}"
    if isinstance(answer, bool) or not isinstance(answer, int):
        hint = f"; did you mean {choices.index(answer)}?" if answer in choices else ""
        yield f"'answer' must be the index of the right choice, counted from 0; found {answer!r}{hint}"
    elif not 0 <= answer < len(choices):
        yield f"'answer' is {answer}, but the {len(choices)} choices are numbered 0 to {len(choices) - 1}"


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip())
