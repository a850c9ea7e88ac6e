"""Intervals and tests by resampling whole clusters, for what has no closed form. Seeded, so that they repeat; and what
is drawn is put in order first, so that neither the order of rows nor the names of clusters or groups change a figure.

The bootstrap draws clusters with replacement and takes percentiles (Efron and Tibshirani 1993, chapters 8 and 13). With
few clusters such intervals are somewhat too narrow; under ten there is none.
"""

import math
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
    sums = np.asarray(sorted(map(tuple, totals)), dtype=np.float64)
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
    values = np.sort(np.abs(np.asarray(differences, dtype=np.float64)))
    signs = np.random.default_rng(SEED).integers(2, size=(DRAWS, len(values))) * 2.0 - 1.0
    return _share(np.abs(signs @ values), abs(math.fsum(differences)))


def swapped(
    pairs: Sequence[tuple[Sequence[float], Sequence[float]]],
    statistic: Callable[["NDArray[np.float64]"], "NDArray[np.float64]"],
) -> float | None:
    """Two-sided p that two sides are alike, by swapping them at random, cluster by cluster, and taking the statistic of
    the sums again (Noreen 1989). `pairs`: the sums of each cluster on either side; `statistic` maps (..., columns of
    the first side, then of the second) to (...) and turns its sign with the sides. None where it is undefined."""
    import numpy as np

    if not pairs:
        return None
    found = np.asarray(sorted((*min(a, b), *max(a, b)) for a, b in ((tuple(a), tuple(b)) for a, b in pairs)))
    seen = float(statistic(np.asarray([(*a, *b) for a, b in pairs], dtype=np.float64).sum(axis=0)))
    width = found.shape[1] // 2
    first, second = found[:, :width], found[:, width:]
    kept = np.random.default_rng(SEED).integers(2, size=(DRAWS, len(found))).astype(np.float64)
    sums = np.concatenate([kept @ first + (1 - kept) @ second, kept @ second + (1 - kept) @ first], axis=-1)
    values = statistic(sums)
    values = values[np.isfinite(values)]
    return _share(np.abs(values), abs(seen)) if math.isfinite(seen) and len(values) else None


def _share(drawn: "NDArray[np.float64]", seen: float) -> float:
    return (int((drawn >= seen - 1e-9 * max(1.0, seen)).sum()) + 1) / (len(drawn) + 1)
