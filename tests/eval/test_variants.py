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
from tunegate_core.errors import BadInput


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
