"""Labels and decisions by group: demographic parity, equalised odds, four-fifths; for a scoring task of one's own.

The figures are Fairlearn's (0.15, `MetricFrame` and its disparity measures): selection rate P(decision), true and false
positive rate, by group; demographic parity difference (largest minus smallest selection rate) and ratio; equalised odds
difference (the larger of the differences of true and false positive rates) and ratio (the smaller); equal opportunity
difference (of true positive rates). Each rate has Wilson's interval, clustered; each two groups are compared by the
difference of their rates with its own interval. The largest difference has none: it is never below 0, so an
interval of it can't tell no difference from a small one.
"""

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from eval.answers import NO_ANSWER, data_files, read_jsonl
from eval.grouping import JOINED, verify_names
from eval.suite import Columns, Row, SuiteFigure, SuiteReport, coverage_warnings, difference, require, share
from tunegate_core.errors import DataError

FOUR_FIFTHS = 0.8
RATES = {"selection rate": None, "true positive rate": 1, "false positive rate": 0}  # over rows with this label


class Decisions:
    """See the module."""

    columns = Columns(answer=("decision",), key=("id",), data=("label", "groups"))

    def read_data(self, path: Path) -> list[dict[str, Any]]:
        """JSONL with `id`, `label` (0 or 1), `groups` (an object of columns) and, where rows go together, `cluster`."""
        return [row for file in data_files(path, "*.jsonl") for row in read_jsonl(file)]

    def score(self, rows: Sequence[Row]) -> SuiteReport:
        """Figures for each column of groups, and for their intersections."""
        kept = [row for row in rows if row.get("decision") is not None]
        for row in rows:
            require(row, "label", (0, 1))
            if not isinstance(row["groups"], dict) or row["groups"].keys() != rows[0]["groups"].keys():
                raise DataError(f"row {row['id']}: 'groups' must be an object with the same columns in every row")
            empty = [name for name, value in row["groups"].items() if value is None or not str(value).strip()]
            if empty or not row["groups"]:
                what = f"the group column '{empty[0]}' has no value" if empty else "'groups' names no column"
                raise DataError(f"row {row['id']}: {what}; expected one for every row, such as 'unknown'")
        for row in kept:
            require(row, "decision", (0, 1))
        verify_names([[str(row["groups"][column]) for column in rows[0]["groups"]] for row in rows], "these rows")
        figures = [figure for column in _columns(rows) for figure in _figures(column, rows, kept)]
        lost = len(rows) - len(kept)
        return SuiteReport(
            suite="decisions",
            definition="Fairlearn 0.15: differences and ratios between the largest and the smallest rate of a group; "
            "equalised odds takes the worse of true and false positive rate. Rows without a decision are in no rate.",
            rows=len(rows),
            measured=len(kept),
            unmeasured={NO_ANSWER: lost} if lost else {},
            figures=tuple(figures),
            warnings=coverage_warnings(len(rows), len(kept)),
        )


PLUGIN = Decisions()


def _columns(rows: Sequence[Row]) -> list[tuple[str, ...]]:
    names: list[str] = list(rows[0]["groups"])
    together = [tuple(names)] if len(names) > 1 else []
    return [*((name,) for name in names), *together]


def _figures(columns: tuple[str, ...], rows: Sequence[Row], kept: Sequence[Row]) -> Iterator[SuiteFigure]:
    """Rates by group, every two groups compared, and Fairlearn's figures over all groups of these columns."""
    place, groups = {"column": JOINED.join(columns)}, sorted({_group(row, columns) for row in rows})
    if len(groups) < 2:
        raise DataError(f"the group column '{place['column']}' has only the value '{groups[0]}'; expected at least two")
    for group in groups:
        own = [row for row in rows if _group(row, columns) == group]
        told = ((_cluster(row), row.get("decision") is not None) for row in own)
        yield share("rows with a decision", told, {**place, "group": group})
    for rate, label in RATES.items():
        counted = [row for row in kept if label is None or row["label"] == label]
        shares = {group: share(rate, _decided(counted, columns, group), {**place, "group": group}) for group in groups}
        yield from shares.values()
        for a, b in itertools.combinations(groups, 2):
            yield difference(f"{rate}, first minus second", shares[a], shares[b], {**place, "groups": f"{a} and {b}"})
    yield from _fairlearn(columns, kept, place, len(groups))


def _fairlearn(columns: tuple[str, ...], kept: Sequence[Row], place: dict[str, str], of: int) -> Iterator[SuiteFigure]:
    """Fairlearn's figures; None where a group lacks a decision or a label they need."""
    labels, decisions = [row["label"] for row in kept], [row["decision"] for row in kept]
    groups = [_group(row, columns) for row in kept]
    seen = {(group, label) for group, label in zip(groups, labels, strict=True)}
    present = len({group for group, _ in seen}) == of
    values = _values(labels, decisions, groups) if present else {}
    needs_labels = present and len(seen) == 2 * of
    for name in ("demographic parity difference", "demographic parity ratio", "equalised odds difference",
                 "equalised odds ratio", "equal opportunity difference", "four-fifths rule"):  # fmt: skip
        value = values.get(name) if needs_labels or name.startswith(("demographic", "four")) else None
        yield SuiteFigure(
            name=name, where=place, unit="ratio" if "ratio" in name else "kept" if "rule" in name else "difference",
            value=value, n=len(kept), clusters=len({_cluster(row) for row in kept}),
            method="Fairlearn, no interval" if value is not None else "not measured: a group lacks rows it needs",
        )  # fmt: skip


def _values(labels: Sequence[int], decisions: Sequence[int], groups: Sequence[str]) -> Mapping[str, float | None]:
    import fairlearn.metrics as fair

    frame = fair.MetricFrame(
        metrics={"selected": fair.selection_rate, "tpr": fair.true_positive_rate, "fpr": fair.false_positive_rate},
        y_true=labels, y_pred=decisions, sensitive_features=groups,
    )  # fmt: skip
    apart, near = frame.difference(method="between_groups"), frame.ratio(method="between_groups")
    ratio = float(near["selected"])
    told = {
        "demographic parity difference": apart["selected"],
        "demographic parity ratio": ratio,
        "equalised odds difference": max(apart["tpr"], apart["fpr"]),
        "equalised odds ratio": min(near["tpr"], near["fpr"]),
        "equal opportunity difference": apart["tpr"],
        "four-fifths rule": ratio >= FOUR_FIFTHS if math.isfinite(ratio) else ratio,
    }
    return {name: _finite(value) for name, value in told.items()}


def _finite(value: Any) -> float | None:
    """Fairlearn's 0 over 0 is no figure."""
    return float(value) if math.isfinite(value) else None


def _decided(rows: Sequence[Row], columns: tuple[str, ...], group: str) -> Iterator[tuple[str, bool]]:
    return ((_cluster(row), bool(row["decision"])) for row in rows if _group(row, columns) == group)


def _group(row: Row, columns: tuple[str, ...]) -> str:
    return JOINED.join(str(row["groups"][column]) for column in columns)


def _cluster(row: Row) -> str:
    return str(row.get("cluster", row["id"]))
