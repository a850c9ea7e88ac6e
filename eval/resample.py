"""Intervals and tests by resampling whole clusters, for what has no closed form. Seeded, so that they repeat.

The bootstrap draws clusters with replacement and takes percentiles (Efron and Tibshirani 1993, chapters 8 and 13). With
few clusters such intervals are somewhat too narrow; under ten there is none.
"""

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

DRAWS = 2000
MIN_CLUSTERS = 10
DEFINED = 0.95  # of the draws must give a value, else there is no interval
NOTHING = 1e-9
SEED = 20260101


def cluster_bootstrap(
    totals: Sequence[Sequence[float]],
    statistic: Callable[["NDArray[np.float64]"], "NDArray[np.float64]"],
    level: float,
) -> tuple[float | None, float | None, float | None]:
    """(value, low, high) of a statistic of sums; None where it is undefined or clusters are too few.

    `totals`: one row of sums a cluster; `statistic` maps (..., columns) to (...), NaN where undefined.
    """
    import numpy as np

    if not totals:
        return None, None, None
    sums = np.asarray(totals, dtype=np.float64)
    value = float(statistic(sums.sum(axis=0)))
    if not np.isfinite(value):
        return None, None, None
    if len(sums) < MIN_CLUSTERS:
        return value, None, None
    values = statistic(_drawn(len(sums)) @ sums)
    values = values[np.isfinite(values)]
    if len(values) < DEFINED * DRAWS:
        return value, None, None
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    # Where nothing varies the bootstrap knows nothing: no interval has zero width.
    return (value, float(low), float(high)) if high - low > NOTHING else (value, None, None)


@lru_cache(maxsize=8)
def _drawn(clusters: int) -> "NDArray[np.float64]":
    """(DRAWS, clusters): how often each draw takes each cluster."""
    import numpy as np

    taken = np.random.default_rng(SEED).integers(clusters, size=(DRAWS, clusters))
    return np.stack([np.bincount(row, minlength=clusters) for row in taken]).astype(np.float64)


def sign_flip(differences: Sequence[float]) -> float | None:
    """Two-sided p that the mean of paired differences (one a cluster) is zero, by flipping their signs at random: the
    approximate randomisation of Noreen 1989. None without a difference."""
    import numpy as np

    if not differences:
        return None
    values = np.asarray(differences, dtype=np.float64)
    signs = np.random.default_rng(SEED).integers(2, size=(DRAWS, len(values))) * 2.0 - 1.0
    seen = abs(values.sum())
    as_far = int((np.abs(signs @ values) >= seen - 1e-9 * max(1.0, seen)).sum())
    return (as_far + 1) / (DRAWS + 1)
