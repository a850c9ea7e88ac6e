"""Intervals from sufficient statistics, for scores paired by item and grouped in clusters.

`low` and `high` are one-sided bounds at `confidence` each; together they are a two-sided interval at
2 * confidence - 1. No interval has zero width: where nothing varies, the number of items still limits what is known.

Yes/no scores, two arms: Tango's score interval for the difference of paired proportions (Tango 1998, Statistics in
Medicine 17:891), on counts divided by the design effect (Rao and Scott 1992, Biometrics 48:577).

Yes/no scores, one arm: Wilson's score interval (Wilson 1927) on the same effective number of items.

Shares (scores from 0 to 1, such as a win rate with ties), one arm: Wilson's interval with Student's t, from 10 clusters
on, at as many yes/no items as vary like them. The variance of a share is at most that of a yes or no with the same mean
m, so n items of variance s^2 are worth n m (1 - m) / s^2 of those, and at least n (the constant dispersion of Papke and
Wooldridge 1996, Journal of Applied Econometrics 11:619). Near 0 and 1, where shares are skewed, a t interval is too
narrow on the side that matters: docs/statistics.md has both.

Other scores: the clustered standard error with Student's t, from 10 clusters on. Where all items give the same value
their spread can't be estimated, and there is no interval; of shares only where that value is neither 0 nor 1.

The design effect is the clustered variance of the mean (Liang and Zeger 1986, Biometrika 73:13; Miller 2024, arXiv
2411.00640, section 2.2) over that of independent items, at least 1. No estimate sees what did not happen: where few
clusters differ, chance decides whether a bad one is among them, and the estimate is smallest just when the difference
looks best. So yes/no scores take at least the variance that the largest cluster would add had it turned as a whole, but
no more than if the items of each cluster were alike, which leaves Kish's n^2 / sum(n_c^2) effective items. What this
rule was chosen by: docs/statistics.md.

Where clusters hold several items the quantile is Student's t with one degree of freedom less than Kish's effective
clusters (Carter, Schnepel and Steigerwald 2017, Review of Economics and Statistics 99:698).
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Literal

from tunegate_core.errors import IntegrityError
from tunegate_core.records import ArmStatistics, Cluster, Interval, PairedStatistics

MIN_CLUSTERS = 10
NOTHING = 1e-12  # variances below it are rounding
Scale = Literal["binary", "share", "real"]


@dataclass(frozen=True)
class Spread:
    """A clustered mean: `mean` over `n` items in `clusters`; `se` clustered; `effective` items that count as
    independent; `item_variance` the variance of one item's value; `kish`: clusters of equal size they are worth."""

    n: int
    clusters: int
    mean: float
    se: float
    effective: float
    item_variance: float
    kish: float

    @property
    def effect(self) -> float:
        """The design effect."""
        return self.n / self.effective


def paired_interval(pair: PairedStatistics, scale: Scale, confidence: float) -> Interval:
    """Candidate minus reference, in score units (-1 to 1 for yes/no scores)."""
    if scale == "binary":
        verify_table(pair)
    spread = paired_spread(pair, scale)
    if spread is None:
        return _not_measured(confidence, sum(c.n for c in pair.clusters), sum(c.n > 0 for c in pair.clusters))
    if scale != "binary":
        return _student(spread, confidence)
    shrink = spread.effective / spread.n
    gain, loss = discordant(pair.clusters)
    low, high = tango(gain * shrink, loss * shrink, spread.effective, quantile(spread, confidence))
    method = "Tango" if spread.effective == spread.n else "Tango at the effective number of items"
    return _interval(spread, low, high, confidence, method)


def arm_interval(arm: ArmStatistics, scale: Scale, confidence: float) -> Interval:
    """One arm's mean score."""
    if scale == "binary":
        verify_counts(arm)
    spread = arm_spread(arm, scale)
    if spread is None:
        return _not_measured(confidence, sum(n for n, _, _ in arm.clusters), sum(n > 0 for n, _, _ in arm.clusters))
    if scale != "binary":
        return (_share if scale == "share" else _student)(spread, confidence)
    low, high = wilson(spread.mean, spread.effective, quantile(spread, confidence))
    method = "Wilson" if spread.effective == spread.n else "Wilson at the effective number of items"
    return _interval(spread, low, high, confidence, method)


