"""The seam of `eval.tasks`: a plug-in turns a task of the config into items that can be counted before they are scored.

What must not change after planning is covered by one digest: every item with its answer and cluster, the metric, the
number of examples, and whatever else the plug-in says shapes a prompt or a score. The task's name is not: the same
items under another name are the same items.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from tunegate_core.canonical import Digest, digest_json
from tunegate_core.config import TaskBlock
from tunegate_core.errors import BadInput


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
    of: str | None = None  # the question that it puts in other words


@dataclass(frozen=True)
class Learnt:
    """What the candidate learns from: its rows as they were read (canonical JSON) by their numbers under the salted
    commitment `name`, the copies that were made of them, and the folder of its base."""

    name: str
    rows: Mapping[int, str]
    base_folder: Path
    copies: tuple[str, ...] = ()


@dataclass(frozen=True)
class OpenTask:
    """A task that was read and checked. `build` makes the harness's tasks and is the only expensive part.

    The documents of the built tasks, one task after the other, are the `items` in order. Where the items are made of
    training rows, `learnt` is the commitment of these: then prompts are rendered already, and no text of them, nor its
    plain digest, may stand in a record or a file, because it could not be erased there. Such a task is built in
    `parts`.
    """

    block: TaskBlock
    items: tuple[Item, ...]
    shaping: Any
    higher_is_better: bool
    build: Callable[[], list[Any]] = field(compare=False)
    learnt: str | None = None
    build_part: Callable[[Sequence[Item]], list[Any]] | None = field(default=None, compare=False)

    def parts(self, size: int) -> Iterator["OpenTask"]:
        """The task by parts of so many items, in order; whole where it can't be built of fewer items than it has."""
        build = self.build_part
        if build is None:
            yield self
            return
        for start in range(0, len(self.items), size):
            items = self.items[start : start + size]
            yield replace(self, items=items, build=partial(build, items))

    def digest(self) -> Digest:
        """Digest of all that must stay as it was planned; rows by their commitment and their numbers."""
        if self.learnt is not None:
            names = [item.id for item in self.items]
            told = {"rows": self.learnt, "probe": self.block.probes, "items": names, "metric": self.block.metric}
            return digest_json({**told, "shaping": self.shaping})
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


def require_metric(block: TaskBlock, metrics: Sequence[str]) -> None:
    """Raise BadInput for a metric that probes are not scored by."""
    if block.metric not in metrics:
        raise BadInput(
            f"task '{block.name}': the probes '{block.probes}' are scored by {' or '.join(metrics)}; write metric: "
            f"{metrics[0]}"
        )


class LearntSource(Protocol):
    """A plug-in: makes a task of the training rows."""

    def __call__(self, block: TaskBlock, learnt: Learnt) -> OpenTask:
        """The task, opened. Raises BadInput for rows or settings it can't be made of."""
        ...
