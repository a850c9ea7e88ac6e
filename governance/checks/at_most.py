"""`at-most`: the candidate's own score is surely at or below a bound."""

from governance.bound import judge_bound
from governance.check import BoundBlock, CheckBlock
from tunegate_core.records import CheckResult, Evidence


class AtMost:
    """See the module."""

    block = BoundBlock

    def threshold(self, block: CheckBlock) -> float:
        """The bound."""
        return BoundBlock.model_validate(block.model_dump()).bound

    def judge(self, block: CheckBlock, evidence: Evidence) -> CheckResult:
        """Judge the candidate's score."""
        return judge_bound(BoundBlock.model_validate(block.model_dump()), evidence, most=True)


PLUGIN = AtMost()
