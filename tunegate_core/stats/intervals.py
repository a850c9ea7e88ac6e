"""Intervals from sufficient statistics, for scores paired by item and grouped in clusters.

`low` and `high` are one-sided bounds at `confidence` each; together they are a two-sided interval at
2 * confidence - 1. No interval has zero width: where nothing varies, the number of items still limits what is known.

Yes/no scores, two arms: Tango's score interval for the difference of paired proportions (Tango 1998, Statistics in
Medicine 17:891), on counts divided by the design effect (Rao and Scott 1992, Biometrics 48:577). The design effect is
the clustered variance of the mean difference (Miller 2024, arXiv 2411.00640, section 2.2) over the variance of
independent items, at least 1. It can't be told from a few clusters that differ from the rest: below 20 of them no
more items count than there are clusters. (Else items that go wrong together in rare clusters, which a small set may
miss, look independent, and a candidate at the margin passes up to seven times too often.)

Yes/no scores, one arm: Wilson's score interval (Wilson 1927) on the same effective number of items.

Other scores: the standard error at the effective number of items with Student's t at G - 1 degrees of freedom, from
10 clusters on.

With clusters of more than one item the quantile is Student's t at G - 1 degrees of freedom, otherwise the normal one.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Literal

from tunegate_core.records import ArmStatistics, Cluster, Interval, PairedStatistics

MIN_CLUSTERS = 10
MIN_DIFFERING = 20
Scale = Literal["binary", "real"]


@dataclass(frozen=True)
class Spread:
    """A clustered mean: `mean` over `n` items in `clusters`; `se` clustered; `effective` items that count as
    independent; `item_variance` the variance of one item's value."""

    n: int
    clusters: int
    mean: float
    se: float
    effective: float
    item_variance: float


def paired_interval(pair: PairedStatistics, scale: Scale, confidence: float) -> Interval:
    """Candidate minus reference, in score units (-1 to 1 for yes/no scores)."""
    spread = paired_spread(pair)
    if spread is None:
        return _not_measured(confidence, sum(c.n for c in pair.clusters), len(pair.clusters))
    z = quantile(spread, confidence)
    if scale == "real":
        return _student(spread, z, confidence)
    shrink = spread.effective / spread.n
    gain, loss = discordant(pair.clusters)
    low, high = tango(gain * shrink, loss * shrink, spread.effective, z)
    method = "Tango" if spread.effective == spread.n else "Tango at the effective number of items"
    return _interval(spread, low, high, confidence, method)


def arm_interval(arm: ArmStatistics, scale: Scale, confidence: float) -> Interval:
    """One arm's mean score."""
    spread = clustered([(n, total, square) for n, total, square in arm.clusters])
    if spread is None:
        return _not_measured(confidence, sum(int(n) for n, _, _ in arm.clusters), len(arm.clusters))
    z = quantile(spread, confidence)
    if scale == "real":
        return _student(spread, z, confidence)
    low, high = wilson(spread.mean, spread.effective, z)
    method = "Wilson" if spread.effective == spread.n else "Wilson at the effective number of items"
    return _interval(spread, low, high, confidence, method)


def paired_spread(pair: PairedStatistics) -> Spread | None:
    """The clustered mean of candidate minus reference."""
    return clustered(
        [(c.n, c.candidate - c.reference, c.candidate_sq + c.reference_sq - 2 * c.cross) for c in pair.clusters]
    )


def clustered(clusters: Sequence[tuple[float, float, float]]) -> Spread | None:
    """The clustered mean of (n, sum, sum of squares) per cluster; None with fewer than two clusters."""
    kept = [(n, total, square) for n, total, square in clusters if n > 0]
    n, groups = int(sum(item[0] for item in kept)), len(kept)
    if groups < 2:
        return None
    mean = math.fsum(total for _, total, _ in kept) / n
    squares = max(0.0, math.fsum(square for _, _, square in kept) - n * mean * mean)
    item_variance = squares / (n - 1)
    between = math.fsum((total - size * mean) ** 2 for size, total, _ in kept) * groups / (groups - 1)
    se = math.sqrt(max(between, 0.0)) / n
    # Where every item is its own cluster the two variances are the same number but for rounding.
    is_single = groups == n or item_variance <= 1e-12
    effective = n if is_single else n / max(1.0, se * se * n / item_variance)
    if _differing(kept) < MIN_DIFFERING:
        effective = min(effective, groups)
    return Spread(n, groups, mean, se, float(effective), item_variance)


