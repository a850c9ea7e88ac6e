"""`preferred`: people prefer the candidate's answers to the reference's, surely.

The win rate is the mean over prompts of the share of people for the candidate, a tie half. PASS when its lower bound
lies above `bound`, FAIL when its upper bound lies below it; 0.5 is "as often as not". A bound below 0.5 asks for "not
much less liked". What people skipped counts as lost before a PASS.
"""

from typing import Literal

from pydantic import Field

from governance.bound import score, weigh
from governance.check import BoundBlock, ComparingBlock, not_measured
from governance.comparing import reference_of
from tunegate_core.records import CheckResult, Evidence

METRIC = "preferred"


class PreferredBlock(BoundBlock):
    """`bound`: the win rate to be above; `against`: whom people compared it with."""

    metric: str | None = METRIC
    against: Literal["base", "champion"] = "champion"
    bound: float = Field(default=0.5, gt=0, lt=1)


class Preferred:
    """See the module."""

    block = PreferredBlock

    def threshold(self, block: PreferredBlock) -> float:
        """The win rate to be above."""
        return block.bound

    def judge(self, block: PreferredBlock, evidence: Evidence) -> CheckResult:
        """Judge the win rate."""
        asked = ComparingBlock(id=block.id, kind=block.kind, task=block.task, against=block.against, margin=0)
        pair, note = reference_of(asked, evidence)
        if evidence.metric != METRIC:
            return not_measured(block, f"'{evidence.metric}' is no preference of people")
        if pair is None:
            return not_measured(block, f"nobody compared it with the {block.against}")
        if not any(n for arm in evidence.arms for n, _, _ in arm.clusters):
            return not_measured(block, _waiting(evidence))
        found = weigh(block, evidence, most=False)
        if isinstance(found, str):
            return not_measured(block, found)
        words = {"PASS": "preferred", "FAIL": "not preferred", "UNDECIDED": "not settled"}
        reason = (
            f"{words[found.outcome]}: {_who(evidence.people)} it to the {pair.reference}{note} in "
            f"{score(found.interval, ' of prompts')} (a tie counts half); wanted is above "
            f"{100 * block.bound:.1f}{found.more('prompts')}"
        )
        return found.result(block, reason)


def _who(people: int | None) -> str:
    return "1 person prefers" if people == 1 else f"{people} people prefer" if people else "people prefer"


def _waiting(evidence: Evidence) -> str:
    lost = next((arm.unmeasured for arm in evidence.arms if arm.arm == "candidate"), {})
    told = ", ".join(f"{reason}: {count}" for reason, count in sorted(lost.items()))
    return (
        f"of {evidence.n} prompts none counts yet ({told}); every prompt must be rated first (console: Compare answers)"
    )


PLUGIN = Preferred()
