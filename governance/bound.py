"""The candidate's own score against a fixed bound, for `at-least` and `at-most`."""

from governance.check import BoundBlock, describe, not_measured, side_of, turned
from tunegate_core.records import CheckResult, Evidence
from tunegate_core.stats import arm_interval


def judge_bound(block: BoundBlock, evidence: Evidence, most: bool) -> CheckResult:
    """PASS when the whole interval lies on the wanted side of the bound, FAIL when it lies on the other."""
    arm = next((arm for arm in evidence.arms if arm.arm == "candidate"), None)
    if arm is None:
        return not_measured(block, "the evidence has no candidate")
    interval = arm_interval(arm, evidence.scale, block.confidence)
    if interval.value is None:
        return not_measured(block, f"{interval.n} items in {interval.clusters} clusters are too few for an interval")
    seen = turned(interval) if most else interval
    outcome = side_of(seen.low, seen.high, -block.bound if most else block.bound)
    wanted = f"at {'most' if most else 'least'} {100 * block.bound:.1f}"
    return CheckResult(
        check=block.id,
        outcome=outcome,
        reason=f"{evidence.metric} is {describe(interval)}; wanted is {wanted}",
        interval=interval,
        threshold=block.bound,
    )
