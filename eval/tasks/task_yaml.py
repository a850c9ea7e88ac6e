"""A task YAML of lm-evaluation-harness. Files that it names are relative to it."""

from pathlib import Path

from eval.lmeval import load_file, open_harness
from eval.task import OpenTask
from tunegate_core.config import TaskBlock


def open_yaml(block: TaskBlock) -> OpenTask:
    """The task a YAML describes. Raises BadInput when it or its data can't be used."""
    return open_harness(block, lambda: load_file(Path(str(block.task_yaml))))


PLUGIN = open_yaml
