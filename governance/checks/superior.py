"""`superior`: the candidate is better than the reference by more than the margin, surely.

PASS when the lower bound of candidate minus reference lies above the margin, FAIL when the upper bound lies below it.
"""

from governance.check import ComparingBlock
from governance.comparing import compare
from tunegate_core.records import CheckResult, Evidence, Outcome

WORDS: dict[Outcome, str] = {
    "PASS": "better by more than the margin",
    "FAIL": "not better by the margin",
    "UNDECIDED": "not settled",
}


class Superior:
    """See the module."""

    block = ComparingBlock

    def threshold(self, block: ComparingBlock) -> float:
        """The margin."""
        return block.margin

    def judge(self, block: ComparingBlock, evidence: Evidence) -> CheckResult:
        """Judge the paired difference."""
        return compare(block, evidence, self.threshold(block), WORDS)


PLUGIN = Superior()
