"""`measured`: enough items could be measured on every arm, before any score is looked at.

What is lost (not parsed, NaN, timed out) may not be lost at random, so this is a bound on what happened to these
items, not an estimate: PASS or FAIL when there are items, UNDECIDED when there are none. Answers that have a score and
declined, or were cut off before it was settled, are told in the reason, and count as lost where the check names them.
"""

from typing import Annotated, Any

from pydantic import Field, SerializerFunctionWrapHandler, Strict, model_serializer

from governance.check import CheckBlock, measured_items, not_measured
from tunegate_core.records import ArmStatistics, CheckResult, Doubt, Evidence


class MeasuredBlock(CheckBlock):
    """`share` of the items that must be measured, on each arm; `lost`: scored answers that count as not measured."""

    share: float = Field(default=0.99, gt=0, le=1)
    lost: Annotated[tuple[Doubt, ...], Strict(False)] = ()

    @model_serializer(mode="wrap")
    def as_before(self, form: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """A policy from before the key existed keeps its digest."""
        said: dict[str, Any] = form(self)
        return said if self.lost else {key: part for key, part in said.items() if key != "lost"}


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
        kept = {arm.arm: measured_items(arm) - sum(arm.doubtful.get(doubt, 0) for doubt in block.lost)
                for arm in evidence.arms}  # fmt: skip
        worst = min(evidence.arms, key=lambda arm: kept[arm.arm])
        share, wanted = kept[worst.arm] / evidence.n, self.threshold(block)
        why = _why(worst)
        return CheckResult(
            check=block.id,
            outcome="PASS" if share >= wanted else "FAIL",
            reason=f"{100 * share:.1f} % of {evidence.n} items were measured on the {worst.arm} ({why}); "
            f"wanted is at least {100 * wanted:.1f} %",
            threshold=wanted,
        )


def _why(arm: ArmStatistics) -> str:
    """What was lost, by reason, and which scores are in doubt."""
    told = [f"{reason}: {count}" for reason, count in sorted(arm.unmeasured.items())]
    told += [f"scored but {doubt}: {count}" for doubt, count in sorted(arm.doubtful.items())]
    return ", ".join(told) or "none lost"


PLUGIN = Measured()
