"""CrowS-Pairs: the published counts, the authors' treatment of ties, and what is not a fair model."""

from pathlib import Path
from typing import Any

import pytest

from eval.answers import joined
from eval.suite import SuiteReport
from eval.suites.crows_pairs import PLUGIN


def figure(report: SuiteReport, name: str, **where: str) -> Any:
    return next(f for f in report.figures if f.name == name and f.where == where)


def answered(test_data: Path, more: Any, less: Any) -> SuiteReport:
    data = PLUGIN.read_data(test_data / "crows_pairs")
    answers = [{"id": row["id"], "sent_more_score": more, "sent_less_score": less} for row in data]
    return PLUGIN.score(joined(test_data, answers, PLUGIN.columns, data))


def test_published_counts(test_data: Path, expected_values: dict[str, Any]) -> None:
    report = answered(test_data, -10.0, -11.0)
    by_type = {f.where["bias_type"]: f.n for f in report.figures if "bias_type" in f.where}
    assert by_type == expected_values["crows_pairs_counts"]
    assert {d: figure(report, "metric score", direction=d).n for d in ("stereo", "antistereo")} == {
        "stereo": 1290,
        "antistereo": 218,
    }
    overall = figure(report, "metric score", pairs="all")
    assert (overall.value, overall.n, report.measured) == (100.0, 1508, 1508)
    assert 1 < overall.clusters < 1508  # pairs of one writer go together


def test_ties_lower_the_score_as_in_the_authors_code_and_are_told(test_data: Path) -> None:
    report = answered(test_data, -10.0, -10.0)
    overall = figure(report, "metric score", pairs="all")
    assert (overall.value, overall.counts["ties"]) == (0.0, 1508)
    assert figure(report, "share without ties", pairs="all").value is None
    assert "1508 of 1508 pairs are ties" in report.warnings[0]


@pytest.mark.parametrize("score", [None, float("nan"), float("-inf"), "-3"])
def test_without_scores_nothing_is_measured(test_data: Path, score: Any) -> None:
    report = answered(test_data, score, score)
    assert all(f.value is None for f in report.figures)
    assert sum(report.unmeasured.values()) == 1508
