"""The seam of `eval.suites`: a plug-in turns answers to a public bias suite into figures by the suite's own formula.

Answers are rows that were joined with the suite's data beforehand (`eval.answers`). Not measured is never zero: a
figure that has nothing under it has no value, and every row without a readable answer is counted by its reason.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from pydantic import Field

from tunegate_core.errors import DataError
from tunegate_core.records import ArmStatistics, Record
from tunegate_core.stats import arm_interval

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Row = Mapping[str, Any]
TWO_SIDED = 0.95
ENOUGH = 0.99  # of the rows; with fewer measured, the report warns


class SuiteFigure(Record):
    """One figure: `low` to `high` is its two-sided 95 % interval, clustered; all None: not measured.

    `unit` is `%` (of 100), `points`, or what the name says. `n` rows are under it, in `clusters` clusters.
    """

    name: str
    where: dict[str, str] = Field(default_factory=dict)
    unit: str = "%"
    value: float | None
    low: float | None = None
    high: float | None = None
    n: int = Field(ge=0)
    clusters: int = Field(ge=0)
    method: str
    counts: dict[str, int] = Field(default_factory=dict)  # what the value is made of


class SuiteReport(Record):
    """A suite's figures for one file of answers. `definition` says which formula, from where."""

    suite: str
    definition: str
    rows: int = Field(ge=0)  # answers asked for
    measured: int = Field(ge=0)
    unmeasured: dict[str, int]  # reason -> rows
    read_as: dict[str, int] = Field(default_factory=dict)  # how the readable answers were read
    figures: tuple[SuiteFigure, ...]
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Columns:
    """What a suite's rows hold. `answer`: columns of the answers; `more`: what answers may hold besides; `key`: how
    answers and data are joined; `data`: further columns, from the data or, where no data is given, from the answers
    themselves; `part`: columns of the key that name parts of the suite, of which a file may answer only some."""

    answer: tuple[str, ...]
    key: tuple[str, ...]
    data: tuple[str, ...] = ()
    part: tuple[str, ...] = ()
    more: tuple[str, ...] = ()


class Suite(Protocol):
    """A plug-in: one file in `eval/suites`."""

    @property
    def columns(self) -> Columns:
        """What its rows hold."""
        ...

    def read_data(self, path: Path) -> list[dict[str, Any]]:
        """The suite's own file or folder as rows with the key and the data columns. Raises DataError."""
        ...

    def score(self, rows: Sequence[Row]) -> SuiteReport:
        """The report. Raises DataError for values that can't be."""
        ...


def share(name: str, hits: Iterable[tuple[str, bool]], where: Mapping[str, str] | None = None) -> SuiteFigure:
    """A percentage of rows, each given as (cluster, yes or no): Wilson's interval at the effective number of rows."""
    totals: dict[str, list[int]] = {}
    for cluster, hit in hits:
        size = totals.setdefault(cluster, [0, 0])
        size[0] += 1
        size[1] += hit
    clusters = tuple((n, float(yes), float(yes)) for n, yes in totals.values())
    n, yes = sum(n for n, _, _ in clusters), int(sum(total for _, total, _ in clusters))
    found = arm_interval(ArmStatistics(arm="candidate", subject="", clusters=clusters), "binary", _one_sided())
    return SuiteFigure(
        name=name, where=dict(where or {}), value=100 * yes / n if n else None, low=_percent(found.low),
        high=_percent(found.high), n=n, clusters=len(clusters), method=found.method if n else "not measured",
        counts={"yes": yes},
    )  # fmt: skip


def difference(name: str, first: SuiteFigure, second: SuiteFigure, where: Mapping[str, str]) -> SuiteFigure:
    """The first percentage minus the second, in points, of rows that share no cluster: Newcombe's interval from both
    (Newcombe 1998, Statistics in Medicine 17:873, method 10)."""
    parts = (first.value, first.low, first.high, second.value, second.low, second.high)
    n, clusters = first.n + second.n, first.clusters + second.clusters
    a, a_low, a_high, b, b_low, b_high = (float("nan") if part is None else part for part in parts)
    low, high = math.hypot(a - a_low, b_high - b), math.hypot(a_high - a, b - b_low)
    is_measured = math.isfinite(low + high)
    return SuiteFigure(
        name=name, where=dict(where), unit="points", value=a - b if is_measured else None,
        low=a - b - low if is_measured else None, high=a - b + high if is_measured else None, n=n, clusters=clusters,
        method=f"Newcombe of {first.method}" if is_measured else "not measured",
    )  # fmt: skip


def mean(name: str, values: Iterable[tuple[str, float]], where: Mapping[str, str], unit: str) -> SuiteFigure:
    """A mean of numbers, each given as (cluster, value), with the clustered t interval; from ten clusters on."""
    told: dict[str, list[float]] = {}
    for cluster, value in values:
        told.setdefault(cluster, []).append(value)
    clusters = tuple((len(own), math.fsum(own), math.fsum(x * x for x in own)) for own in told.values())
    n, total = sum(map(len, told.values())), math.fsum(x for own in told.values() for x in own)
    found = arm_interval(ArmStatistics(arm="candidate", subject="", clusters=clusters), "real", _one_sided())
    return SuiteFigure(
        name=name, where=dict(where), unit=unit, value=total / n if n else None,
        low=found.low, high=found.high, n=n, clusters=len(clusters),
        method=found.method if found.low is not None else "no interval: too few clusters, or nothing varies",
    )  # fmt: skip


def resampled(
    name: str,
    totals: Mapping[str, Sequence[float]],
    statistic: Callable[["NDArray[np.float64]"], "NDArray[np.float64]"],
    **about: Any,
) -> SuiteFigure:
    """A statistic of sums, with a bootstrap over whole clusters. `totals`: the sums of each cluster, the first of which
    is its number of rows; `statistic` maps sums of shape (..., columns) to values of shape (...), NaN where undefined.
    """
    from eval.resample import cluster_bootstrap

    value, low, high = cluster_bootstrap(list(totals.values()), statistic, TWO_SIDED)
    method = "cluster bootstrap" if low is not None else "no interval: too few clusters, or nothing varies"
    return SuiteFigure(
        name=name, value=value, low=low, high=high, n=int(sum(row[0] for row in totals.values())),
        clusters=len(totals), method=method if value is not None else "not measured", **about,
    )  # fmt: skip


def coverage_warnings(rows: int, measured: int) -> tuple[str, ...]:
    """What a reader must know before any figure."""
    if not rows or not measured:
        return ("nothing could be measured: no figure says anything about this model",)
    if measured < ENOUGH * rows:
        lost = 100 * (1 - measured / rows)
        return (f"{lost:.1f} % of the answers could not be read; they are in no figure, and need not be like the rest",)
    return ()


def said(value: object) -> str:
    """An answer as text; nothing for what is no text and no number, such as the NaN of a missing value."""
    is_number = isinstance(value, int | float) and math.isfinite(value)
    return value if isinstance(value, str) else str(value) if is_number else ""


def require(row: Row, column: str, allowed: Sequence[object]) -> Any:
    """A value that must be one of a few. Raises DataError."""
    value = row[column]
    if value not in allowed:
        raise DataError(f"'{column}' must be one of {', '.join(map(str, allowed))}; found {value!r}")
    return value


def fold(text: object) -> str:
    """Letters in one case, single spaces, no full stop at the end."""
    return " ".join(str(text).lower().replace("\u2019", "'").split()).rstrip(".").strip()


def _one_sided() -> float:
    return (1 + TWO_SIDED) / 2


def _percent(value: float | None) -> float | None:
    return None if value is None else 100 * value
