"""How far a judge agrees with people: the share of equal labels, and Cohen's kappa, which takes chance out of it.

Kappa = (p_o - p_e) / (1 - p_e), with p_o the share of equal labels and p_e the share that independent raters with
those habits would reach (Cohen 1960, Educational and Psychological Measurement 20:37); for grades with quadratic
weights (Cohen 1968, Psychological Bulletin 70:213). Undefined where both use one label only.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Agreement:
    """`n` labels that both gave, `missing` that the judge did not; None: undefined."""

    n: int
    missing: int
    share: float | None
    kappa: float | None

    def figures(self) -> dict[str, float]:
        """For a line of progress."""
        known = {"labels": self.n, "labels_missing": self.missing, "agreement": self.share, "kappa": self.kappa}
        return {name: float(value) for name, value in known.items() if value is not None}

    def __str__(self) -> str:
        """For a reason."""
        share, kappa = ("undefined" if value is None else f"{value:.2f}" for value in (self.share, self.kappa))
        return f"kappa {kappa}, equal {share}, n={self.n}, missing {self.missing}"


def agreement(human: Sequence[int], judged: Sequence[int | None], categories: int, *, is_ordered: bool) -> Agreement:
    """Agreement of two raters over categories 0, 1, ...; what the judge gave nothing for is left out and counted."""
    pairs = [(ours, theirs) for ours, theirs in zip(human, judged, strict=True) if theirs is not None]
    missing = len(human) - len(pairs)
    if not pairs:
        return Agreement(0, missing, None, None)
    share = sum(ours == theirs for ours, theirs in pairs) / len(pairs)
    return Agreement(len(pairs), missing, share, _kappa(pairs, categories, is_ordered))


def _kappa(pairs: Sequence[tuple[int, int]], categories: int, is_ordered: bool) -> float | None:
    def distance(one: int, other: int) -> float:
        return ((one - other) / (categories - 1)) ** 2 if is_ordered else float(one != other)

    ours, theirs = Counter(one for one, _ in pairs), Counter(other for _, other in pairs)
    seen = sum(distance(one, other) for one, other in pairs) / len(pairs)
    chance = sum(m * n * distance(one, other) for one, m in ours.items() for other, n in theirs.items())
    return None if chance == 0 else 1 - seen * len(pairs) ** 2 / chance
