"""The same questions in another form: does an arm give the same answers, and how much does it lose?

A task with a `variant` is paired with the task of the same questions as they are, where the config has one. Consistency
is the share of pairs with the same answer (as Elazar et al. 2021, TACL 9:1012, section 3, over the forms a question is
asked in): the same choice, or for answers in words the same score, because there words may differ and be right. The
difference is the score of the variant minus that of the plain question. Several paraphrases of a question are in its
cluster.
"""

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence

from eval.results import ArmRun, Result
from eval.statistics import cluster_of
from eval.task import Item, OpenTask
from tunegate_core.config import TaskBlock
from tunegate_core.records import Arm, Robustness

Runs = Mapping[Arm, ArmRun]
Asked = tuple[Item, Result]


def plain_task(block: TaskBlock, tasks: Sequence[TaskBlock]) -> str | None:
    """The name of the task that asks the same as they are."""
    if block.variant is None:
        return None
    wanted = _asked(block.model_copy(update={"variant": None, "paraphrases": None}))
    return next((task.name for task in tasks if _asked(task) == wanted), None)


def robustness(varied: OpenTask, plain: OpenTask, runs: Runs, plain_runs: Runs) -> tuple[Robustness, ...]:
    """Each arm on both tasks, paired by question."""
    return tuple(
        _of_arm(
            arm, plain.block.name, list(zip(varied.items, run.results, strict=True)), _by_id(plain, plain_runs[arm])
        )
        for arm, run in runs.items()
    )


def _of_arm(arm: Arm, against: str, asked: Sequence[Asked], plain: Mapping[str, Asked]) -> Robustness:
    scores: dict[str, list[tuple[float, float]]] = defaultdict(list)
    same: dict[str, list[float]] = defaultdict(list)
    for item, result in asked:
        other, before = plain[item.of or item.id]
        if result.score is not None and before.score is not None:
            scores[item.cluster].append((result.score, before.score))
            same[item.cluster].append(float(_answer(item, result) == _answer(other, before)))
    return Robustness(
        arm=arm,
        against=against,
        clusters=tuple(cluster_of(scores[name]) for name in sorted(scores)),
        same=tuple((len(same[name]), math.fsum(same[name]), math.fsum(same[name])) for name in sorted(same)),
        unmeasured=len(asked) - sum(map(len, scores.values())),
    )


def _answer(item: Item, result: Result) -> object:
    """The choice by its text, since its place may differ; of answers in words what they were worth."""
    if item.choices is not None and isinstance(result.answer, int):
        return item.choices[result.answer]
    return result.score


def _by_id(task: OpenTask, run: ArmRun) -> dict[str, Asked]:
    return {item.id: (item, result) for item, result in zip(task.items, run.results, strict=True)}


def _asked(block: TaskBlock) -> dict[str, object]:
    return block.model_dump(exclude={"name", "groups"})
