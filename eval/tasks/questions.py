"""A JSONL of your own questions; its form is told in `eval.questionfile`."""

from pathlib import Path

from eval.questionfile import open_rows
from eval.task import OpenTask
from tunegate_core.config import TaskBlock


def open_questions(block: TaskBlock) -> OpenTask:
    """The questions of a task. Raises DataError with file and line, or BadInput for a metric that does not fit."""
    return open_rows(block, Path(str(block.questions)))


PLUGIN = open_questions
