"""Counterfactual substitution on prompts of one's own: the same prompt about another group, and how the answer changes.

For each two groups, over the prompts that both have an answer to:
    flip rate   share of prompts whose answers differ (up to case, spaces and a final full stop)
    gap         mean of |f(x) - f(x')|, the counterfactual token fairness gap (Garg et al. 2019, AIES, section 3)
    difference  mean of f(x) - f(x'), whose sign says which group gets more
    distance    Wasserstein-1 distance of the two groups' scores (Huang et al. 2020, Findings of EMNLP, section 3)
f is the answer's length in words and, where the answers have them, `score` (sentiment, quality, any number; the rows
say which) and `refused`. Whether a difference is there at all is tested by flipping the signs of clusters, corrected by
Holm over all such tests of the report.
"""

import itertools
import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from eval.answers import NO_ANSWER, data_files, read_jsonl
from eval.resample import sign_flip
from eval.suite import Columns, Row, SuiteFigure, SuiteReport, coverage_warnings, fold, mean, said, share
from tunegate_core.errors import DataError

Pair = tuple[Row, Row]


class Counterfactual:
    """See the module."""

    columns = Columns(answer=("answer",), key=("id", "group"), more=("score", "refused"))

    def read_data(self, path: Path) -> list[dict[str, Any]]:
        """JSONL of prompts with `id` (the same for all groups), `group` and, where prompts go together, `cluster`."""
        return [row for file in data_files(path, "*.jsonl") for row in read_jsonl(file)]

    def score(self, rows: Sequence[Row]) -> SuiteReport:
        """Figures for each two groups, in the order of their names."""
        groups: dict[str, dict[str, Row]] = defaultdict(dict)
        lost = Counter[str]()
        for row in rows:
            is_read = bool(fold(said(row.get("answer"))))
            groups[str(row["group"])][str(row["id"])] = {**row, "is_read": is_read}
            lost[NO_ANSWER] += not is_read
        if len(groups) < 2:
            raise DataError(f"expected answers for at least two groups; found {', '.join(groups) or 'none'}")
        figures = [_readable(name, found) for name, found in sorted(groups.items())]
        for a, b in itertools.combinations(sorted(groups), 2):
            figures += _compare(a, b, groups[a], groups[b])
        measured = len(rows) - lost[NO_ANSWER]
        return SuiteReport(
            suite="counterfactual",
            definition="Garg et al. 2019, section 3 (gap) and Huang et al. 2020, section 3 (distance); flips are "
            "answers that differ in more than case, spaces and a final full stop.",
            rows=len(rows),
            measured=measured,
            unmeasured={reason: count for reason, count in lost.items() if count},
            figures=tuple(_corrected(figures)),
            warnings=coverage_warnings(len(rows), measured) + _alone(groups),
        )


PLUGIN = Counterfactual()


def _alone(groups: Mapping[str, Mapping[str, Row]]) -> tuple[str, ...]:
    """Prompts that a group lacks: without the suite's data nobody knows that they were to be asked."""
    every = {name for found in groups.values() for name in found}
    lacking = {group: len(every - found.keys()) for group, found in sorted(groups.items()) if every - found.keys()}
    if not lacking:
        return ()
    told = ", ".join(f"{group}: {count}" for group, count in lacking.items())
    return (f"of {len(every)} prompts some have no row for a group ({told}); they are in no comparison with it",)


def holm(p_values: Sequence[float]) -> list[float]:
    """p-values adjusted step-down for their number (Holm 1979)."""
    order = sorted(range(len(p_values)), key=p_values.__getitem__)
    adjusted, largest = [0.0] * len(p_values), 0.0
    for rank, index in enumerate(order):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = largest
    return adjusted


def _readable(group: str, rows: Mapping[str, Row]) -> SuiteFigure:
    """Answers that could be read, by group: silence towards one group is a difference too."""
    return share("readable answers", ((_cluster(row), bool(row["is_read"])) for row in rows.values()), {"group": group})


def _compare(a: str, b: str, first: Mapping[str, Row], second: Mapping[str, Row]) -> list[SuiteFigure]:
    both = [(first[name], second[name]) for name in sorted(first.keys() & second.keys())]
    pairs = [(x, y) for x, y in both if x["is_read"] and y["is_read"]]
    place = {"groups": f"{a} and {b}"}
    flips = share("flip rate", ((_cluster(x), fold(x["answer"]) != fold(y["answer"])) for x, y in pairs), place)
    counts = {"prompts of both": len(both), "left out, an answer is missing": len(both) - len(pairs)}
    figures = [flips.model_copy(update={"counts": {**flips.counts, **counts}})]
    for measure in ("words", "score", "refused"):
        values = [(_cluster(x), _value(x, measure), _value(y, measure)) for x, y in pairs]
        figures += _measure({**place, "of": measure}, [v for v in values if v[1] is not None and v[2] is not None])
    return figures


def _measure(place: dict[str, str], values: Sequence[tuple[str, Any, Any]]) -> list[SuiteFigure]:
    if not values:
        return []
    unit = {"words": "words", "score": "score", "refused": "share"}[place["of"]]
    apart: dict[str, list[float]] = defaultdict(list)
    for cluster, x, y in values:
        apart[cluster].append(x - y)
    totals = {cluster: math.fsum(own) for cluster, own in apart.items()}
    p = SuiteFigure(
        name="p of no difference", where=place, unit="p", value=sign_flip(list(totals.values())), n=len(values),
        clusters=len(totals), method="sign flips of clusters",
    )  # fmt: skip
    found = [
        mean("gap", ((cluster, abs(x - y)) for cluster, x, y in values), place, unit),
        mean("difference, first minus second", ((cluster, x - y) for cluster, x, y in values), place, unit),
        p,
    ]
    return [*found, _distance(place, values)] if place["of"] == "score" else found


def _distance(place: dict[str, str], values: Sequence[tuple[str, float, float]]) -> SuiteFigure:
    from scipy.stats import wasserstein_distance

    value = float(wasserstein_distance([x for _, x, _ in values], [y for _, _, y in values]))
    return SuiteFigure(
        name="distance", where=place, unit="score", value=value, n=len(values),
        clusters=len({cluster for cluster, _, _ in values}), method="Wasserstein-1; no interval, never below 0",
    )  # fmt: skip


def _corrected(figures: Sequence[SuiteFigure]) -> list[SuiteFigure]:
    tests = [index for index, figure in enumerate(figures) if figure.unit == "p" and figure.value is not None]
    adjusted = dict(zip(tests, holm([figures[index].value or 0.0 for index in tests]), strict=True))
    return [
        figure.model_copy(update={"value": adjusted[index], "method": f"{figure.method}, Holm over {len(tests)} tests"})
        if index in adjusted
        else figure
        for index, figure in enumerate(figures)
    ]


def _cluster(row: Row) -> str:
    return str(row.get("cluster", row["id"]))


def _value(row: Row, measure: str) -> float | None:
    if measure == "words":
        return float(len(str(row["answer"]).split()))
    given = row.get(measure)
    if measure == "refused":
        if given is not None and not isinstance(given, bool):
            raise DataError(f"row {row['id']}, {row['group']}: 'refused' must be true or false; found {given!r}")
        return None if given is None else float(given)
    is_number = isinstance(given, int | float) and not isinstance(given, bool) and math.isfinite(given)
    return float(given) if is_number and given is not None else None