def paired_spread(pair: PairedStatistics, scale: Scale = "binary") -> Spread | None:
    """The clustered mean of candidate minus reference; None with fewer than two clusters."""
    differences = [
        (c.n, c.candidate - c.reference, c.candidate_sq + c.reference_sq - 2 * c.cross) for c in pair.clusters
    ]
    return clustered(differences, scale)


def arm_spread(arm: ArmStatistics, scale: Scale = "binary") -> Spread | None:
    """The clustered mean of one arm's scores; None with fewer than two clusters."""
    return clustered(arm.clusters, scale)


def clustered(clusters: Sequence[tuple[float, float, float]], scale: Scale) -> Spread | None:
    """The clustered mean of (n, sum, sum of squares) per cluster; None with fewer than two clusters."""
    kept = [(size, total, square) for size, total, square in clusters if size > 0]
    n, groups = int(sum(size for size, _, _ in kept)), len(kept)
    if groups < 2:
        return None
    mean = math.fsum(total for _, total, _ in kept) / n
    item_variance = max(0.0, math.fsum(square for _, _, square in kept) - n * mean * mean) / (n - 1)
    between = math.fsum((total - size * mean) ** 2 for size, total, _ in kept) * groups / (groups - 1) / (n * n)
    kish = n * n / math.fsum(size * size for size, _, _ in kept)
    # Where every item is its own cluster the two variances are the same number but for rounding.
    effect = 1.0 if groups == n else max(1.0, between * n / item_variance) if item_variance > NOTHING else n / kish
    if scale == "binary" and groups < n and item_variance > NOTHING:
        unseen = (max(size for size, _, _ in kept) / n) ** 2
        effect = max(effect, min(unseen * n / item_variance, n / kish))
    return Spread(n, groups, mean, math.sqrt(max(between, 0.0)), n / effect, item_variance, kish)


def verify_table(pair: PairedStatistics) -> PairedStatistics:
    """The pair if its sums can come from scores of 0 and 1. Raises IntegrityError."""
    for c in pair.clusters:
        is_binary = c.candidate_sq == c.candidate and c.reference_sq == c.reference
        is_table = 0 <= c.cross <= min(c.candidate, c.reference) and c.candidate + c.reference - c.cross <= c.n
        if not (is_binary and is_table):
            raise IntegrityError(
                "the evidence calls its scores yes/no, but these sums can't come from scores of 0 and 1"
            )
    return pair


def verify_counts(arm: ArmStatistics) -> ArmStatistics:
    """The arm if its sums can come from scores of 0 and 1. Raises IntegrityError."""
    if not all(square == total and 0 <= total <= n for n, total, square in arm.clusters):
        raise IntegrityError("the evidence calls its scores yes/no, but these sums can't come from scores of 0 and 1")
    return arm


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
    """The normal quantile for independent items of a score interval, else Student's t."""
    return NormalDist().inv_cdf(confidence) if spread.clusters == spread.n else student(spread, confidence)


def student(spread: Spread, confidence: float) -> float:
    """The quantile of Student's t at the effective clusters less one."""
    from scipy.special import stdtrit

    return float(stdtrit(max(spread.kish - 1, 1.0), confidence))


def _student(spread: Spread, confidence: float) -> Interval:
    if spread.clusters < MIN_CLUSTERS or spread.item_variance <= NOTHING:
        return _not_measured(confidence, spread.n, spread.clusters)
    half = student(spread, confidence) * math.sqrt(spread.item_variance / spread.effective)
    return _interval(spread, spread.mean - half, spread.mean + half, confidence, "clustered t")


def _share(spread: Spread, confidence: float) -> Interval:
    most = spread.mean * (1 - spread.mean)  # variance of a yes or no
    is_extreme = most <= NOTHING
    if spread.clusters < MIN_CLUSTERS or (spread.item_variance <= NOTHING and not is_extreme):
        return _not_measured(confidence, spread.n, spread.clusters)
    worth = 1.0 if is_extreme else max(1.0, most / spread.item_variance)
    low, high = wilson(spread.mean, spread.effective * worth, student(spread, confidence))
    return _interval(spread, low, high, confidence, "Wilson, of shares")


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
