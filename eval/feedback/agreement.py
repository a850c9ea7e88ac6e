"""How far annotators agree, beyond what chance would do, and who can't be told from chance.

- Krippendorff's alpha (Krippendorff 2011, "Computing Krippendorff's Alpha-Reliability"): any number of annotators, gaps
  allowed. Its interval is a bootstrap over units.
- Cohen's kappa (Cohen 1960) for each two annotators, with its asymptotic interval.
- Fleiss' kappa (Fleiss 1971) over the units with the most common number of labels.
- Raw agreement: the share of pairs of labels on one unit that are equal. Where nearly all labels are the same, alpha
  and kappa are near 0 although people agree; read both.

Nothing is 0 because it could not be computed: then there is no figure, and a reason.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Sequence
from itertools import combinations
from statistics import NormalDist
from typing import Any

from pydantic import Field

from eval.feedback.annotators import Annotator, annotators
from eval.feedback.units import Label, Level
from tunegate_core.records import Interval, Record

RESAMPLES = 1000
SEED = 17
CONFIDENCE = 0.95
SHOWN_PAIRS = 200
MIN_SHARED = 2
ROUNDING = 1e-12


class Measure(Record):
    """A coefficient with its interval, or the reason why there is none."""

    interval: Interval | None = None
    why: str | None = None
    labels: int | None = None  # Fleiss: labels of each unit used


class PairKappa(Record):
    """Cohen's kappa of two annotators."""

    first: str
    second: str
    measure: Measure


class Agreement(Record):
    """`units` with a label, `shared` by two or more; `raw`: share of equal pairs of labels on one unit."""

    question: str
    level: Level
    labels: int = Field(ge=0)
    units: int = Field(ge=0)
    shared: int = Field(ge=0)
    raw: float | None
    alpha: Measure
    fleiss: Measure
    cohen: tuple[PairKappa, ...]
    annotators: tuple[Annotator, ...]


def agreement(question: str, level: Level, labels: Sequence[Label]) -> Agreement:
    """Everything about one question. An author's last label of a unit counts."""
    table = by_unit(labels)
    shared = {unit: told for unit, told in table.items() if len(told) > 1}
    pairs = [a == b for told in shared.values() for a, b in combinations(told.values(), 2)]
    return Agreement(
        question=question,
        level=level,
        labels=sum(len(told) for told in table.values()),
        units=len(table),
        shared=len(shared),
        raw=sum(pairs) / len(pairs) if pairs else None,
        alpha=alpha(shared, level),
        fleiss=fleiss(shared),
        cohen=cohen(shared),
        annotators=annotators(table),
    )


def by_unit(labels: Sequence[Label]) -> dict[str, dict[str, int]]:
    """unit -> author -> label, both by name: what is drawn must not hang on who said something first."""
    table: dict[str, dict[str, int]] = defaultdict(dict)
    for label in labels:
        table[label.unit][label.author] = label.value
    return {unit: dict(sorted(told.items())) for unit, told in sorted(table.items())}


def alpha(shared: dict[str, dict[str, int]], level: Level) -> Measure:
    """Krippendorff's alpha over units that two or more labelled."""
    if not shared:
        return Measure(why="no unit was labelled by two annotators")
    counts, values = _counts(shared)
    if len(values) < 2:
        return Measure(why="every label is the same, so chance alone would agree as well")
    found = _alpha(counts, values, level)
    low, high = _resampled(counts, level)
    n = sum(len(told) for told in shared.values())
    return Measure(interval=_interval(found, low, high, n, len(shared), "krippendorff, bootstrap over units"))


def fleiss(shared: dict[str, dict[str, int]]) -> Measure:
    """Fleiss' kappa over the units with the most common number of labels; it needs the same number of each."""
    if not shared:
        return Measure(why="no unit was labelled by two annotators")
    from statsmodels.stats.inter_rater import fleiss_kappa

    many = Counter(len(told) for told in shared.values())
    size = max(many, key=lambda labels: (many[labels], labels))
    counts, values = _counts({unit: told for unit, told in shared.items() if len(told) == size})
    if len(values) < 2:
        return Measure(why="every label is the same, so chance alone would agree as well")
    return Measure(
        interval=_interval(float(fleiss_kappa(counts)), None, None, size * many[size], many[size], "fleiss"),
        labels=size,
    )


