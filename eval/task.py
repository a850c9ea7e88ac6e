"""The seam of `eval.tasks`: a plug-in turns a task of the config into items that can be counted before they are scored.

What must not change after planning is covered by one digest: every item with its answer and cluster, the metric, the
number of examples, and whatever else the plug-in says shapes a prompt or a score. The task's name is not: the same
items under another name are the same items.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

from tunegate_core.canonical import Digest, digest_json
from tunegate_core.config import TaskBlock


@dataclass(frozen=True)
class Item:
    """One scored question. `answer` is an index into `choices`, or what the task expects; without a cluster of its
    own an item is its own cluster."""

    id: str
    text: str
    choices: tuple[str, ...] | None
    answer: Any
    cluster: str
    groups: tuple[str, ...] = ()  # its value in each of the task's group columns


@dataclass(frozen=True)
class OpenTask:
    """A task that was read and checked. `build` makes the harness's tasks and is the only expensive part.

    The documents of the built tasks, one task after the other, are the `items` in order.
    """

    block: TaskBlock
    items: tuple[Item, ...]
    shaping: Any
    higher_is_better: bool
    build: Callable[[], list[Any]] = field(compare=False)

    def digest(self) -> Digest:
        """Digest of all that must stay as it was planned."""
        items: list[dict[str, Any]] = [
            {"id": i.id, "question": i.text, "choices": i.choices, "answer": i.answer, "cluster": i.cluster}
            for i in self.items
        ]
        if self.block.groups:  # only then, so that tasks without groups keep their digests
            items = [{**raw, "groups": item.groups} for raw, item in zip(items, self.items, strict=True)]
        metric, few_shot = self.block.metric, self.block.few_shot
        return digest_json({"items": items, "metric": metric, "few_shot": few_shot, "shaping": self.shaping})


class TaskSource(Protocol):
    """A plug-in: reads and checks one task."""

    def __call__(self, block: TaskBlock) -> OpenTask:
        """The task, opened. Raises BadInput for anything that can't be scored as it is."""
        ...
