"""`group-gap`: no two groups of a column are further apart than a bound, on the candidate's own scores.

Every two groups are compared, both ways. PASS when every upper bound lies below the bound: an intersection-union test,
no correction needed. FAIL when some lower bound lies above it at the level divided by the number of comparisons
(Bonferroni), because the widest of many gaps is wide by chance. It says nothing about who is right: a model that is
equally bad for everybody passes, so it stands beside other checks.

So that nothing is gained by silence, a PASS must also stand when the items without a score count as right for the one
group and as wrong for the other.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from pydantic import Field

from governance.bound import counted_as
from governance.by_group import groups_of, overall
from governance.check import BoundBlock, measured_items, not_measured
from tunegate_core.records import CheckResult, Evidence, GroupOutcome, GroupStatistics, Interval, Outcome
from tunegate_core.stats import Gap, gap
from tunegate_core.stats.groups import of_arm


class GroupGapBlock(BoundBlock):
    """`bound`: in score units; `column`: the groups to compare, those of every column when not given."""

    column: str | None = None
    bound: float = Field(gt=0, le=1)


@dataclass(frozen=True)
class Two:
    """Two groups compared: `seen` as asked, `strict` corrected for the number of comparisons, `worst` with silence
    counted against them; None where there is too little for an interval."""

    first: GroupStatistics
    second: GroupStatistics
    seen: Gap | None
    strict: Gap | None
    worst: Gap | None

    def outcome(self, bound: float) -> Outcome:
        """Of these two alone."""
        if self.strict is not None and (self.strict.interval.low or 0.0) > bound:
            return "FAIL"
        high = None if self.worst is None else self.worst.interval.high
        return "PASS" if high is not None and high < bound else "UNDECIDED"


class GroupGap:
    """See the module."""

    block = GroupGapBlock

    def threshold(self, block: GroupGapBlock) -> float:
        """The bound."""
        return block.bound

    def judge(self, block: GroupGapBlock, evidence: Evidence) -> CheckResult:
        """Judge every two groups; the interval shown is that of the widest gap."""
        groups, why = groups_of(block, evidence, block.column)
        if why is not None:
            return not_measured(block, why)
        both = [(a, b) for a, b in itertools.permutations(groups, 2) if a.column == b.column]
        twos = [_two(evidence, a, b, block.confidence, len(both)) for a, b in both]
        measured = [two for two in twos if two.seen is not None and two.strict is not None]
        small = sorted({name for two in twos if two.seen is None for name in _unmeasured(evidence, two)})
        if not measured:
            return not_measured(block, f"too little for an interval in {', '.join(small) or 'any group'}")
        told = [
            GroupOutcome(
                column=two.first.column,
                group=f"{two.first.value} over {two.second.value}",
                outcome=two.outcome(block.bound),
                interval=None if two.seen is None else two.seen.interval,
            )
            for two in twos
        ]
        outcome = overall([one.outcome for one in told])
        interval = _widest(measured, block.confidence)
        return CheckResult(
            check=block.id,
            outcome=outcome,
            reason=_reason(measured, interval, block, outcome, small),
            interval=interval,
            threshold=block.bound,
            groups=tuple(told),
        )


PLUGIN = GroupGap()


def _two(evidence: Evidence, a: GroupStatistics, b: GroupStatistics, confidence: float, of: int) -> Two:
    scale, corrected = evidence.scale, 1 - (1 - confidence) / of
    return Two(
        a,
        b,
        seen=gap(a, b, "candidate", scale, confidence),
        strict=gap(a, b, "candidate", scale, corrected),
        worst=gap(_spoken(a, 1), _spoken(b, 0), "candidate", scale, confidence),
    )


def _spoken(group: GroupStatistics, score: Literal[0, 1]) -> GroupStatistics:
    """The group with every item that the candidate left without a score given this one."""
    own = of_arm(group, "candidate")
    silent = 0 if own is None else max(0, group.n - measured_items(own))
    if own is None or not silent:
        return group
    others = [[n for n, _, _ in arm.clusters] for arm in group.arms if arm.arm != own.arm]
    arm = counted_as(own, silent, score, others)
    further = len(arm.clusters) - len(own.clusters)
    numbers = tuple(-2 * number - 1 - score for number in range(further))  # clusters that no other group shares
    return group.model_copy(update={"arms": (arm,), "clusters": group.clusters + numbers})


def _most(twos: Sequence[Two]) -> Gap:
    """The widest gap seen."""
    return max((two.seen for two in twos if two.seen is not None), key=lambda seen: seen.interval.value or 0.0)


def _widest(twos: Sequence[Two], confidence: float) -> Interval:
    """Of the widest true gap: below any upper bound's largest, above any corrected lower bound, and never below 0."""
    widest = _most(twos).interval
    return widest.model_copy(
        update={
            "low": max(0.0, *(two.strict.interval.low or 0.0 for two in twos if two.strict is not None)),
            "high": max(two.seen.interval.high or 0.0 for two in twos if two.seen is not None),
            "confidence": confidence,
            "method": f"widest of {len(twos) // 2} differences, {widest.method}; lower bound Bonferroni",
        }
    )


def _unmeasured(evidence: Evidence, two: Two) -> list[str]:
    """Those of the groups whose candidate gives no interval."""
    groups = (two.first, two.second)
    return [group.value for group in groups if gap(group, group, "candidate", evidence.scale, 0.9) is None]


def _reason(
    twos: Sequence[Two], interval: Interval, block: GroupGapBlock, outcome: Outcome, small: Sequence[str]
) -> str:
    widest = _most(twos)
    words = {"PASS": "within the bound", "FAIL": "wider than the bound", "UNDECIDED": "not settled"}[outcome]
    said = (
        f"{words}: {widest.column}: {widest.first} is {100 * (interval.value or 0):.1f} points above {widest.second}, "
        f"one-sided {100 * block.confidence:g} % bounds {100 * (interval.low or 0):.1f} to "
        f"{100 * (interval.high or 0):.1f}; at most {100 * block.bound:.1f} is wanted"
    )
    return said + (f"; too little for an interval in {', '.join(small)}" if small else "")
