"""Weights are what leaving a word out costs; an edit that is shown gives another answer, and no other does."""

from pathlib import Path

import pytest

from eval import explaining
from eval.answer import generate
from eval.explaining import explain
from tunegate_core.errors import BadInput

PROMPT = "tell me what number seven is good for"


@pytest.fixture(autouse=True)
def short_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(explaining, "ANSWER_TOKENS", 6)


@pytest.mark.slow
def test_words_edits_and_deletion(tiny_base: Path, tiny_adapter: Path) -> None:
    found = explain(tiny_base, tiny_adapter, PROMPT)
    assert [one.word for one in found.words] == PROMPT.split()
    assert found.answer == generate(tiny_base, tiny_adapter, PROMPT, 6)
    assert found.deletion is not None and found.chance is not None
    assert any(one.weight != 0 for one in found.words)
    shown = {edit.without: edit.answer for edit in found.edits}
    for word in PROMPT.split():
        rest = " ".join(other for other in PROMPT.split() if other != word)
        answer = generate(tiny_base, tiny_adapter, rest, 6)
        assert (word,) not in shown or shown[word,] == answer
        if len(shown) < explaining.SHOWN_EDITS:
            assert ((word,) in shown) == (answer != found.answer)
    if found.fewest is not None and not found.edits:
        assert len(found.fewest.without) > 1


@pytest.mark.slow
def test_a_weight_is_what_leaving_the_word_out_costs(tiny_base: Path) -> None:
    found = explain(tiny_base, None, "one two three")
    arms = explaining.Arms(tiny_base, {}, "float32")
    with arms.on("base") as model:
        asked = explaining._Asked(arms, model, ["one", "two", "three"])
        whole = asked._score([0, 1, 2])[0]
        costs = [whole - asked._score([at for at in range(3) if at != gone])[0] for gone in range(3)]
    assert [one.weight for one in found.words] == pytest.approx(costs, abs=1e-4)


@pytest.mark.parametrize("prompt", ["", "  ", "x " * 201])
def test_what_can_not_be_explained_is_said(prompt: str, tiny_base: Path) -> None:
    with pytest.raises(BadInput, match="1 to 200 words"):
        explain(tiny_base, None, prompt)