def cohen(shared: dict[str, dict[str, int]]) -> tuple[PairKappa, ...]:
    """Cohen's kappa of every two annotators who share units; the first `SHOWN_PAIRS` by what they share."""
    tables: dict[tuple[str, str], list[tuple[int, int]]] = defaultdict(list)
    for told in shared.values():
        for first, second in combinations(sorted(told), 2):
            tables[first, second].append((told[first], told[second]))
    ordered = sorted(tables.items(), key=lambda entry: (-len(entry[1]), entry[0]))[:SHOWN_PAIRS]
    return tuple(PairKappa(first=a, second=b, measure=_cohen(both)) for (a, b), both in ordered)


def _cohen(both: Sequence[tuple[int, int]]) -> Measure:
    import numpy as np
    from statsmodels.stats.inter_rater import cohens_kappa

    values = sorted({value for pair in both for value in pair})
    if len(both) < MIN_SHARED:
        return Measure(why=f"they share {len(both)} unit; at least {MIN_SHARED} are needed")
    if len(values) < 2:
        return Measure(why="both said the same one thing throughout, so chance alone would agree as well")
    seen = Counter(both)
    with np.errstate(invalid="ignore"):  # the variance of perfect agreement may be rounded below 0
        found = cohens_kappa([[seen[a, b] for b in values] for a in values])
    kappa, variance = float(found.kappa), float(found.var_kappa)
    spread = NormalDist().inv_cdf(CONFIDENCE) * math.sqrt(max(variance, 0.0))
    low, high = (kappa - spread, min(1.0, kappa + spread)) if variance > ROUNDING else (None, None)
    return Measure(interval=_interval(kappa, low, high, len(both), len(both), "cohen"))


def _counts(shared: dict[str, dict[str, int]]) -> tuple[Any, list[int]]:
    """A table of units by values, and the values."""
    import numpy as np

    values = sorted({value for told in shared.values() for value in told.values()})
    place = {value: column for column, value in enumerate(values)}
    counts = np.zeros((len(shared), len(values)), dtype=int)
    for row, told in enumerate(shared.values()):
        for value in told.values():
            counts[row, place[value]] += 1
    return counts, values


def _alpha(counts: Any, values: list[int], level: Level) -> float:
    import krippendorff

    return float(krippendorff.alpha(value_counts=counts, value_domain=values, level_of_measurement=level))


def _resampled(counts: Any, level: Level) -> tuple[float | None, float | None]:
    """Percentile bounds; a resample in which every label is the same says nothing and is left out."""
    import numpy as np

    if len(counts) < MIN_SHARED:
        return None, None
    sizes = counts.sum(axis=1)
    pairs = counts[:, :, None] * counts[:, None, :] - np.eye(counts.shape[1], dtype=int) * counts[:, :, None]
    coincidences = pairs / (sizes - 1)[:, None, None]
    draws = np.random.default_rng(SEED).multinomial(len(counts), [1 / len(counts)] * len(counts), size=RESAMPLES)
    found = [alpha_of(matrix, level) for matrix in np.tensordot(draws, coincidences, axes=1)]
    known = [value for value in found if value is not None]
    if len(known) < RESAMPLES // 2:
        return None, None
    low, high = np.quantile(known, [1 - CONFIDENCE, CONFIDENCE])
    return float(low), float(high)


def alpha_of(coincidences: Any, level: Level) -> float | None:
    """Alpha of a matrix of coincidences (Krippendorff 2011, part D); the library's own, but quick to repeat."""
    import numpy as np

    totals = coincidences.sum(axis=0)
    n = totals.sum()
    if (totals > 0).sum() < 2:
        return None
    reach = np.cumsum(totals) - totals / 2  # the middle of each value's rank: their differences are ordinal distances
    distance = (reach[:, None] - reach[None, :]) ** 2 if level == "ordinal" else 1 - np.eye(len(totals))
    expected = (np.outer(totals, totals) * distance).sum() / (n - 1)
    return float(1 - (coincidences * distance).sum() / expected)


def _interval(value: float, low: float | None, high: float | None, n: int, units: int, method: str) -> Interval:
    return Interval(value=value, low=low, high=high, confidence=CONFIDENCE, n=n, clusters=units, method=method)
