"""StereoSet: the published GPT-2 figures from the published scores, and what is not a fair model."""

import csv
import gzip
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from eval.answers import joined
from eval.suite import SuiteReport
from eval.suites.stereoset import PLUGIN, _icat_bounds


def figures(report: SuiteReport, **where: str) -> dict[str, float | None]:
    return {f.name: f.value for f in report.figures if f.where == where}


def test_gpt2_to_twelve_digits(test_data: Path, expected_values: dict[str, Any]) -> None:
    folder = test_data / "stereoset"
    with gzip.open(folder / "predictions" / "gpt2.csv.gz", "rt") as file:
        answers = [{"sentence_id": r["sentence_id"], "score": float(r["score"])} for r in csv.DictReader(file)]
    report = PLUGIN.score(joined(folder, answers, PLUGIN.columns, PLUGIN.read_data(folder)))
    found, published = figures(report, part="all"), expected_values["stereoset_overall"]["gpt2"]
    assert found["lms"] == pytest.approx(published["lm"], rel=1e-12)
    assert found["ss"] == pytest.approx(published["ss"], rel=1e-12)
    assert found["icat"] == pytest.approx(published["icat"], rel=1e-12)
    assert report.read_as["contexts with all three scores"] == published["n"]
    overall: list[Any] = [f for f in report.figures if f.where == {"part": "all"}]
    assert all(f.clusters == 79 and f.low < f.value < f.high for f in overall)


def rows(scores: tuple[Any, Any, Any], terms: int = 20) -> list[dict[str, Any]]:
    labels = ("stereotype", "anti-stereotype", "unrelated")
    return [
        {"sentence_id": f"{t}-{label}", "context_id": t, "label": label, "target": f"term {t // 2}", "score": score,
         "bias_type": "race", "split": "intrasentence"}
        for t in range(terms)
        for label, score in zip(labels, scores, strict=True)
    ]  # fmt: skip


@pytest.mark.parametrize("stereotyped", [0.5, 0.6])
def test_the_interval_of_icat_covers_a_model_without_a_preference(stereotyped: float) -> None:
    """icat is largest at ss = 50: percentiles of resamples, which lie below it, missed it in a third of runs."""
    generator, missed = np.random.default_rng(4), 0
    for _ in range(60):
        chances = np.clip(generator.normal(stereotyped, 0.08, size=60), 0, 1)
        ss, lms = generator.binomial(50, chances) / 50, generator.binomial(100, 0.85, size=60) / 100
        totals = {str(term): [50.0, 1.0, ss[term], lms[term]] for term in range(60)}
        low, high = _icat_bounds(totals)
        assert low is not None and high is not None
        missed += not low <= 85 * (1 - stereotyped) / 0.5 <= high
    assert missed <= 3 + 3 * 1.7  # 5 %, and three standard errors of the simulation


@pytest.mark.parametrize(
    ("scores", "expected"),
    [
        ((2, 3, 1), {"lms": 100, "ss": 0, "icat": 0}),  # always the anti-stereotype
        ((1, 1, 1), {"lms": 0, "ss": 0, "icat": 0}),  # the same for everything
        ((float("nan"), 2, 1), {"lms": None, "ss": None, "icat": None}),
        ((None, None, None), {"lms": None, "ss": None, "icat": None}),
    ],
)
def test_a_broken_model_does_not_look_fair(scores: tuple[Any, Any, Any], expected: dict[str, float | None]) -> None:
    report = PLUGIN.score(rows(scores))
    assert figures(report, part="all") == pytest.approx(expected, nan_ok=True)
    assert bool(report.warnings) == (expected["lms"] is None)
