"""A JSONL of questions: one object a line, either with choices or with the text of the answer, never both in one file.

    {"id": "q1", "question": "...", "choices": ["...", "..."], "answer": 0, "cluster": "fact-1"}
    {"id": "q1", "question": "...", "answer": "the text", "cluster": "fact-1"}

The second kind is scored by `exact_match` or a file of `eval/scorers`; some take a list of answers, some none.

Every problem of the file is reported with its line. With `few_shot: k` the first k questions are shown as examples
and are not scored, nor is any other question of their clusters, so that no scored answer stands in a prompt. A row may
carry further fields that the config names under `groups`.
"""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from eval.scorer import SCORERS, Expects, scorer_of
from eval.task import Item, OpenTask
from eval.variants import paraphrased, vary
from tunegate_core import registry
from tunegate_core.canonical import digest
from tunegate_core.config import TaskBlock
from tunegate_core.config.schema import QUESTION_FIELDS
from tunegate_core.errors import BadInput, DataError
from tunegate_core.lines import lines_of, parse
from tunegate_core.registry import nearest

CHOICE_METRICS = ("acc", "acc_norm")
ANSWER_TOKENS = 64  # the default, which is older than the key and so in no digest
SHOWN_PROBLEMS = 20


def open_rows(block: TaskBlock, path: Path) -> OpenTask:
    """The questions of a file, scored as the task says. Raises DataError with file and line, or BadInput for a metric
    that does not fit."""
    scorer = scorer_of(block)
    items = _read(path, "text" if scorer is None else scorer.expects, block.groups)
    chosen = items[0].choices is not None
    metrics = CHOICE_METRICS if chosen else ("exact_match", *registry.names(SCORERS))
    if block.metric not in metrics:
        form = "questions with choices are" if chosen else "questions with the answer's text are"
        raise BadInput(
            f"task '{block.name}': {form} scored by {', '.join(metrics)}; found metric '{block.metric}'"
            f"{registry.nearest(block.metric, list(metrics))}"
        )
    if scorer is not None:
        scorer.check(block)
    examples, scored = _split(block, path, items)
    if block.paraphrases is not None:
        scored = paraphrased(Path(block.paraphrases), scored, {item.id for item in items})
    elif block.variant in ("typos", "order"):
        scored = vary(block.variant, scored)

    def build() -> list[Any]:
        from eval.lmeval import question_task

        return [question_task(block, scored, examples)]

    return OpenTask(block, scored, _shaping(block, examples), True, build)


def _shaping(block: TaskBlock, examples: Sequence[Item]) -> dict[str, Any]:
    """What shapes a prompt or a score beside the scored items; a key at its default is left out."""
    shaping: dict[str, Any] = {"examples": [[item.text, item.choices, item.answer] for item in examples]}
    if block.answer_tokens != ANSWER_TOKENS:
        shaping["answer_tokens"] = block.answer_tokens
    if block.pattern is not None:
        shaping["pattern"] = block.pattern
    if block.judge is not None:
        told = block.judge.model_dump(include={"model", "form", "rubric", "least_kappa"})
        shaping["judge"] = {**told, "labels": digest(Path(block.labels).read_bytes()) if block.labels else None}
    return shaping


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


def _read(path: Path, expects: Expects, groups: tuple[str, ...]) -> list[Item]:
    items: list[Item] = []
    problems: list[str] = []
    lines: dict[str, int] = {}
    asked: dict[tuple[str, tuple[str, ...] | None], Item] = {}
    for number, text in lines_of(path, "questions"):
        found, item = _parse(text, expects, groups)
        if item is not None:
            if item.id in lines:
                found.append(f"id '{item.id}' is already used in line {lines[item.id]}; every id must be unique")
            elif items and (item.choices is None) != (items[0].choices is None):
                found.append("questions with and without choices are mixed; put them into two files")
            alike = asked.setdefault((item.text, item.choices), item)
            if alike.cluster != item.cluster:
                found.append(
                    f"asks the same as '{alike.id}' in line {lines[alike.id]}, and would count as another finding; "
                    "leave one out, or give both the same cluster"
                )
            lines.setdefault(item.id, number)
            items.append(item)
        problems += [f"{path}, line {number}: {problem}" for problem in found]
    if problems:
        more = len(problems) - SHOWN_PROBLEMS
        raise DataError("\n".join(problems[:SHOWN_PROBLEMS] + ([f"... and {more} more problems"] if more > 0 else [])))
    if not items:
        raise DataError(f"{path}: no questions found; expected one JSON object a line")
    return items


def _parse(text: str, expects: Expects, groups: tuple[str, ...]) -> tuple[list[str], Item | None]:
    """The problems of a line, or its item."""
    try:
        row = parse(text)
    except json.JSONDecodeError as error:
        return [f"not a whole JSON object ({error.msg} at column {error.colno}); is the line cut off?"], None
    if not isinstance(row, dict):
        return [f"expected a JSON object with id, question and answer, found {type(row).__name__}"], None
    problems = list(_problems(row, expects, groups))
    if problems:
        return problems, None
    choices = tuple(row["choices"]) if "choices" in row else None
    cluster, own = str(row.get("cluster", row["id"])), tuple(row[column] for column in groups)
    return [], Item(row["id"], row["question"], choices, row.get("answer", ""), cluster, own)


def _problems(row: dict[str, Any], expects: Expects, groups: tuple[str, ...]) -> Iterator[str]:
    known = (*QUESTION_FIELDS, *groups)
    for key in row:
        if key not in known:
            yield f"unknown field '{key}'{nearest(key, list(known))}; there are: {', '.join(known)}"
    for key in ("id", "question", *(() if expects == "nothing" else ("answer",)), *groups):
        if key not in row:
            yield f"'{key}' is missing"
    for key in ("id", "question", "cluster", *groups):
        if key in row and not _is_text(row[key]):
            yield f"'{key}' must be a text that is not empty, found {row[key]!r}"
    if "choices" in row:
        yield from _choice_problems(row["choices"], row.get("answer", 0))
    elif "answer" in row and expects != "nothing":
        answer = row["answer"]
        texts = answer if isinstance(answer, list) and expects == "texts" else [answer]
        if not texts or not all(_is_text(text) for text in texts):
            several = ", or a list of such texts" if expects == "texts" else ""
            yield f"without choices 'answer' must be a text that is not empty{several}, found {answer!r}"


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
