"""Prompts whose answers people compare. Nothing scores them but people, so nothing is built for the harness."""

from pathlib import Path
from typing import Any

from eval.feedback.answers import MOST_TOKENS
from eval.feedback.evidence import METRIC
from eval.feedback.prompts import read_prompts
from eval.task import OpenTask
from tunegate_core.config import TaskBlock
from tunegate_core.errors import BadInput


def open_feedback(block: TaskBlock) -> OpenTask:
    """The prompts of a task. Raises DataError with file and line, or BadInput for settings that do not fit."""
    if block.metric != METRIC or block.few_shot:
        raise BadInput(
            f"task '{block.name}': what people compare has the metric '{METRIC}' and no examples; found "
            f"'{block.metric}' and few_shot {block.few_shot}"
        )
    if block.groups:
        raise BadInput(f"task '{block.name}': prompts that people compare have no group columns; measure groups apart")
    items = tuple(read_prompts(Path(str(block.feedback))))[: block.limit]
    return OpenTask(block, items, {"raters": block.raters, "tokens": MOST_TOKENS}, True, _nothing)


PLUGIN = open_feedback


def _nothing() -> list[Any]:
    raise BadInput("prompts that people compare are no task of the harness")
