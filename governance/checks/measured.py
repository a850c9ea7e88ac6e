"""`measured`: enough items could be measured on every arm, before any score is looked at.

What is lost (not parsed, NaN, timed out) may not be lost at random, so this is a bound on what happened to these
items, not an estimate: PASS or FAIL when there are items, UNDECIDED when there are none.
"""

from pydantic import Field

from governance.check import CheckBlock, measured_items, not_measured
from tunegate_core.records import CheckResult, Evidence


class MeasuredBlock(CheckBlock):
    """`share` of the items that must be measured, on each arm."""

    share: float = Field(default=0.99, gt=0, le=1)


class Measured:
    """See the module."""

    block = MeasuredBlock

    def threshold(self, block: MeasuredBlock) -> float:
        """The share."""
        return block.share

    def judge(self, block: MeasuredBlock, evidence: Evidence) -> CheckResult:
        """Judge the arm that lost most."""
        if evidence.n == 0 or not evidence.arms:
            return not_measured(block, "the task has no items")
        worst = min(evidence.arms, key=measured_items)
        share, wanted = measured_items(worst) / evidence.n, self.threshold(block)
        why = ", ".join(f"{reason}: {count}" for reason, count in sorted(worst.unmeasured.items())) or "none lost"
        return CheckResult(
            check=block.id,
            outcome="PASS" if share >= wanted else "FAIL",
            reason=f"{100 * share:.1f} % of {evidence.n} items were measured on the {worst.arm} ({why}); "
            f"wanted is at least {100 * wanted:.1f} %",
            threshold=wanted,
        )


PLUGIN = Measured()
