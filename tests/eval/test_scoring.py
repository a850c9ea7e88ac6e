"""Sharing prompts changes the time, not the likelihoods: the harness's own scoring is the oracle."""

from pathlib import Path
from typing import Any

import pytest

from eval.model import Arms


@pytest.fixture(scope="module")
def arms(tiny_base: Path, tiny_adapter: Path) -> Arms:
    return Arms(tiny_base, {"candidate": tiny_adapter}, "float32")


def requests(lm: Any) -> list[Any]:
    """Prompts of several lengths with one to four answers of several lengths, alone and alike."""
    made = []
    for n in range(7):
        prompt = f"<|user|>Which number follows {n * 111}?<|end|><|assistant|>"
        answers = [f"It is {n}.", f"It is {n * 11} and more.", "No", f"{n * 12345}"]
        for answer in answers[n % 3 : n % 3 + n // 2 + 1]:
            made.append(((prompt, answer), *lm._encode_pair(prompt, answer)))
    return made


@pytest.mark.parametrize("arm", ["candidate", "base"])
@pytest.mark.parametrize("batch_size", [1, 3, 16])
def test_likelihoods_equal_the_harness_s_own(arms: Arms, arm: Any, batch_size: int) -> None:
    from eval.quiet import quiet
    from eval.scoring import PromptSharingLM

    with quiet(), arms.on(arm) as model:
        lm = PromptSharingLM(model, arms.tokenizer, batch_size)
        asked = requests(lm)
        shared = lm._loglikelihood_tokens(asked)
        assert lm._shares
        lm._shares = False
        plain = lm._loglikelihood_tokens(asked)
    assert [value for value, _ in shared] == pytest.approx([value for value, _ in plain], abs=1e-3)
    assert [greedy for _, greedy in shared] == [greedy for _, greedy in plain]


def test_shared_tokens_leave_one_of_each_row() -> None:
    from eval.scoring import _shared_length

    assert _shared_length([(1, 2, 3), (1, 2, 4)]) == 2
    assert _shared_length([(1, 2, 3), (1, 2, 3)]) == 2
    assert _shared_length([(1, 2), (1, 2, 3), (1, 2, 4)]) == 1
    assert _shared_length([(1, 2), (3, 2)]) == 0
    assert _shared_length([(1,)]) == 0


def test_answers_begin_where_they_differ() -> None:
    from eval.scoring import Question

    question = Question.of((1, 2), {5: (7, 8, 3), 6: (7, 8, 4, 4)})
    assert (question.start, question.common) == ((1, 2, 7, 8), 2)


def test_batches_have_one_length_and_a_fixed_order() -> None:
    from eval.scoring import Question, _batches

    questions = [Question(start, 0, {}) for start in [(1, 2), (3,), (1, 1), (2,), (0, 5), (9,)]]
    expected = [[(0, 5), (1, 1)], [(1, 2)], [(2,), (3,)], [(9,)]]
    for order in (questions, questions[::-1]):
        assert [[question.start for question in batch] for batch in _batches(order, 2)] == expected
