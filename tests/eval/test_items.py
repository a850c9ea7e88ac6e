"""Items are read and checked before anything expensive; every problem comes with its file and line."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from eval.items import freeze, open_task, reopen
from tunegate_core.config import TaskBlock
from tunegate_core.errors import BadInput, DataError, IntegrityError

ROWS: list[dict[str, Any]] = [
    {
        "id": f"q{n}",
        "question": f"Which number follows {n}?",
        "choices": [f"It is {n + step}." for step in (1, 2, 3)],
        "answer": 0,
        "cluster": f"fact-{n // 2}",
    }
    for n in range(6)
]
Write = Callable[..., Path]
GOOD = ROWS[0]


def task(path: Path, **settings: Any) -> TaskBlock:
    return TaskBlock(name="facts", questions=str(path), **settings)


def test_freeze_counts_items_and_clusters(questions: Write) -> None:
    frozen = freeze([task(questions(ROWS))])[0]
    assert (frozen.task, frozen.n, frozen.clusters, frozen.metric) == ("facts", 6, 3, "acc")
    assert frozen.texts[0] == "Which number follows 0?"
    assert frozen.summary() == {"digest": frozen.digest, "metric": "acc", "n": 6, "clusters": 3}


def test_items_without_a_cluster_are_their_own(questions: Write) -> None:
    rows = [{key: value for key, value in row.items() if key != "cluster"} for row in ROWS]
    assert freeze([task(questions(rows))])[0].clusters == 6


def test_digest_does_not_depend_on_file_name_task_name_or_spacing(questions: Write) -> None:
    spaced = [json.dumps(row, indent=None, separators=(" , ", " : ")) for row in ROWS]
    first = freeze([task(questions(ROWS))])[0]
    other = TaskBlock(name="renamed", questions=str(questions(["", *spaced, ""], "other.jsonl")))
    assert freeze([other])[0].digest == first.digest


@pytest.mark.parametrize(
    "change", [{"question": "Other?"}, {"answer": 1}, {"cluster": "x"}, {"choices": ["It is 1.", "No.", "Yes."]}]
)
def test_digest_covers_what_is_asked_and_expected(questions: Write, change: dict[str, Any]) -> None:
    before = freeze([task(questions(ROWS))])[0]
    after = freeze([task(questions([{**GOOD, **change}, *ROWS[1:]], "changed.jsonl"))])[0]
    assert before.digest != after.digest


def test_digest_covers_metric_limit_and_examples(questions: Write) -> None:
    path = questions(ROWS)
    variants = [task(path), task(path, metric="acc_norm"), task(path, limit=3), task(path, few_shot=1)]
    assert len({freeze([variant])[0].digest for variant in variants}) == 4


def test_examples_and_their_clusters_are_not_scored(questions: Write) -> None:
    opened = open_task(task(questions(ROWS), few_shot=1))
    assert [item.id for item in opened.items] == ["q2", "q3", "q4", "q5"]


def test_no_question_left_after_the_examples(questions: Write) -> None:
    with pytest.raises(DataError, match="none of its 6 questions is left"):
        freeze([task(questions(ROWS), few_shot=5)])


def test_text_answers_need_exact_match(questions: Write) -> None:
    path = questions([{"id": "a", "question": "Who?", "answer": "Nobody"}])
    assert freeze([task(path, metric="exact_match")])[0].n == 1
    with pytest.raises(BadInput, match=r"scored by exact_match, .*; found metric 'acc'"):
        freeze([task(path)])
    with pytest.raises(BadInput, match="scored by acc, acc_norm; found metric 'exact_match'"):
        freeze([task(questions(ROWS), metric="exact_match")])


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({**GOOD, "id": "q1", "answer": 3}, "line 2: 'answer' is 3, but the 3 choices are numbered 0 to 2"),
        ({**GOOD, "id": "q1", "answer": -1}, "line 2: 'answer' is -1"),
        ({**GOOD, "id": "q1", "answer": True}, "line 2: 'answer' must be the index"),
        ({**GOOD, "id": "q1", "answer": "It is 2."}, "line 2: .*did you mean 1?"),
        ({**GOOD, "id": "q1", "choices": ["one"]}, "line 2: at least 2 choices are needed, found 1"),
        ({**GOOD, "id": "q1", "choices": ["one", " one"]}, "line 2: choices must differ; given twice: 'one'"),
        ({**GOOD, "id": "q1", "choices": "abc"}, "line 2: 'choices' must be a list of texts"),
        ({**GOOD, "id": "q1", "choices": ["one", ""]}, "line 2: 'choices' must be a list of texts"),
        ({**GOOD, "id": "q1", "choises": []}, "line 2: unknown field 'choises' .did you mean 'choices'"),
        ({"id": "q1", "choices": ["a", "b"], "answer": 0}, "line 2: 'question' is missing"),
        ({"id": "q1", "question": "Who?", "choices": ["a", "b"]}, "line 2: 'answer' is missing"),
        ({**GOOD, "id": ""}, "line 2: 'id' must be a text that is not empty, found ''"),
        ({**GOOD, "id": 4}, "line 2: 'id' must be a text that is not empty, found 4"),
        ({**GOOD, "id": "q1", "question": "  "}, "line 2: 'question' must be a text"),
        ({**GOOD, "id": "q1", "cluster": 7}, "line 2: 'cluster' must be a text"),
        ({**GOOD}, "line 2: id 'q0' is already used in line 1"),
        (
            {**GOOD, "id": "q1", "cluster": "other"},
            "line 2: asks the same as 'q0' in line 1, .* give both the same cluster",
        ),
        ({"id": "q1", "question": "Who?", "answer": "He"}, "line 2: questions with and without choices are mixed"),
        ({"id": "q1", "question": "Who?", "answer": 3}, "line 2: without choices 'answer' must be a text"),
        ('{"id": "q1", "question": "Who', "line 2: not a whole JSON object .*is the line cut off?"),
        ("[1, 2]", "line 2: expected a JSON object with id, question and answer, found list"),
    ],
)
def test_bad_rows_are_named_by_file_and_line(questions: Write, row: Any, message: str) -> None:
    path = questions([GOOD, row])
    with pytest.raises(DataError, match=message) as caught:
        freeze([task(path)])
    assert str(path) in str(caught.value)


def test_every_problem_is_reported_at_once(questions: Write) -> None:
    path = questions([GOOD, {**GOOD, "id": "a", "answer": 9}, "{", {**GOOD, "id": "b", "extra": 1}])
    with pytest.raises(DataError) as caught:
        freeze([task(path)])
    assert [line for line in (2, 3, 4) if f"line {line}:" in str(caught.value)] == [2, 3, 4]


def test_many_problems_are_cut_short(questions: Write) -> None:
    with pytest.raises(DataError, match="and 10 more problems"):
        freeze([task(questions(["{"] * 30))])


def test_files_that_can_not_be_read(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file"):
        freeze([task(tmp_path / "absent.jsonl")])
    (tmp_path / "empty.jsonl").write_text("\n \n")
    with pytest.raises(DataError, match="no questions found"):
        freeze([task(tmp_path / "empty.jsonl")])
    (tmp_path / "latin.jsonl").write_bytes(json.dumps(GOOD).encode() + b"\n" + '{"id": "é"}'.encode("latin-1"))
    with pytest.raises(DataError, match=r"line 2: not UTF-8 text .byte 0xe9"):
        freeze([task(tmp_path / "latin.jsonl")])
    with pytest.raises(DataError, match="can't be read"):
        freeze([task(tmp_path)])


def test_items_changed_after_planning_are_refused(questions: Write) -> None:
    planned = freeze([task(questions(ROWS))])[0]
    changed = task(questions([{**GOOD, "answer": 1}, *ROWS[1:]]))
    with pytest.raises(IntegrityError, match="changed after they were planned"):
        reopen(changed, planned)


def test_reading_questions_loads_nothing_heavy(questions: Write) -> None:
    code = (
        "import sys; from eval.items import freeze; from tunegate_core.config import TaskBlock; import eval.examine;"
        f"freeze([TaskBlock(name='facts', questions={str(questions(ROWS))!r})]);"
        "heavy = {'torch', 'transformers', 'lm_eval', 'datasets', 'scipy', 'pandas', 'numpy'} & set(sys.modules);"
        "sys.exit(f'loaded: {heavy}' if heavy else 0)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[2])
