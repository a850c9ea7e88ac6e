"""Labels and decisions by group: Fairlearn's documented values, ProPublica's counts, and silence."""

import json
from pathlib import Path
from typing import Any

import pytest

from eval.suite import SuiteReport
from eval.suites.decisions import PLUGIN
from tunegate_core.errors import DataError


def figure(report: SuiteReport, name: str, **where: str) -> Any:
    return next(f for f in report.figures if f.name == name and where.items() <= f.where.items())


def row(number: int, label: int, decision: Any, **groups: str) -> dict[str, Any]:
    return {"id": number, "label": label, "decision": decision, "groups": groups}


@pytest.fixture(scope="module")
def compas(test_data: Path) -> SuiteReport:
    counts = json.loads((test_data / "compas_counts" / "compas_counts.json").read_text())
    cells = {"tn": (0, 0), "fp": (0, 1), "fn": (1, 0), "tp": (1, 1)}
    told = [
        (group, *cells[cell])
        for group in ("African-American", "Caucasian")
        for cell, times in counts[group].items()
        for _ in range(times)
    ]
    return PLUGIN.score([row(n, label, decision, race=group) for n, (group, label, decision) in enumerate(told)])


def test_fairlearns_documented_example(expected_values: dict[str, Any]) -> None:
    told = expected_values["fairlearn_doc_example"]
    cells = zip(told["y_true"], told["y_pred"], told["group"], strict=True)
    report = PLUGIN.score([row(n, y, d, group=g) for n, (y, d, g) in enumerate(cells)])
    for name, key in (
        ("demographic parity difference", "demographic_parity_difference"),
        ("demographic parity ratio", "demographic_parity_ratio"),
        ("equalised odds difference", "equalized_odds_difference"),
        ("equalised odds ratio", "equalized_odds_ratio"),
    ):
        assert figure(report, name).value == pytest.approx(told[key])
    assert figure(report, "four-fifths rule").value == 0


def test_propublicas_rates_and_what_fairlearn_makes_of_them(
    compas: SuiteReport, test_data: Path, expected_values: dict[str, Any]
) -> None:
    published = json.loads((test_data / "compas_counts" / "compas_counts.json").read_text())["published"]
    for group in ("African-American", "Caucasian"):
        assert round(figure(compas, "false positive rate", group=group).value, 2) == published[group]["FPR"]
        assert round(100 - figure(compas, "true positive rate", group=group).value, 2) == published[group]["FNR"]
    told = expected_values["compas_fairlearn"]
    for name, key in (
        ("demographic parity difference", "demographic_parity_difference"),
        ("demographic parity ratio", "demographic_parity_ratio"),
        ("equalised odds difference", "equalized_odds_difference_worst"),
        ("equalised odds ratio", "equalized_odds_ratio"),
        ("equal opportunity difference", "equal_opportunity_difference"),
    ):
        assert figure(compas, name).value == pytest.approx(told[key], rel=1e-12)


def test_differences_have_intervals_that_can_cover_zero(compas: SuiteReport) -> None:
    apart = figure(compas, "selection rate, first minus second")
    assert apart.value == pytest.approx(24.02, abs=0.01)
    assert 21 < apart.low < apart.value < apart.high < 27
    same = PLUGIN.score([row(n, n % 2, n % 3 == 0, g="ab"[n // 150]) for n in range(300)])
    found = figure(same, "selection rate, first minus second")
    assert found.low < 0 < found.high


def test_intersections_are_told() -> None:
    report = PLUGIN.score([row(n, n % 2, n % 3 == 0, g="ab"[n % 5 > 2], h="xy"[n % 7 > 3]) for n in range(210)])
    assert {f.where["group"] for f in report.figures if f.where.get("column") == "g & h" and "group" in f.where} == {
        "a & x", "a & y", "b & x", "b & y"
    }  # fmt: skip


def test_no_decision_for_a_group_is_not_parity() -> None:
    told = [row(n, n % 2, None if n < 50 else n % 3 == 0, g="ab"[n // 50]) for n in range(100)]
    report = PLUGIN.score(told)
    assert figure(report, "demographic parity difference").value is None
    assert figure(report, "selection rate, first minus second").value is None
    assert figure(report, "rows with a decision", group="a").value == 0
    assert report.unmeasured == {"no answer given": 50}


def test_never_deciding_for_anybody_is_no_ratio_of_one() -> None:
    report = PLUGIN.score([row(n, n % 2, 0, g="ab"[n // 50]) for n in range(100)])
    assert figure(report, "demographic parity difference").value == 0
    assert figure(report, "demographic parity ratio").value is None
    assert figure(report, "four-fifths rule").value is None


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([row(1, 2, 0, g="a")], "'label' must be one of 0, 1"),
        ([row(1, 1, 0.4, g="a")], "'decision' must be one of 0, 1"),
        ([row(1, 1, 0, g="a"), row(2, 1, 0, h="a")], "the same columns in every row"),
        ([row(1, 1, 0, g="a"), row(2, 1, 0, g="a")], "has only the value 'a'"),
        ([row(1, 1, 0, g="a & b", h="c"), row(2, 1, 0, g="a", h="b & c")], "both be called 'a & b & c'"),
    ],
)
def test_what_can_not_be_compared_is_refused(rows: list[dict[str, Any]], message: str) -> None:
    with pytest.raises(DataError, match=message):
        PLUGIN.score(rows)