def _differing(clusters: Sequence[tuple[float, float, float]]) -> int:
    """Clusters with an item unlike most items, where each item is 1, 0 or -1 (for other scores: is not 0)."""
    kinds = [((square + total) / 2, size - square, (square - total) / 2) for size, total, square in clusters]
    sums = [math.fsum(counts) for counts in zip(*kinds, strict=True)]
    usual = sums.index(max(sums))
    return sum(counts[usual] < size - 1e-9 for counts, (size, _, _) in zip(kinds, clusters, strict=True))


def discordant(clusters: Sequence[Cluster]) -> tuple[float, float]:
    """Items gained (candidate right, reference wrong) and lost, for yes/no scores."""
    both = math.fsum(c.cross for c in clusters)
    return math.fsum(c.candidate for c in clusters) - both, math.fsum(c.reference for c in clusters) - both


def tango(gain: float, loss: float, n: float, z: float) -> tuple[float, float]:
    """Tango's score interval for p(gain) - p(loss); `z` is the normal or t quantile of each bound."""

    def score(delta: float) -> float:
        linear = -gain - loss + (2 * n - gain + loss) * delta
        constant = -loss * delta * (1 - delta)
        q = (math.sqrt(max(linear * linear - 8 * n * constant, 0.0)) - linear) / (4 * n)
        variance = n * (2 * q + delta * (1 - delta))
        return (gain - loss - n * delta) / math.sqrt(max(variance, 1e-300))

    estimate = (gain - loss) / n
    return _root(score, -1.0, estimate, z), _root(score, estimate, 1.0, -z)


def wilson(share: float, n: float, z: float) -> tuple[float, float]:
    """Wilson's score interval for a share of n items."""
    centre = share + z * z / (2 * n)
    half = z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return max(0.0, (centre - half) / (1 + z * z / n)), min(1.0, (centre + half) / (1 + z * z / n))


def mcnemar_midp(gain: int, loss: int) -> float:
    """Two-sided mid-p of McNemar's test (Fagerland, Lydersen and Laake 2013, BMC Med Res Methodol 13:91)."""
    discordant_items = gain + loss
    if discordant_items == 0:
        return 1.0
    tail = [math.comb(discordant_items, k) for k in range(min(gain, loss) + 1)]
    point = tail[-1]
    return min(1.0, float((2 * sum(tail) - point) / 2**discordant_items))


def quantile(spread: Spread, confidence: float) -> float:
    """Student's t at G - 1 degrees of freedom where clusters hold several items, else the normal quantile."""
    if spread.clusters == spread.n:
        return NormalDist().inv_cdf(confidence)
    from scipy.special import stdtrit

    return float(stdtrit(spread.clusters - 1, confidence))


def _student(spread: Spread, t: float, confidence: float) -> Interval:
    if spread.clusters < MIN_CLUSTERS or spread.item_variance <= 1e-12:
        return _not_measured(confidence, spread.n, spread.clusters)
    half = t * math.sqrt(spread.item_variance / spread.effective)
    return _interval(spread, spread.mean - half, spread.mean + half, confidence, "clustered t")


def _interval(spread: Spread, low: float, high: float, confidence: float, method: str) -> Interval:
    return Interval(
        value=_rounded(spread.mean), low=_rounded(low), high=_rounded(high), confidence=confidence, n=spread.n,
        clusters=spread.clusters, method=method,
    )  # fmt: skip


def _not_measured(confidence: float, n: float, clusters: int) -> Interval:
    return Interval(
        value=None, low=None, high=None, confidence=confidence, n=int(n), clusters=clusters, method="not measured"
    )


def _rounded(value: float) -> float:
    """Ten decimals: far below any margin, and the same on every machine."""
    return round(value, 10)


def _root(score: Callable[[float], float], low: float, high: float, target: float) -> float:
    """Where the falling function `score` takes the value `target`, by bisection to 1e-12."""
    while high - low > 1e-12:
        middle = (low + high) / 2
        if score(middle) > target:
            low = middle
        else:
            high = middle
    return (low + high) / 2
