"""`tunegate evaluate --suite`: a file of answers in, a report out; bad input is named."""

import csv
import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tunegate.suites import load_suite, score_suite
from tunegate_core.errors import BadInput

Run = Callable[..., Any]


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.fixture
def answers(tmp_path: Path) -> Path:
    rows = [{"id": n, "group": g, "text": "yes" if n else g} for n in range(20) for g in ("a", "b")]
    return write(tmp_path / "answers.jsonl", rows)


def test_the_verb_scores_a_file(home: Path, answers: Path, verb: Run) -> None:
    told = ["evaluate", "--suite", "counterfactual", "--answers", answers, "--column", "text"]
    report = json.loads(verb(home, *told, "--json").stdout)
    assert (report["suite"], report["measured"]) == ("counterfactual", 40)
    flips = next(f for f in report["figures"] if f["name"] == "flip rate")
    assert flips["value"] == 5.0
    shown = verb(home, *told)
    assert (shown.returncode, "flip rate" in shown.stdout) == (0, True)
    assert not home.exists()  # nothing is recorded


def test_published_figures_come_from_a_file_of_answers(
    test_data: Path, expected_values: dict[str, Any], tmp_path: Path
) -> None:
    """As anybody would check a suite against its paper: one file of answers, nothing else but the suite's own data."""
    told = test_data / "bbq" / "preds_unifiedqa" / "preds_Age.jsonl"
    report = score_suite("bbq", told, None, "unifiedqa-t5-11b_pred_arc")
    bias = [f["value"] for f in report["figures"] if f["name"] == "bias score"]
    printed = expected_values["bbq_fig3_bias_scores"]["Age"]
    assert [round(one, 1) for one in bias] == [printed[c]["UnifiedQA (ARC)"] for c in ("ambiguous", "disambiguated")]
    with gzip.open(test_data / "stereoset" / "predictions" / "gpt2.csv.gz", "rt") as file:
        rows = [{"sentence_id": row["sentence_id"], "score": float(row["score"])} for row in csv.DictReader(file)]
    report = score_suite("stereoset", write(tmp_path / "gpt2.jsonl", rows), test_data / "stereoset", None)
    icat = next(f["value"] for f in report["figures"] if (f["name"], f["where"]) == ("icat", {"part": "all"}))
    assert icat == pytest.approx(expected_values["stereoset_overall"]["gpt2"]["icat"], rel=1e-12)


@pytest.mark.parametrize(
    ("suite", "folder", "answer", "pairs"),
    [
        ("crows-pairs", "crows_pairs", lambda row: {"sent_more_score": -1.0, "sent_less_score": -2.0}, 1508),
        ("winobias", "winobias", lambda row: {"answer": row["right"]}, 8 * 396),
    ],
)
def test_a_file_is_joined_with_the_suites_own_data(
    suite: str, folder: str, answer: Callable[..., Any], pairs: int, test_data: Path, tmp_path: Path
) -> None:
    plugin = load_suite(suite)
    keys = plugin.columns.key
    rows = [{**{key: row[key] for key in keys}, **answer(row)} for row in plugin.read_data(test_data / folder)]
    report = score_suite(suite, write(tmp_path / "answers.jsonl", rows), test_data / folder, None)
    assert (report["measured"], report["unmeasured"]) == (pairs, {})


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["--suite", "counterfactual"],
        ["bot@1", "--suite", "counterfactual", "--answers", "x"],
        ["bot@1", "--answers", "x"],
        ["--suite", "bqq", "--answers", "x"],
        ["--suite", "bbq", "--answers", "nowhere.jsonl"],
    ],
)
def test_what_does_not_fit_together_is_bad_input(home: Path, verb: Run, arguments: list[str]) -> None:
    done = verb(home, "evaluate", *arguments)
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr


def test_names_and_columns_that_do_not_exist_come_with_the_nearest(answers: Path) -> None:
    with pytest.raises(BadInput, match=r"did you mean 'bbq'.*crows-pairs"):
        load_suite("bqq")
    with pytest.raises(BadInput, match=r"no column 'txt' .did you mean 'text'"):
        score_suite("counterfactual", answers, None, "txt")
    with pytest.raises(BadInput, match="sent_more_score"):
        score_suite("crows-pairs", answers, None, "text")
    with pytest.raises(BadInput, match=r"'stereo_antistereo' is missing.*give the suite's data"):
        score_suite("crows-pairs", answers, None, None)
