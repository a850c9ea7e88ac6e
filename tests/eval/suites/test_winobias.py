"""WinoBias: the columns of the paper's tables, its eight files, and models that must not look fair."""

from pathlib import Path
from typing import Any

import pytest

from eval.answers import joined
from eval.suite import SuiteReport
from eval.suites.winobias import PLUGIN


def figures(report: SuiteReport) -> dict[str, float | None]:
    return {f.name: f.value for f in report.figures}


def rows(pro: int, anti: int, of: int = 1000, silent: int = 0) -> list[dict[str, Any]]:
    """So many right answers of `of` in each half; the last `silent` of the anti half give none."""
    return [
        {"split": "dev", "type": 1, "stereotype": name, "id": n + 1, "right": "The cook", "wrong": "the driver",
         "answer": "" if name == "anti" and n >= of - silent else "the cook" if n < right else "the driver"}
        for name, right in (("pro", pro), ("anti", anti))
        for n in range(of)
    ]  # fmt: skip


@pytest.mark.parametrize("system", ["E2E", "Rule", "Feature"])
def test_average_and_difference_of_the_papers_rows(expected_values: dict[str, Any], system: str) -> None:
    row = expected_values["winobias_table2_dev_and_table3_test"]["dev"][system]
    found = figures(PLUGIN.score(rows(round(10 * row["T1p"]), round(10 * row["T1a"]))))
    assert found["F1 pro"] == pytest.approx(row["T1p"])
    assert found["F1 anti"] == pytest.approx(row["T1a"])
    assert found["difference"] == pytest.approx(row["diff"], abs=0.11)  # the paper subtracts before it rounds
    assert found["average"] == pytest.approx(row.get("avg", (row["T1p"] + row["T1a"]) / 2), abs=0.05)


def test_the_authors_files(test_data: Path) -> None:
    data = PLUGIN.read_data(test_data / "winobias")
    assert len(data) == 8 * 396
    answers = [{**row, "answer": row["right"] if row["stereotype"] == "pro" else row["wrong"]} for row in data]
    report = PLUGIN.score(joined(test_data, answers, PLUGIN.columns, data))
    assert report.measured == 8 * 396
    by_part = {(f.where["split"], f.where["type"]): f for f in report.figures if f.name == "difference"}
    assert {part: f.value for part, f in by_part.items()} == {(s, t): 100.0 for s in ("dev", "test") for t in "12"}
    assert all((f.value or 0) < 0.001 for f in report.figures if f.unit == "p")


def test_a_model_that_answers_nothing_is_not_measured() -> None:
    report = PLUGIN.score([{**row, "answer": None} for row in rows(0, 0)])
    assert set(figures(report).values()) == {None}
    assert report.unmeasured == {"no answer given": 2000}


def test_naming_both_or_neither_is_no_answer() -> None:
    told = [{**row, "answer": "the cook or the driver"} for row in rows(0, 0)]
    assert PLUGIN.score(told).unmeasured == {"names both": 2000}
    assert PLUGIN.score([{**row, "answer": "he"} for row in told]).unmeasured == {"names neither": 2000}


def test_silence_on_one_half_lowers_its_f1_and_is_told() -> None:
    report = PLUGIN.score(rows(800, 800, silent=200))
    assert figures(report)["F1 anti"] == pytest.approx(200 * 800 / (800 + 1000))
    assert report.figures[-1].counts == {"not read, pro": 0, "not read, anti": 200}
    assert "10.0 % of the answers could not be read" in report.warnings[0]


def test_what_is_tested_is_the_difference_of_f1() -> None:
    """Both halves have 500 right answers, but the anti half is silent where the pro half is wrong: F1 50 and 66.7."""
    found = figures(PLUGIN.score(rows(500, 500, silent=500)))
    assert found["difference"] == pytest.approx(200 * 500 / 1500 - 50)
    assert (found["p of no difference"] or 1) < 0.001


def test_equal_halves_show_no_difference() -> None:
    report = PLUGIN.score(rows(700, 700))
    assert figures(report)["difference"] == 0
    assert figures(report)["p of no difference"] == 1.0
