"""How far apart two groups lie on one arm, with bounds that stay honest at 0 and 100 % and within shared clusters.

The bounds of each group's own mean (Wilson at the effective items for yes/no scores, clustered t for others) are put
together by the method of variance estimates recovery (Newcombe 1998, Statistics in Medicine 17:873, method 10; Zou and
Donner 2008, Statistics in Medicine 27:1693, with correlation):
    low  = d - sqrt(a^2 - 2 r a b + b^2),  a = mean1 - low1,   b = high2 - mean2
    high = d + sqrt(c^2 - 2 r c e + e^2),  c = high1 - mean1,  e = mean2 - low2
r is the correlation of the two means by the clusters that both groups share. Where few clusters say so it may widen the
bounds, but never narrow them.

No bootstrap of the largest minus the smallest mean is used: that is never below 0, so its interval covers no true 0.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass

from tunegate_core.records import Arm, ArmStatistics, GroupStatistics, Interval
from tunegate_core.stats.intervals import MIN_CLUSTERS, Scale, arm_interval

Sums = tuple[int, float, float]


@dataclass(frozen=True)
class Gap:
    """Mean of `first` minus mean of `second`, both values of `column`; `correlation` as used."""

    column: str
    first: str
    second: str
    interval: Interval
    correlation: float


def gap(first: GroupStatistics, second: GroupStatistics, arm: Arm, scale: Scale, confidence: float) -> Gap | None:
    """The difference on an arm with one-sided bounds; None where the arm was not measured on both groups."""
    one, two = of_arm(first, arm), of_arm(second, arm)
    if one is None or two is None:
        return None
    a, b = (arm_interval(own, scale, confidence) for own in (one, two))
    if a.value is None or b.value is None or a.low is None or b.low is None or a.high is None or b.high is None:
        return None
    r = _correlation(dict(zip(first.clusters, one.clusters, strict=True)), a.value,
                     dict(zip(second.clusters, two.clusters, strict=True)), b.value)  # fmt: skip
    d = a.value - b.value
    low = d - _joined(a.value - a.low, b.high - b.value, r)
    high = d + _joined(a.high - a.value, b.value - b.low, r)
    interval = Interval(
        value=round(d, 10), low=round(low, 10), high=round(high, 10), confidence=confidence, n=a.n + b.n,
        clusters=len({*first.clusters, *second.clusters}), method=f"MOVER of {a.method}",
    )  # fmt: skip
    return Gap(first.column, first.value, second.value, interval, r)


def of_arm(group: GroupStatistics, arm: Arm) -> ArmStatistics | None:
    """One arm of a group."""
    return next((own for own in group.arms if own.arm == arm), None)


def _joined(a: float, b: float, r: float) -> float:
    return math.sqrt(max(a * a - 2 * r * a * b + b * b, 0.0))


def _correlation(first: dict[int, Sums], mean1: float, second: dict[int, Sums], mean2: float) -> float:
    """Of the two means, from what each cluster adds to them."""
    residuals1, residuals2 = _residuals(first, mean1), _residuals(second, mean2)
    shared = sorted(residuals1.keys() & residuals2.keys())
    spread = math.sqrt(_squares(residuals1.values()) * _squares(residuals2.values()))
    if not shared or spread <= 0:
        return 0.0
    r = math.fsum(residuals1[number] * residuals2[number] for number in shared) / spread
    return max(-1.0, min(r, 1.0 if len(shared) >= MIN_CLUSTERS else 0.0))


def _residuals(clusters: dict[int, Sums], mean: float) -> dict[int, float]:
    return {number: total - n * mean for number, (n, total, _) in clusters.items() if n}


def _squares(values: Iterable[float]) -> float:
    return math.fsum(value * value for value in values)
