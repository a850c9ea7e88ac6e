"""`uncontaminated`: few enough of the task's items stand in the candidate's training rows.

A count of what is, not an estimate: PASS or FAIL where the rows could be looked through, else UNDECIDED.
It finds an item word for word or nearly so. It does not find a paraphrase, nor what the base learnt before.
"""

from pydantic import Field

from governance.check import CheckBlock, not_measured
from tunegate_core.records import CheckResult, Evidence


class UncontaminatedBlock(CheckBlock):
    """`share` of the items that may stand in the training rows."""

    share: float = Field(default=0.0, ge=0, lt=1)


class Uncontaminated:
    """See the module."""

    block = UncontaminatedBlock

    def threshold(self, block: UncontaminatedBlock) -> float:
        """The share."""
        return block.share

    def judge(self, block: UncontaminatedBlock, evidence: Evidence) -> CheckResult:
        """Judge what was counted."""
        found = evidence.overlap
        if evidence.n == 0 or found is None:
            return not_measured(block, "the training rows could not be looked through")
        if found.rows == 0:
            return not_measured(block, "there are no training rows")
        allowed = self.threshold(block)
        return CheckResult(
            check=block.id,
            outcome="PASS" if found.items / evidence.n <= allowed else "FAIL",
            reason=f"{found.items} of {evidence.n} items stand in the {found.rows} training rows ({found.exact} as they"
            f" are, {found.within} within a row, {found.near} nearly); allowed are {100 * allowed:g} %",
            threshold=allowed,
        )


PLUGIN = Uncontaminated()
