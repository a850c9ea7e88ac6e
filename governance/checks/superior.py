"""`superior`: the candidate is better than the reference by more than the margin, surely.

PASS when the lower bound of candidate minus reference lies above the margin, FAIL when the upper bound lies below it.
"""

from governance.check import CheckBlock, ComparingBlock, compare
from tunegate_core.records import CheckResult, Evidence, Outcome

WORDS: dict[Outcome, str] = {
    "PASS": "better by more than the margin",
    "FAIL": "not better by the margin",
    "UNDECIDED": "not settled",
}


class Superior:
    """See the module."""

    block = ComparingBlock

    def threshold(self, block: CheckBlock) -> float:
        """The margin."""
        return ComparingBlock.model_validate(block.model_dump()).margin

    def judge(self, block: CheckBlock, evidence: Evidence) -> CheckResult:
        """Judge the paired difference."""
        comparing = ComparingBlock.model_validate(block.model_dump())
        return compare(comparing, evidence, self.threshold(block), WORDS)


PLUGIN = Superior()
