"""Disturbed questions are the same questions: same ids, clusters and right answers, the same every time."""

import random
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eval.items import freeze, open_task
from eval.task import Item
from eval.variants import vary, with_slips
from tunegate_core.config import TaskBlock
from tunegate_core.errors import BadInput, DataError


@given(st.text(max_size=200), st.integers())
def test_slips_stay_inside_words(text: str, seed: int) -> None:
    slipped = with_slips(text, random.Random(seed))
    assert with_slips(text, random.Random(seed)) == slipped
    assert len(slipped.split()) == len(text.split())
    assert abs(len(slipped) - len(text)) <= max(1, len(text.split()))


def test_a_question_with_words_gets_a_slip() -> None:
    for seed in range(50):
        assert with_slips("Which number follows 1234 here?", random.Random(seed)) != "Which number follows 1234 here?"
        assert "1234" in with_slips("Which number follows 1234 here?", random.Random(seed))
    assert with_slips("Is 12 odd?", random.Random(0)) == "Is 12 odd?"


@given(st.lists(st.text(min_size=1, max_size=3), min_size=2, max_size=5, unique=True), st.data())
def test_another_order_moves_the_right_choice_and_keeps_it_right(choices: list[str], data: st.DataObject) -> None:
    right = data.draw(st.integers(0, len(choices) - 1))
    item = Item(data.draw(st.text(max_size=5)), "?", tuple(choices), right, "c")
    (moved,) = vary("order", [item])
    assert moved.choices is not None
    assert sorted(moved.choices) == sorted(choices)
    assert moved.choices[moved.answer] == choices[right]
    assert moved.answer != right
    assert (moved.id, moved.cluster, moved.text) == (item.id, item.cluster, item.text)


def test_a_variant_is_a_task_of_its_own(questions: Callable[..., Path]) -> None:
    asked = {"question": "Which number follows?", "choices": ["a", "b"], "answer": 0, "cluster": "c"}
    rows = [{**asked, "id": f"q{n}"} for n in range(3)]
    path = str(questions(rows))
    plain = TaskBlock(name="facts", questions=path)
    frozen = {freeze([plain.model_copy(update={"variant": variant})])[0].digest for variant in (None, "typos", "order")}
    assert len(frozen) == 3
    moved = open_task(plain.model_copy(update={"variant": "order"}))
    assert [item.answer for item in moved.items] == [1, 1, 1]
    assert {item.cluster for item in moved.items} == {"c"}


def test_texts_have_no_order(questions: Callable[..., Path]) -> None:
    path = str(questions([{"id": "a", "question": "?", "answer": "x"}]))
    with pytest.raises(BadInput, match="these questions have none; use typos"):
        freeze([TaskBlock(name="t", questions=path, metric="exact_match", variant="order")])


ASKED = [{"id": f"q{n}", "question": f"What is {n}?", "choices": ["a", "b"], "answer": 0} for n in range(3)]


def paraphrase(questions: Callable[..., Path], rows: list[object], **more: object) -> TaskBlock:
    plain, others = str(questions(ASKED)), str(questions(rows, "others.jsonl"))
    return TaskBlock(name="said-otherwise", questions=plain, variant="paraphrase", paraphrases=others, **more)


def test_paraphrases_stand_in_the_cluster_of_their_question(questions: Callable[..., Path]) -> None:
    rows: list[object] = [{"paraphrase_of": "q2", "question": text} for text in ("Say 2?", "2 is?")]
    block = paraphrase(questions, [{"paraphrase_of": "q0", "question": "0 is what?"}, *rows])
    items = open_task(block).items
    assert [(item.id, item.of, item.cluster) for item in items] == [
        ("q0~1", "q0", "q0"),
        ("q2~1", "q2", "q2"),
        ("q2~2", "q2", "q2"),
    ]
    assert [item.text for item in items] == ["0 is what?", "Say 2?", "2 is?"]
    assert freeze([block])[0].clusters == 2


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ({"paraphrase_of": "q9", "question": "?"}, "row 1: there is no question 'q9'"),
        ({"paraphrase_of": "q1", "question": "What is 1?"}, "must be in words of its own"),
        ({"paraphrase_of": "q1", "question": " "}, "must be in words of its own"),
        ({"paraphrase_of": "q1"}, "expected the texts 'paraphrase_of' and 'question'"),
        ({"id": "x", "paraphrase_of": "q1", "question": "?"}, "expected the texts 'paraphrase_of' and 'question'"),
    ],
)
def test_what_is_no_paraphrase_is_refused(row: object, problem: str, questions: Callable[..., Path]) -> None:
    with pytest.raises(DataError, match=problem):
        freeze([paraphrase(questions, [row])])
    with pytest.raises(DataError, match="no question that is scored has a paraphrase"):
        freeze([paraphrase(questions, [{"paraphrase_of": "q2", "question": "?"}], limit=1)])
    with pytest.raises(ValueError, match="variant paraphrase and the key paraphrases go together"):
        TaskBlock(name="x", questions="x.jsonl", variant="paraphrase")
