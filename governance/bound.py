"""The candidate's own score against a fixed bound, for `at-least` and `at-most`.

An item without a score is not in the share. So that nothing is gained by silence, a PASS must also stand when each such
item counts as the worst score of the scale from 0 to 1, in its cluster.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from governance.check import BoundBlock, items_of, measured_items, not_measured, power, side_of, turned
from governance.silence import Sizes, silent_in
from tunegate_core.records import ArmStatistics, CheckResult, Evidence, Interval, Outcome
from tunegate_core.stats import arm_interval, arm_spread


@dataclass(frozen=True)
class Bound:
    """A kind of check: the score is at most the bound, or at least."""

    most: bool
    block = BoundBlock

    def threshold(self, block: BoundBlock) -> float:
        """The bound."""
        return block.bound

    def judge(self, block: BoundBlock, evidence: Evidence) -> CheckResult:
        """Judge the candidate's score."""
        found = weigh(block, evidence, self.most)
        if isinstance(found, str):
            return not_measured(block, found)
        wanted = f"at {'most' if self.most else 'least'} {100 * block.bound:.1f}"
        return found.result(
            block, f"{evidence.metric} is {score(found.interval)}; wanted is {wanted}{found.more('items')}"
        )


@dataclass(frozen=True)
class Weighed:
    """A score beside its bound. `detectable`: the distance that so many items can tell, as a share; `needed`: items
    that would settle it; `silent`: those without a score, where only they stand between it and a pass."""

    interval: Interval
    outcome: Outcome
    detectable: float | None
    needed: int | None
    silent: int

    def more(self, items: str) -> str:
        """What else decides, to end a reason with; `items`: what they are called."""
        if self.silent:
            counts = "count" if self.outcome == "PASS" else "may count"
            return f"; {self.silent} {items} without a score {counts} against it"
        return f"; about {self.needed} {items} would settle it" if self.needed else ""

    def result(self, block: BoundBlock, reason: str) -> CheckResult:
        """The result, with its reason in words."""
        return CheckResult(
            check=block.id,
            outcome=self.outcome,
            reason=reason,
            interval=self.interval,
            threshold=block.bound,
            detectable=self.detectable,
            items_to_settle=self.needed,
        )


def weigh(block: BoundBlock, evidence: Evidence, most: bool) -> Weighed | str:
    """PASS when the whole interval lies on the wanted side of the bound, FAIL when it lies on the other; a text says
    why nothing was measured."""
    arm = next((arm for arm in evidence.arms if arm.arm == "candidate"), None)
    if arm is None:
        return "the evidence has no candidate"
    interval, spread = arm_interval(arm, evidence.scale, block.confidence), arm_spread(arm, evidence.scale)
    if interval.value is None or interval.low is None or spread is None:
        return f"{items_of(interval)} is too little, or too much alike, for an interval"
    outcome = _side(interval, block.bound, most)
    silent = max(0, evidence.n - measured_items(arm)) if outcome == "PASS" else 0
    if silent:
        others = [[n for n, _, _ in other.clusters] for other in evidence.arms if other.arm != arm.arm]
        worst = arm_interval(counted_as(arm, silent, 1 if most else 0, others), evidence.scale, block.confidence)
        outcome = "PASS" if _side(worst, block.bound, most) == "PASS" else "UNDECIDED"
    found, needed = power(spread, interval.value, block.bound, block.confidence)
    return Weighed(interval, outcome, found, None if outcome != "UNDECIDED" or silent else needed, silent)


def counted_as(arm: ArmStatistics, items: int, score: Literal[0, 1], others: Sequence[Sizes]) -> ArmStatistics:
    """The arm with that many more items of one score: those of its clusters, then further ones. `others`: the measured
    items of each cluster on the other arms."""
    own, further = silent_in([n for n, _, _ in arm.clusters], others, items)
    told = (*zip(arm.clusters, own, strict=True), *(((0, 0.0, 0.0), n) for n in further))
    clusters = tuple((n + more, total + more * score, square + more * score) for (n, total, square), more in told)
    return arm.model_copy(update={"clusters": clusters})


def score(interval: Interval, of: str = "") -> str:
    """`81.2 %, one-sided 95 % bounds 75.0 to 86.1, n=130 in 65 clusters`. `of`: of what these are shares."""
    if interval.value is None or interval.low is None or interval.high is None:
        return f"not measured, {items_of(interval)}"
    return (
        f"{100 * interval.value:.1f} %{of}, one-sided {100 * interval.confidence:g} % bounds {100 * interval.low:.1f} "
        f"to {100 * interval.high:.1f}, {items_of(interval)}"
    )


def _side(interval: Interval, bound: float, most: bool) -> Outcome:
    seen = turned(interval) if most else interval
    return side_of(seen.low, seen.high, -bound if most else bound)
