"""`group-non-inferior`: for no group is the candidate worse than the reference by more than the margin.

Each group is judged as `non-inferior` judges a task: on its own items, paired, clustered, silence counting as lost. All
must pass for a PASS: an intersection-union test, which needs no correction. A group's FAIL counts
- `rule: all-required`: by its own test; with many groups chance alone fails a good candidate more often;
- `rule: any-harm-holm`: only where it holds after Holm's correction for the number of groups.
Groups that are too small to tell are named, and leave the check UNDECIDED.
"""

from typing import Literal

from governance.by_group import groups_of, named, overall
from governance.check import ComparingBlock, not_measured
from governance.comparing import Comparison
from governance.holm import HOLM, corrected
from tunegate_core.records import CheckResult, Evidence, GroupOutcome, GroupStatistics, Outcome

SINGLE = Comparison(sign=-1, passed="not worse within the margin", failed="worse by more than the margin")


class GroupNonInferiorBlock(ComparingBlock):
    """`column`: the groups to judge; those of every column, and intersections, when not given."""

    column: str | None = None
    rule: Literal["all-required", "any-harm-holm"] = "any-harm-holm"


class GroupNonInferior:
    """See the module."""

    block = GroupNonInferiorBlock

    def threshold(self, block: GroupNonInferiorBlock) -> float:
        """The margin with its sign."""
        return SINGLE.threshold(block)

    def judge(self, block: GroupNonInferiorBlock, evidence: Evidence) -> CheckResult:
        """Judge every group; the interval shown is that of the group with the lowest lower bound."""
        groups, why = groups_of(block, evidence, block.column)
        if why is not None:
            return not_measured(block, why)
        results = [SINGLE.judge(block, _alone(evidence, group)) for group in groups]
        if block.rule == HOLM:
            results = corrected(
                results,
                dict.fromkeys(range(len(groups)), 1 - block.confidence),
                lambda at, level: SINGLE.judge(
                    block.model_copy(update={"confidence": 1 - level}), _alone(evidence, groups[at])
                ),
                "groups",
            )
        told = [
            GroupOutcome(column=group.column, group=group.value, outcome=result.outcome, interval=result.interval)
            for group, result in zip(groups, results, strict=True)
        ]
        outcome = overall([group.outcome for group in told])
        deciding = [at for at, group in enumerate(told) if group.outcome == outcome]
        shown = min(deciding, key=lambda at: _low(results[at]))
        return CheckResult(
            check=block.id,
            outcome=outcome,
            reason=_reason(told, shown, results[shown].reason),
            interval=results[shown].interval,
            threshold=self.threshold(block),
            detectable=results[shown].detectable,
            items_to_settle=results[shown].items_to_settle if outcome == "UNDECIDED" else None,
            groups=tuple(told),
        )


PLUGIN = GroupNonInferior()


def _alone(evidence: Evidence, group: GroupStatistics) -> Evidence:
    """The evidence as if the task had only the group's items."""
    return evidence.model_copy(update={"n": group.n, "arms": group.arms, "pairs": group.pairs, "groups": ()})


def _low(result: CheckResult) -> float:
    low = result.interval.low if result.interval is not None else None
    return float("-inf") if low is None else low


def _reason(told: list[GroupOutcome], shown: int, reason: str) -> str:
    where = f"{told[shown].column}: {told[shown].group}"
    parts: dict[Outcome, str] = {"FAIL": "worse by more than the margin for", "UNDECIDED": "too little to tell for"}
    said = [f"{words} {named(told, outcome)}" for outcome, words in parts.items() if named(told, outcome)]
    lead = "; ".join(said) or f"no group of {len(told)} is worse by more than the margin"
    return f"{lead}; {where} is {reason}"
