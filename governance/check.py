"""What a check is: a block of keys from the policy, and a pure function from evidence to one result.

Every check answers PASS, FAIL or UNDECIDED with a sentence that can be quoted. What was not measured is UNDECIDED and
never a pass; a bound that lies on both sides of the threshold is UNDECIDED; only a bound decides.
"""

from collections.abc import Mapping, Sequence
from typing import Annotated, Literal, Protocol

from pydantic import BaseModel, ConfigDict, Field

from tunegate_core.config.schema import NAME
from tunegate_core.records import CheckResult, Evidence, Interval, Outcome, PairedStatistics
from tunegate_core.stats import detectable, items_to_settle, paired_interval, paired_spread


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
    """A plug-in: one file in `governance/checks`, named like the kind."""

    @property
    def block(self) -> type[CheckBlock]:
        """The keys it takes."""
        ...

    def threshold(self, block: CheckBlock) -> float:
        """The number that is fixed in the plan."""
        ...

    def judge(self, block: CheckBlock, evidence: Evidence) -> CheckResult:
        """The result on the evidence of the block's task."""
        ...


def side_of(low: float | None, high: float | None, threshold: float) -> Outcome:
    """PASS above the threshold, FAIL below it, UNDECIDED when the bounds do not settle it or were not measured."""
    if low is None or high is None:
        return "UNDECIDED"
    if low > threshold:
        return "PASS"
    return "FAIL" if high < threshold else "UNDECIDED"


def find_evidence(evidence: Sequence[Evidence], block: CheckBlock) -> list[Evidence]:
    """The evidence of the block's task and, where the block names one, its metric."""
    metric = getattr(block, "metric", None)
    return [item for item in evidence if item.task == block.task and metric in (None, item.metric)]


def compare(block: ComparingBlock, evidence: Evidence, threshold: float, words: Mapping[Outcome, str]) -> CheckResult:
    """Candidate minus reference against a threshold; a score where lower is better is turned round first."""
    pair, note = reference_of(block, evidence)
    if pair is None:
        return not_measured(block, f"there is no evidence against the {block.against}")
    interval = paired_interval(pair, evidence.scale, block.confidence)
    if not evidence.higher_is_better:
        interval = turned(interval)
    outcome = side_of(interval.low, interval.high, threshold)
    if interval.value is None:
        return not_measured(block, f"{interval.n} items in {interval.clusters} clusters are too few for an interval")
    spread = paired_spread(pair)
    variance = spread.item_variance if spread else 0.0
    needed = None
    if outcome == "UNDECIDED" and spread is not None:
        effect = spread.n / spread.effective
        # Where no item differs the variance is unknown; one discordant item in n is the least it can be told from.
        needed = items_to_settle(interval.value, threshold, max(variance, 1 / spread.n), block.confidence, effect)
    settling = f"; about {needed} items would settle it" if needed else ""
    return CheckResult(
        check=block.id,
        outcome=outcome,
        reason=f"{words[outcome]}: {describe(interval)} against the {pair.reference}{note}; "
        f"the threshold is {100 * threshold:+z.1f} points{settling}",
        interval=interval,
        threshold=threshold,
        detectable=detectable(spread.effective, max(variance, 1 / spread.n), block.confidence) if spread else None,
        items_to_settle=needed,
    )


def reference_of(block: ComparingBlock, evidence: Evidence) -> tuple[PairedStatistics | None, str]:
    """The paired statistics asked for. A route without a champion is compared with the base, and the reason says so.

    A champion that was examined but can't be compared is no reason to fall back: the pair is then missing.
    """
    pairs = {pair.reference: pair for pair in evidence.pairs}
    if block.against == "champion" and "champion" not in {*pairs, *(arm.arm for arm in evidence.arms)}:
        return pairs.get("base"), " (the route has no champion yet)"
    return pairs.get(block.against), ""


def describe(interval: Interval) -> str:
    """`+12.3 points, 95 % bounds +8.1 to +16.4, n=130 in 65 clusters`."""
    if interval.value is None or interval.low is None or interval.high is None:
        return f"not measured, n={interval.n}"
    clusters = f" in {interval.clusters} clusters" if interval.clusters != interval.n else ""
    return (
        f"{100 * interval.value:+z.1f} points, one-sided {100 * interval.confidence:g} % bounds "
        f"{100 * interval.low:+z.1f} to {100 * interval.high:+z.1f}, n={interval.n}{clusters}"
    )


def turned(interval: Interval) -> Interval:
    """The interval of the negated value, for scores where lower is better."""
    value, low, high = interval.value, interval.low, interval.high
    if value is None or low is None or high is None:
        return interval
    return interval.model_copy(update={"value": -value, "low": -high, "high": -low})


def not_measured(block: CheckBlock, why: str) -> CheckResult:
    """UNDECIDED, because nothing was measured; never a pass."""
    return CheckResult(check=block.id, outcome="UNDECIDED", reason=f"not measured: {why}")
