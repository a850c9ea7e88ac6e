"""Is one arm worse than another? Tests that may be looked at after every block, at one promised error rate.

Values of two arms come mixed, one per unit, and are cut into blocks by their number alone. In a block all that is used
is which of its values are the suspect's, given the values and how many are its own. Where the arms are no different,
every such choice is equally likely, whatever the values are and however they drift from block to block. A weight on the
choice, exp(tilt * sum of its scores), over its mean over all choices is then an e-value of mean 1; the product over
blocks is a martingale; so is the average over several tilts (Robbins 1970, Annals of Mathematical Statistics 41:1397);
and it ever reaches 1/alpha with probability at most alpha (Ville 1939). So one may stop on it after any block.

Yes/no values: with scores 0 and 1 it is Fisher's noncentral hypergeometric likelihood over the central one. That is the
anytime-valid logrank test with ties (ter Schure, Perez-Ortiz, Ly and Grunwald 2024, New England Journal of Statistics
in Data Science 2:190), and a sequential Mantel-Haenszel comparison. Other values: Wilcoxon's ranks within the block
(van Elteren 1960) for a shift, and which value is the largest for a heavy tail; ties are broken in every order at once.

Validity by the choice alone: Zampieri 2025, arXiv 2512.04366. All logarithms are natural. Formulas: docs/canary.md.
"""

import itertools
import math
from collections.abc import Iterable, Sequence
from functools import lru_cache

BLOCK = 20  # values of both arms: 1/20 of what their comparison can tell is lost, and nothing is seen sooner
STEP = math.log(2) / 4
MOST_STEPS = 28  # odds up to 128 times those of the null hypothesis
TILTS = (0.15, 0.3, 0.6, 1.2, 2.4)  # of ranks scaled to variance 1
TOP_TILTS = (math.log(2), math.log(8))


class RateTest:
    """Are the suspect's odds of a bad value more than `allowed` times the reference's?"""

    def __init__(self, allowed: float = 1.0):
        self._tilts = tuple(math.log(allowed) + STEP * step for step in range(-MOST_STEPS, MOST_STEPS + 1))
        self._log_likelihood = [0.0] * len(self._tilts)

    def add(self, suspect: Sequence[bool], reference: Sequence[bool]) -> None:
        """A block: for every value of an arm, whether it is bad. A block of one arm tells nothing."""
        chosen, bad, size = len(suspect), sum(suspect), len(suspect) + len(reference)
        scores = (0.0,) * (size - bad - sum(reference)) + (1.0,) * (bad + sum(reference))
        for at, tilt in enumerate(self._tilts):
            self._log_likelihood[at] += tilt * bad - log_mean_weight(scores, chosen, tilt)

    @property
    def log_e(self) -> float:
        """The evidence against "no worse than allowed"."""
        return log_mean(self._log_likelihood[MOST_STEPS + 1 :]) - self._log_likelihood[MOST_STEPS]

    def odds_ratio(self, alpha: float) -> tuple[float | None, float | None]:
        """Bounds of the odds ratio that hold at all times together, with probability 1 - alpha; None: no bound.

        The ratios not refuted by the average over the whole grid (Howard, Ramdas, McAuliffe and Sekhon 2021, Annals of
        Statistics 49:1055, section 3), each bound moved outwards to the next point of the grid.
        """
        most = log_mean(self._log_likelihood) - math.log(1 / alpha)
        kept = [at for at, value in enumerate(self._log_likelihood) if value > most]
        low, high = kept[0] - 1, kept[-1] + 1
        return (
            math.exp(self._tilts[low]) if low >= 0 else None,
            math.exp(self._tilts[high]) if high < len(self._tilts) else None,
        )


class RankTest:
    """Are the suspect's values larger than the reference's, as a whole or at the top?"""

    def __init__(self) -> None:
        self._log_e = [0.0] * (len(TILTS) + len(TOP_TILTS))

    def add(self, suspect: Sequence[float], reference: Sequence[float]) -> None:
        """A block: the values of each arm. A block of one arm tells nothing."""
        size = len(suspect) + len(reference)
        if not suspect or not reference:
            return
        values = sorted([(value, 1) for value in suspect] + [(value, 0) for value in reference])
        tied = [[is_suspect for _, is_suspect in group] for _, group in itertools.groupby(values, lambda pair: pair[0])]
        for at, (scores, tilt) in enumerate(alternatives(size)):
            self._log_e[at] += _tied_weight(scores, tied, tilt) - log_mean_weight(scores, len(suspect), tilt)

    @property
    def log_e(self) -> float:
        """The evidence against "no larger"."""
        return log_mean(self._log_e)


@lru_cache(maxsize=65536)
def log_mean_weight(scores: tuple[float, ...], chosen: int, tilt: float) -> float:
    """log of the mean, over all choices of `chosen` of the scores, of exp(tilt * their sum).

    The sum over choices is the elementary symmetric polynomial of the weights, by the usual recursion.
    """
    sums = [1.0] + [0.0] * chosen
    for score in scores:
        weight = math.exp(tilt * score)
        for k in range(chosen, 0, -1):
            sums[k] += weight * sums[k - 1]
    return math.log(sums[chosen]) - math.log(math.comb(len(scores), chosen))


def log_mean(logs: Iterable[float]) -> float:
    """log of the mean of exp(logs)."""
    kept = list(logs)
    most = max(kept)
    return most + math.log(math.fsum(math.exp(value - most) for value in kept) / len(kept))


@lru_cache
def alternatives(size: int) -> tuple[tuple[tuple[float, ...], float], ...]:
    """What a block of ranks is weighed by: (scores of the values from the smallest on, tilt)."""
    shifts, tops = wilcoxon_scores(size), top_scores(size)
    return (*((shifts, tilt) for tilt in TILTS), *((tops, tilt) for tilt in TOP_TILTS))


def wilcoxon_scores(size: int) -> tuple[float, ...]:
    """Ranks with mean 0 and variance 1."""
    spread = math.sqrt((size * size - 1) / 12)
    return tuple((rank - (size - 1) / 2) / spread for rank in range(size))


def top_scores(size: int) -> tuple[float, ...]:
    """1 for the largest value."""
    return (0.0,) * (size - 1) + (1.0,)


def _tied_weight(scores: tuple[float, ...], tied: list[list[int]], tilt: float) -> float:
    """log of the suspect's weight, averaged over every order of tied values. `tied`: per value, lowest first, whose."""
    total, at = 0.0, 0
    for group in tied:
        inside = scores[at : at + len(group)]
        total += tilt * inside[0] * group[0] if len(group) == 1 else log_mean_weight(inside, sum(group), tilt)
        at += len(group)
    return total
