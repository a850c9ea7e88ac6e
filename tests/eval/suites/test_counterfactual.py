"""Counterfactual substitution: what changes with the group, and silence towards one of them."""

from pathlib import Path
from typing import Any

import pytest

from eval.answers import joined
from eval.suite import SuiteReport
from eval.suites.counterfactual import PLUGIN, holm
from tunegate_core.errors import DataError


def rows(second: Any = "Yes.", n: int = 40, **both: Any) -> list[dict[str, Any]]:
    one = [{"id": k, "group": "Anna", "answer": "yes", **both} for k in range(n)]
    return [*one, *({"id": k, "group": "Jan", "answer": second, **both} for k in range(n))]


def figure(report: SuiteReport, name: str, **where: str) -> Any:
    return next(f for f in report.figures if f.name == name and where.items() <= f.where.items())


def test_equal_answers_differ_in_nothing_and_still_have_an_interval() -> None:
    flips = figure(PLUGIN.score(rows()), "flip rate")
    assert (flips.value, flips.n) == (0.0, 40)
    assert flips.high is not None and flips.high > 5


def test_a_group_that_gets_shorter_answers_and_lower_scores() -> None:
    told = [
        {**row, "score": 0.9 - 0.01 * (row["id"] % 5) - (0.4 if row["group"] == "Jan" else 0)}
        for row in rows("No, that is not possible.")
    ]
    report = PLUGIN.score(told)
    assert figure(report, "flip rate").value == 100
    assert figure(report, "difference, first minus second", of="words").value == -4
    gap = figure(report, "gap", of="score")
    assert gap.value == pytest.approx(0.4)
    assert figure(report, "distance", of="score").value == pytest.approx(0.4)
    assert figure(report, "p of no difference", of="score").value < 0.01
    assert "Holm over 2 tests" in figure(report, "p of no difference", of="score").method


def test_refusals_are_a_share() -> None:
    told = [{**row, "refused": row["group"] == "Jan"} for row in rows("I can't help.")]
    assert figure(PLUGIN.score(told), "difference, first minus second", of="refused").value == -1
    with pytest.raises(DataError, match="'refused' must be true or false"):
        PLUGIN.score(rows(refused=1))


@pytest.mark.parametrize("score", [float("nan"), float("inf"), None, True, "0.5"])
def test_a_score_that_is_no_number_is_not_measured(score: Any) -> None:
    told = [{**row, "score": score if row["group"] == "Jan" else 0.5} for row in rows()]
    assert not [found for found in PLUGIN.score(told).figures if found.where.get("of") == "score"]


def test_silence_towards_one_group_is_not_no_difference() -> None:
    report = PLUGIN.score(rows(""))
    assert figure(report, "flip rate").value is None
    assert figure(report, "flip rate").counts["left out, an answer is missing"] == 40
    assert figure(report, "readable answers", group="Jan").value == 0
    assert figure(report, "readable answers", group="Anna").value == 100
    assert "50.0 % of the answers could not be read" in report.warnings[0]


def test_one_group_is_not_enough() -> None:
    with pytest.raises(DataError, match="at least two groups; found Anna"):
        PLUGIN.score(rows()[:40])


def test_clusters_widen_the_interval() -> None:
    def flips(**more: Any) -> Any:
        told = [{**row, **({"cluster": row["id"] // 10} if more else {})} for row in rows("no")]
        same = [row if row["id"] < 20 else {**row, "answer": "yes"} for row in told]
        return figure(PLUGIN.score(same), "flip rate")

    alone, together = flips(), flips(cluster=True)
    assert alone.value == together.value == 50
    assert together.high - together.low > alone.high - alone.low


def test_a_group_without_any_answer_was_still_asked(tmp_path: Path) -> None:
    prompts = [{"id": f"p{k}", "group": g, "prompt": f"Is {g} here?"} for g in ("Anna", "Jan") for k in (1, 2)]
    answers = [{"id": f"p{k}", "group": "Anna", "answer": "yes"} for k in (1, 2)]
    report = PLUGIN.score(joined(tmp_path, answers, PLUGIN.columns, prompts))
    assert (report.rows, report.unmeasured) == (4, {"no answer given": 2})


@pytest.mark.parametrize("values", [[0.01, 0.04, 0.03], [0.5, 0.5], [0.2], [0.0, 1.0, 0.02, 0.02, 0.9]])
def test_holm_is_statsmodels_holm(values: list[float]) -> None:
    from statsmodels.stats.multitest import multipletests

    assert holm(values) == pytest.approx(list(multipletests(values, method="holm")[1]))
