"""`group-gap`: no two groups of a column are further apart than a bound, on the candidate's own scores.

Every two groups are compared, both ways. PASS when every upper bound lies below the bound: an intersection-union test,
no correction needed. FAIL when some lower bound lies above it at the level divided by the number of comparisons
(Bonferroni), because the widest of many gaps is wide by chance. It says nothing about who is right: a model that is
equally bad for everybody passes, so it stands beside other checks.

So that nothing is gained by silence, a PASS must also stand when the items without a score count as right for the one
group and as wrong for the other.
"""

import itertools

from pydantic import Field

from governance.by_group import groups_of
from governance.check import BoundBlock, measured_items, not_measured
from tunegate_core.records import CheckResult, Evidence, GroupOutcome, GroupStatistics, Interval, Outcome
from tunegate_core.stats import Gap, gap
from tunegate_core.stats.groups import of_arm


class GroupGapBlock(BoundBlock):
    """`bound`: in score units; `column`: the groups to compare."""

    column: str
    bound: float = Field(gt=0, le=1)


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
        both = list(itertools.permutations(groups, 2))
        if not both:
            return not_measured(block, f"the column '{block.column}' has one group")
        strict = 1 - (1 - block.confidence) / len(both)
        found = [(a, b, _gap(block, evidence, a, b, block.confidence)) for a, b in both]
        harmed = [_gap(block, evidence, a, b, strict) for a, b, _ in found]
        worst = [_gap(block, evidence, _spoken(a, 1.0), _spoken(b, 0.0), block.confidence) for a, b, _ in found]
        told = [_told(*one, block.bound) for one in zip(*zip(*found, strict=True), worst, harmed, strict=True)]
        small = sorted({name for a, b, seen in found if seen is None for name in _unmeasured(evidence, a, b)})
        gaps = [(seen, harm) for (_, _, seen), harm in zip(found, harmed, strict=True) if seen and harm]
        if not gaps:
            return not_measured(block, f"too little for an interval in {', '.join(small) or 'any group'}")
        outcomes = [one.outcome for one in told]
        outcome: Outcome = "FAIL" if "FAIL" in outcomes else "UNDECIDED" if "UNDECIDED" in outcomes else "PASS"
        interval = _widest(gaps, block.confidence)
        return CheckResult(
            check=block.id,
            outcome=outcome,
            reason=_reason(gaps, interval, block, outcome, small),
            interval=interval,
            threshold=block.bound,
            groups=tuple(one for one in told if one.outcome != "PASS") if outcome != "PASS" else tuple(told),
        )


PLUGIN = GroupGap()


def _gap(
    block: GroupGapBlock, evidence: Evidence, a: GroupStatistics, b: GroupStatistics, confidence: float
) -> Gap | None:
    return gap(a, b, "candidate", evidence.scale, confidence)


def _spoken(group: GroupStatistics, score: float) -> GroupStatistics:
    """The group with every item that the candidate left without a score given this one."""
    own = of_arm(group, "candidate")
    silent = 0 if own is None else max(0, group.n - measured_items(own))
    if own is None or not silent:
        return group
    arm = own.model_copy(update={"clusters": own.clusters + ((1, score, score),) * silent})
    numbers = group.clusters + tuple(range(-silent, 0))  # clusters of their own, shared with no other group
    return group.model_copy(update={"arms": (arm,), "clusters": numbers})


def _told(
    a: GroupStatistics, b: GroupStatistics, seen: Gap | None, worst: Gap | None, harm: Gap | None, bound: float
) -> GroupOutcome:
    outcome: Outcome = "UNDECIDED"
    if worst is not None and worst.interval.high is not None and worst.interval.high < bound:
        outcome = "PASS"
    if harm is not None and harm.interval.low is not None and harm.interval.low > bound:
        outcome = "FAIL"
    interval = None if seen is None else seen.interval
    return GroupOutcome(column=a.column, group=f"{a.value} over {b.value}", outcome=outcome, interval=interval)


def _widest(gaps: list[tuple[Gap, Gap]], confidence: float) -> Interval:
    """Of the widest true gap: below any upper bound's largest, above any corrected lower bound, and never below 0."""
    widest = max((seen.interval for seen, _ in gaps), key=lambda interval: interval.value or 0.0)
    return widest.model_copy(
        update={
            "low": max(0.0, *(harm.interval.low or 0.0 for _, harm in gaps)),
            "high": max(seen.interval.high or 0.0 for seen, _ in gaps),
            "confidence": confidence,
            "method": f"widest of {len(gaps) // 2} differences, {widest.method}; lower bound Bonferroni",
        }
    )


def _unmeasured(evidence: Evidence, *groups: GroupStatistics) -> list[str]:
    """Those of the groups whose candidate gives no interval."""
    return [group.value for group in groups if gap(group, group, "candidate", evidence.scale, 0.9) is None]


def _reason(gaps: list[tuple[Gap, Gap]], interval: Interval, block: GroupGapBlock, outcome: Outcome,
            small: list[str]) -> str:  # fmt: skip
    widest = max((seen for seen, _ in gaps), key=lambda one: one.interval.value or 0.0)
    words = {"PASS": "within the bound", "FAIL": "wider than the bound", "UNDECIDED": "not settled"}[outcome]
    said = (
        f"{words}: {block.column}: {widest.first} is {100 * (interval.value or 0):.1f} points above {widest.second}, "
        f"one-sided {100 * block.confidence:g} % bounds {100 * (interval.low or 0):.1f} to "
        f"{100 * (interval.high or 0):.1f}; at most {100 * block.bound:.1f} is wanted"
    )
    return said + (f"; too little for an interval in {', '.join(small)}" if small else "")
