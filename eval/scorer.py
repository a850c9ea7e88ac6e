"""The seam of `eval.scorers`: what an answer in words is worth. One file a scorer; its name is the metric's.

A scorer gives a score for each answer, or the reason why there is none: what could not be read, or judged, is never 0.
It also says which scores are in doubt because the answer declines or was cut off.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from eval.results import REFUSED, ArmRun, Result, unread
from eval.task import Item, OpenTask
from tunegate_core import registry
from tunegate_core.config import TaskBlock
from tunegate_core.ports import Progress
from tunegate_core.records import Doubt

SCORERS = "eval.scorers"
Expects = Literal["text", "texts", "nothing"]
Score = float | str  # a score from 0 to 1, or the reason why there is none
Scored = tuple[list[Score], dict[str, float]]  # and figures about the scoring itself, for the per-item records
RETRIED = ("judge timed out", "judge failed")  # reasons that another try may not have


@dataclass(frozen=True)
class Said:
    """An item and what an arm said to it."""

    item: Item
    text: str

    @property
    def expected(self) -> tuple[str, ...]:
        """The row's answer, or answers."""
        answer = self.item.answer
        return tuple(answer) if isinstance(answer, list | tuple) else (str(answer),)


class Scorer(Protocol):
    """A plug-in. `expects`: what a row's `answer` holds; `is_binary`: whether every score is 0 or 1."""

    @property
    def expects(self) -> Expects:
        """What a row's `answer` holds."""
        ...

    @property
    def is_binary(self) -> bool:
        """Whether every score is 0 or 1."""
        ...

    def check(self, block: TaskBlock) -> None:
        """Raise BadInput when the task's keys can't be used; nothing expensive."""
        ...

    def __call__(self, said: Sequence[Said], block: TaskBlock, cache: Path, progress: Progress) -> Scored:
        """A score or a reason for each."""
        ...

    def is_in_doubt(self, score: float, doubt: Doubt) -> bool:
        """Whether this score says less than it seems to of an answer that declines, or was cut off."""
        ...


@dataclass(frozen=True)
class Rule:
    """A scorer that looks at one answer at a time and says yes (1), no (0), or why neither.

    `settled`: scores that no further word of the answer could change; `may_decline`: to decline is no wrong answer.
    """

    expects: Expects
    look: Callable[[Said, TaskBlock], bool | str]
    checked: Callable[[TaskBlock], None] = lambda block: None
    is_binary: bool = True
    settled: tuple[float, ...] = ()
    may_decline: bool = False

    def is_in_doubt(self, score: float, doubt: Doubt) -> bool:
        """Unless it is settled, or to decline is as good as any answer."""
        return score not in self.settled and not (doubt == REFUSED and self.may_decline)

    def check(self, block: TaskBlock) -> None:
        """The rule's own check of the task's keys."""
        self.checked(block)

    def __call__(self, said: Sequence[Said], block: TaskBlock, cache: Path, progress: Progress) -> Scored:
        """One by one."""
        found = [self.look(one, block) for one in said]
        return [result if isinstance(result, str) else float(result) for result in found], {}


def scorer_of(block: TaskBlock) -> Scorer | None:
    """The scorer of a task of questions or probes; None where the harness scores."""
    is_ours = block.questions is not None or block.probes is not None
    if not is_ours or block.metric not in registry.names(SCORERS):
        return None
    scorer: Scorer = registry.load(SCORERS, block.metric)
    return scorer


def rescored(run: ArmRun, task: OpenTask, scorer: Scorer, cache: Path, progress: Progress) -> ArmRun:
    """The run with the scorer's scores; what was not measured stays so."""
    pairs = zip(task.items, run.results, strict=True)
    open_ = [at for at, (_, result) in enumerate(pairs) if result.reason is None]
    said = [Said(task.items[at], str(run.results[at].answer)) for at in open_]
    results = list(run.results)
    scores, figures = scorer(said, task.block, cache, progress)
    for at, score in zip(open_, scores, strict=True):
        before = results[at]
        if isinstance(score, str):
            results[at] = Result(id=before.id, answer=before.answer, reason=unread(score, before.doubts))
        else:
            doubts = tuple(doubt for doubt in before.doubts if scorer.is_in_doubt(score, doubt))
            results[at] = Result(id=before.id, answer=before.answer, score=score, doubts=doubts)
    return run.model_copy(update={"results": tuple(results), "figures": figures})


def is_final(run: ArmRun) -> bool:
    """Whether another try would find nothing new."""
    return not any((result.reason or "").startswith(RETRIED) for result in run.results)
