"""`non-inferior`: the candidate is not worse than the reference by more than the margin, surely.

PASS when the lower bound of candidate minus reference lies above -margin, FAIL when the upper bound lies below it.
"No significant difference" is not this and is never used: it passes what is measured badly.
"""

from governance.check import ComparingBlock
from governance.comparing import compare
from tunegate_core.records import CheckResult, Evidence, Outcome

WORDS: dict[Outcome, str] = {
    "PASS": "not worse within the margin",
    "FAIL": "worse by more than the margin",
    "UNDECIDED": "not settled",
}


class NonInferior:
    """See the module."""

    block = ComparingBlock

    def threshold(self, block: ComparingBlock) -> float:
        """Minus the margin."""
        return 0.0 - block.margin

    def judge(self, block: ComparingBlock, evidence: Evidence) -> CheckResult:
        """Judge the paired difference."""
        return compare(block, evidence, self.threshold(block), WORDS)


PLUGIN = NonInferior()
