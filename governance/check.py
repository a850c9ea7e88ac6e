"""What a check is: a block of keys from the policy, and a pure function from evidence to one result.

Every check answers PASS, FAIL or UNDECIDED with a sentence that can be quoted. What was not measured is UNDECIDED and
never a pass; a bound that lies on both sides of the threshold is UNDECIDED; only a bound decides.
"""

from collections.abc import Sequence
from typing import Annotated, Any, Literal, Protocol

from pydantic import BaseModel, ConfigDict, Field

from tunegate_core.config.schema import NAME
from tunegate_core.records import ArmStatistics, CheckResult, Evidence, Interval, Outcome
from tunegate_core.stats import NOTHING, Spread, detectable, items_to_settle


class CheckBlock(BaseModel):
    """The keys every check has."""

    # Strict: `margin: true` would be read as 1, and that margin passes everything.
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, strict=True)

    id: Annotated[str, Field(pattern=NAME)]
    kind: str
    task: str


class ComparingBlock(CheckBlock):
    """The keys of a check against another arm. `margin` is in score units; `confidence` is one-sided."""

    metric: str | None = None
    against: Literal["base", "champion"] = "base"
    margin: float = Field(ge=0, le=1)
    confidence: float = Field(default=0.95, gt=0.5, lt=1)


class BoundBlock(CheckBlock):
    """The keys of a check against a fixed bound, in score units."""

    metric: str | None = None
    bound: float
    confidence: float = Field(default=0.95, gt=0.5, lt=1)


class Check(Protocol):
    """A plug-in: one file in `governance/checks`, named like the kind. Its methods take its own kind of block."""

    @property
    def block(self) -> type[CheckBlock]:
        """The keys it takes."""
        ...

    def threshold(self, block: Any) -> float:
        """The number that is fixed in the plan."""
        ...

    def judge(self, block: Any, evidence: Evidence) -> CheckResult:
        """The result on the evidence of the block's task."""
        ...


def side_of(low: float | None, high: float | None, threshold: float) -> Outcome:
    """PASS above the threshold, FAIL below it, UNDECIDED when the bounds do not settle it or there are none."""
    if low is None or high is None:
        return "UNDECIDED"
    if low > threshold:
        return "PASS"
    return "FAIL" if high < threshold else "UNDECIDED"


def find_evidence(evidence: Sequence[Evidence], block: CheckBlock) -> list[Evidence]:
    """The evidence of the block's task and, where the block names one, its metric."""
    metric = getattr(block, "metric", None)
    return [item for item in evidence if item.task == block.task and metric in (None, item.metric)]


def turned(interval: Interval) -> Interval:
    """The interval of the negated value, for scores where lower is better."""
    value, low, high = interval.value, interval.low, interval.high
    if value is None or low is None or high is None:
        return interval
    return interval.model_copy(update={"value": -value, "low": -high, "high": -low})


def not_measured(block: CheckBlock, why: str) -> CheckResult:
    """UNDECIDED, because nothing was measured; never a pass."""
    return CheckResult(check=block.id, outcome="UNDECIDED", reason=f"not measured: {why}")


def items_of(interval: Interval) -> str:
    """`n=130 in 65 clusters`; clusters only where they are not the items."""
    return f"n={interval.n}" + (f" in {interval.clusters} clusters" if interval.clusters != interval.n else "")


def measured_items(arm: ArmStatistics) -> int:
    """Items with a score; what has no score counts as lost even where no reason was recorded."""
    return sum(n for n, _, _ in arm.clusters)


def power(spread: Spread, value: float, bar: float, confidence: float) -> tuple[float | None, int | None]:
    """The smallest difference that these items can detect, and how many would tell this value from the bar."""
    # Where all items agree the variance is unknown; one other item in n is the least it can be told from.
    variance = spread.item_variance if spread.item_variance > NOTHING else 1 / spread.n
    needed = items_to_settle(value, bar, variance, confidence, spread.effect)
    return detectable(spread.effective, variance, confidence), needed and max(needed, spread.n + 1)
