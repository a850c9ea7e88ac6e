"""`at-most`: the candidate's own score is surely at or below a bound."""

from governance.bound import judge_bound
from governance.check import BoundBlock
from tunegate_core.records import CheckResult, Evidence


class AtMost:
    """See the module."""

    block = BoundBlock

    def threshold(self, block: BoundBlock) -> float:
        """The bound."""
        return block.bound

    def judge(self, block: BoundBlock, evidence: Evidence) -> CheckResult:
        """Judge the candidate's score."""
        return judge_bound(block, evidence, most=True)


PLUGIN = AtMost()
