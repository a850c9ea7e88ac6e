"""A task of lm-evaluation-harness by its name; a group's tasks are scored together, each item counted once."""

from eval.lmeval import load_named, open_harness
from eval.task import OpenTask
from tunegate_core.config import TaskBlock


def open_named(block: TaskBlock) -> OpenTask:
    """The named task. Raises BadInput with the nearest name, or NotFound when its data can't be had here."""
    return open_harness(block, lambda: load_named(str(block.harness)))


PLUGIN = open_named
