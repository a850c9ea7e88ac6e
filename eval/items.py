"""Evaluation items, read and checked before any expensive work, and frozen under one digest per task."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from eval.grouping import group_sizes, verify_groups
from eval.task import Learnt, LearntSource, OpenTask, TaskSource
from tunegate_core import registry
from tunegate_core.config import TaskBlock
from tunegate_core.config.schema import SOURCES
from tunegate_core.errors import BadInput, IntegrityError


@dataclass(frozen=True)
class ItemSet:
    """The items of one task as they stand in a plan. `n` items in `clusters` clusters; `texts`: the questions' texts,
    for the overlap check with training data; none where the items are made of training rows."""

    task: str
    metric: str
    digest: str
    n: int
    clusters: int
    texts: tuple[str, ...]
    groups: Mapping[str, Mapping[str, tuple[int, int]]] = field(default_factory=dict)  # column, value: items, clusters

    def summary(self) -> dict[str, Any]:
        """What a plan keeps: no text of any item."""
        groups = {column: {v: list(size) for v, size in sizes.items()} for column, sizes in self.groups.items()}
        sizes = {"digest": self.digest, "metric": self.metric, "n": self.n, "clusters": self.clusters}
        return {**sizes, "groups": groups} if groups else sizes


def freeze(tasks: Sequence[TaskBlock], learnt: Learnt | None = None) -> tuple[ItemSet, ...]:
    """Read and check every task's items. Raises BadInput (DataError with file and line for a file of questions)."""
    return tuple(_summarise(open_task(block, learnt)) for block in tasks)


def open_task(block: TaskBlock, learnt: Learnt | None = None) -> OpenTask:
    """One task through the plug-in its config names; `learnt` for those that are made of training rows."""
    if block.is_of_training:
        if learnt is None:
            raise BadInput(
                f"task '{block.name}' is made of the rows that the candidate learnt from, and these can't be had: one "
                "of them is erased, or they are not in this home; leave the task out"
            )
        made: LearntSource = registry.load("eval.learnt", str(block.probes))
        return made(block, learnt)
    name = next(source for source in SOURCES if getattr(block, source) is not None)
    source: TaskSource = registry.load("eval.tasks", name)
    opened = source(block)
    verify_groups(block, opened.items)
    return opened


def reopen(block: TaskBlock, planned: ItemSet, learnt: Learnt | None = None) -> OpenTask:
    """The task again, provided that nothing changed since it was frozen. Raises IntegrityError otherwise."""
    opened = open_task(block, learnt)
    found = opened.digest()
    if found != planned.digest:
        raise IntegrityError(
            f"the items of task '{block.name}' changed after they were planned: expected {planned.digest}, found "
            f"{found}; restore them, or plan a new version with the new items"
        )
    return opened


def _summarise(opened: OpenTask) -> ItemSet:
    block, items = opened.block, opened.items
    clusters = len({item.cluster for item in items})
    texts = () if opened.learnt is not None else tuple(item.text for item in items)
    return ItemSet(block.name, block.metric, opened.digest(), len(items), clusters, texts, group_sizes(block, items))
