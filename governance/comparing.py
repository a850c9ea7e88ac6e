"""The candidate against another arm on the same items, for `superior` and `non-inferior`.

An item that the reference answered and the candidate left without a score is not in the difference. So that nothing is
gained by silence, a PASS must also stand when each such item counts as lost, in its cluster.
"""

from dataclasses import dataclass
from typing import Literal

from governance.check import ComparingBlock, items_of, measured_items, not_measured, power, side_of, turned
from governance.silence import silent_in
from tunegate_core.records import CheckResult, Cluster, Evidence, Interval, Outcome, PairedStatistics
from tunegate_core.stats import paired_interval, paired_spread

EMPTY = Cluster(n=0, candidate=0, reference=0, cross=0, candidate_sq=0, reference_sq=0)


@dataclass(frozen=True)
class Comparison:
    """A kind of check: the threshold is `sign` times the margin; `passed` and `failed` say what it found."""

    sign: Literal[1, -1]
    passed: str
    failed: str
    block = ComparingBlock

    def threshold(self, block: ComparingBlock) -> float:
        """The margin with its sign."""
        return 0.0 + self.sign * block.margin  # never -0.0

    def judge(self, block: ComparingBlock, evidence: Evidence) -> CheckResult:
        """Judge the paired difference."""
        words: dict[Outcome, str] = {"PASS": self.passed, "FAIL": self.failed, "UNDECIDED": "not settled"}
        return _compare(block, evidence, self.threshold(block), words)


def _compare(block: ComparingBlock, evidence: Evidence, threshold: float, words: dict[Outcome, str]) -> CheckResult:
    """Candidate minus reference against a threshold; where lower is better, reference minus candidate."""
    pair, note = reference_of(block, evidence)
    if pair is None:
        return not_measured(block, f"there is no evidence against the {block.against}")
    interval, spread = improvement(pair, evidence, block.confidence), paired_spread(pair, evidence.scale)
    if interval.value is None or interval.low is None or spread is None:
        return not_measured(block, f"{items_of(interval)} is too little, or too much alike, for an interval")
    outcome = side_of(interval.low, interval.high, threshold)
    silent = unanswered(pair, evidence) if outcome == "PASS" else 0
    if silent:
        worst = improvement(counted_as_lost(pair, silent, evidence), evidence, block.confidence)
        outcome = side_of(worst.low, interval.high, threshold)
    found, needed = power(spread, interval.value, threshold, block.confidence)
    needed = None if outcome != "UNDECIDED" or silent else needed
    told = _silence(silent, outcome) if silent else f"; about {needed} items would settle it" if needed else ""
    seen = difference(interval, evidence.higher_is_better)
    return CheckResult(
        check=block.id,
        outcome=outcome,
        reason=f"{words[outcome]}: {seen} against the {pair.reference}{note}; "
        f"the threshold is {100 * threshold:+z.1f} points{told}",
        interval=interval,
        threshold=threshold,
        detectable=found,
        items_to_settle=needed,
    )


def improvement(pair: PairedStatistics, evidence: Evidence, confidence: float) -> Interval:
    """How much better the candidate is, whichever way its score points."""
    interval = paired_interval(pair, evidence.scale, confidence)
    return interval if evidence.higher_is_better else turned(interval)


def reference_of(block: ComparingBlock, evidence: Evidence) -> tuple[PairedStatistics | None, str]:
    """The paired statistics asked for. A route without a champion is compared with the base, and the reason says so.

    A champion that was examined but can't be compared is no reason to fall back: the pair is then missing.
    """
    pairs = {pair.reference: pair for pair in evidence.pairs}
    if block.against == "champion" and "champion" not in {*pairs, *(arm.arm for arm in evidence.arms)}:
        return pairs.get("base"), " (the route has no champion yet)"
    return pairs.get(block.against), ""


def unanswered(pair: PairedStatistics, evidence: Evidence) -> int:
    """Items that the reference answered and the candidate did not."""
    answered = [measured_items(arm) for arm in evidence.arms if arm.arm == pair.reference]
    return max(0, max(answered, default=evidence.n) - sum(c.n for c in pair.clusters))


def counted_as_lost(pair: PairedStatistics, items: int, evidence: Evidence) -> PairedStatistics:
    """The pair with that many more items, each lost by a whole point of the scale from 0 to 1."""
    answered = [[n for n, _, _ in arm.clusters] for arm in evidence.arms if arm.arm == pair.reference]
    own, further = silent_in([c.n for c in pair.clusters], answered, items)
    told = (*zip(pair.clusters, own, strict=True), *((EMPTY, n) for n in further))
    return pair.model_copy(update={"clusters": tuple(_lost(c, n, evidence.higher_is_better) for c, n in told)})


def difference(interval: Interval, higher_is_better: bool) -> str:
    """`+12.3 points, one-sided 95 % bounds +8.1 to +16.4, n=130 in 65 clusters`."""
    if interval.value is None or interval.low is None or interval.high is None:
        return f"not measured, {items_of(interval)}"
    better = "" if higher_is_better else " better (lower is better)"
    return (
        f"{100 * interval.value:+z.1f} points{better}, one-sided {100 * interval.confidence:g} % bounds "
        f"{100 * interval.low:+z.1f} to {100 * interval.high:+z.1f}, {items_of(interval)}"
    )


def _lost(cluster: Cluster, items: int, higher_is_better: bool) -> Cluster:
    sums = ("reference", "reference_sq") if higher_is_better else ("candidate", "candidate_sq")
    return cluster.model_copy(update={name: getattr(cluster, name) + items for name in ("n", *sums)})


def _silence(silent: int, outcome: Outcome) -> str:
    told = "it holds even if they count as lost" if outcome == "PASS" else "if they count as lost it is not settled"
    return f"; {silent} items have a score on the reference and none on the candidate: {told}"
