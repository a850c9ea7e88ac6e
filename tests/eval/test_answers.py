"""Files of answers: what is wrong is said, and what stands in the data is not taken from the answers."""

import json
from pathlib import Path
from typing import Any

import pytest

from eval.answers import joined, read_jsonl
from eval.suite import Columns, said
from eval.suites import bbq, counterfactual, crows_pairs, decisions, stereoset, winobias
from tunegate_core.errors import DataError

COLUMNS = Columns(answer=("answer",), key=("id",), data=("label",), more=("score",))
SUITES = (bbq, counterfactual, crows_pairs, decisions, stereoset, winobias)


def test_a_byte_order_mark_is_no_letter(tmp_path: Path) -> None:
    path = tmp_path / "answers.jsonl"
    path.write_bytes(b'\xef\xbb\xbf{"id": 1}\r\n{"id": 2}\r\n')
    assert read_jsonl(path) == [{"id": 1}, {"id": 2}]


@pytest.mark.parametrize("line", ["[" * 100_000, '{"id": ' + "9" * 5000 + "}", "\0\0", '{"id": 1'])
def test_what_is_no_row_is_named_with_its_line(line: str, tmp_path: Path) -> None:
    path = tmp_path / "answers.jsonl"
    path.write_text('{"id": 0}\n' + line)
    with pytest.raises(DataError, match="line 2"):
        read_jsonl(path)


def test_answers_bring_no_labels_and_data_no_answers() -> None:
    data = [{"id": n, "label": 1, "cluster": "c", "answer": 1, "score": 9} for n in range(3)]
    answers = [{"id": n, "answer": 0, "label": 0, "cluster": n, "score": 0.5} for n in range(2)]
    first, _, last = joined(Path("a"), answers, COLUMNS, data)
    assert first == {"id": 0, "answer": 0, "score": 0.5, "label": 1, "cluster": "c"}
    assert last == {"id": 2, "label": 1, "cluster": "c"}  # not answered: the data's own answer is none


@pytest.mark.parametrize(
    ("answers", "data", "message"),
    [
        ([{"id": 1, "Answer": "x"}], [{"id": 1, "label": 0}], "no row has the answer's column 'answer'.*--column"),
        ([{"id": 1, "answer": "x"}], [{"question": "?"}], "the suite's data, row 1: the column 'id' is missing"),
        ([{"id": 1, "answer": "x"}], [{"id": 1}], "the suite's data, row 1: the column 'label' is missing"),
        ([{"id": 1, "answer": "x"}], [{"id": 1, "label": 0}] * 2, "the suite's data: given twice"),
    ],
)
def test_what_does_not_fit_is_said(answers: list[Any], data: list[Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        joined(Path("a"), answers, COLUMNS, data)


@pytest.mark.parametrize(
    ("value", "text"),
    [("yes", "yes"), (0, "0"), (1.5, "1.5"), (None, ""), (float("nan"), ""), (float("inf"), ""), (["x"], ""), ({}, "")],
)
def test_what_is_no_text_says_nothing(value: object, text: str) -> None:
    assert said(value) == text


@pytest.mark.parametrize("suite", SUITES, ids=lambda suite: suite.__name__.rpartition(".")[2])
@pytest.mark.parametrize("content", [b"", b"\0\1\2\xff", b'{"question": "?", "answer": "x"}\n', b"a,b\n1,2\n"])
def test_other_data_than_the_suites_are_refused(suite: Any, content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "data.jsonl"
    path.write_bytes(content)
    columns = suite.PLUGIN.columns
    answers = [dict.fromkeys((*columns.key, *columns.answer), 1)]
    with pytest.raises(DataError):
        joined(tmp_path, answers, columns, suite.PLUGIN.read_data(path))


BBQ = {
    "category": "Age", "example_id": 1, "question_index": "1", "answer": 0, "context_condition": "disambig",
    "question_polarity": "neg", "label": 0, "ans0": "A", "ans1": "B", "ans2": "?",
    "answer_info": {f"ans{n}": [name, name] for n, name in enumerate(("old", "nonOld", "unknown"))},
    "additional_metadata": {"stereotyped_groups": ["old"]},
}  # fmt: skip
WINOBIAS = {"split": "dev", "type": 1, "stereotype": "pro", "id": 1, "right": "a", "wrong": "b", "answer": "a"}
SENTENCE = {"sentence_id": 1, "context_id": 1, "label": "stereotype", "target": "t", "bias_type": "b", "split": "s"}
DECISION = {"id": 1, "label": 1, "decision": 1, "groups": {"g": "a"}}


@pytest.mark.parametrize(
    ("suite", "rows", "message"),
    [
        (bbq, [BBQ | {"label": 7}], "'label' must be one of 0, 1, 2"),
        (bbq, [BBQ | {"answer_info": {"ans0": "old"}}], "'answer_info' must name the group"),
        (bbq, [BBQ | {"additional_metadata": {"stereotyped_groups": "old"}}], "a list of stereotyped_groups"),
        (winobias, [WINOBIAS | {"id": "first"}], "the sentence's number"),
        (stereoset, [SENTENCE, SENTENCE | {"sentence_id": 2}], "two sentences with the label 'stereotype'"),
        (decisions, [DECISION, DECISION | {"groups": {"g": None}}], "the group column 'g' has no value"),
        (decisions, [DECISION | {"groups": {}}], "names no column"),
    ],
)
def test_columns_that_are_not_as_the_suite_has_them(suite: Any, rows: list[dict[str, Any]], message: str) -> None:
    with pytest.raises(DataError, match=message):
        suite.PLUGIN.score(rows)


def test_a_prompt_that_a_group_was_not_asked_is_told() -> None:
    rows = [{"id": n, "group": g, "answer": "yes"} for g in "ab" for n in range(20) if g == "a" or n < 15]
    assert "have no row for a group (b: 5)" in counterfactual.PLUGIN.score(rows).warnings[0]
    missing = [{**row, "answer": float("nan") if row["id"] == 3 else row["answer"]} for row in rows]
    assert counterfactual.PLUGIN.score(missing).unmeasured == {"no answer given": 2}
    assert json.dumps(missing)  # which is how a file comes to say NaN
