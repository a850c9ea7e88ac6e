"""Sharing prompts changes the time, not the likelihoods: the harness's own scoring is the oracle."""

from pathlib import Path
from typing import Any

import pytest

from eval.backend import Setup


@pytest.fixture(scope="module")
def backend(tiny_base: Path, tiny_adapter: Path) -> Any:
    """The backend that scores here."""
    from eval.backends.transformers import Transformers

    return Transformers(Setup(tiny_base, {"candidate": tiny_adapter}, "float32", 1))


def asking(base: Path, backend: Any, batch_size: int) -> Any:
    from eval.asking import AskingLM

    return AskingLM(base, batch_size, lambda batches: ((at, batch.by(backend)) for at, batch in enumerate(batches)))


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
def test_likelihoods_equal_the_harness_s_own(
    tiny_base: Path, backend: Any, arm: Any, batch_size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    lm = asking(tiny_base, backend, batch_size)
    lm.arm = arm
    asked = requests(lm)
    shared = lm._loglikelihood_tokens(asked)
    assert backend.shares
    monkeypatch.setattr(backend, "shares", False)
    plain = lm._loglikelihood_tokens(asked)
    assert [value for value, _ in shared] == pytest.approx([value for value, _ in plain], abs=1e-3)
    assert [greedy for _, greedy in shared] == [greedy for _, greedy in plain]


@pytest.mark.parametrize("template", [True, False])
def test_texts_are_encoded_as_the_harness_s_own_model_does(
    tiny_base: Path, backend: Any, template: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoder = backend.encoder
    if not template:
        monkeypatch.setattr(encoder, "chat", False)
        monkeypatch.delitem(backend.__dict__, "_harness", raising=False)
    theirs = backend._harness
    for text in ("Which number follows 1?", "<|endoftext|>a", "<|im_end|>a", " Köln 😀 ", "a\n"):
        for special in (None, True, False):
            assert encoder.encode(text, special) == theirs.tok_encode(text, special)
    assert (encoder.beginning, encoder.end_of_text) == (theirs.prefix_token_id, theirs.eot_token_id)
    assert encoder.max_length == theirs.max_length
    backend.__dict__.pop("_harness", None)


def test_shared_tokens_leave_one_of_each_row() -> None:
    from eval.packing import shared_length

    assert shared_length([(1, 2, 3), (1, 2, 4)]) == 2
    assert shared_length([(1, 2, 3), (1, 2, 3)]) == 2
    assert shared_length([(1, 2), (1, 2, 3), (1, 2, 4)]) == 1
    assert shared_length([(1, 2), (3, 2)]) == 0
    assert shared_length([(1,)]) == 0


def test_a_row_is_the_prompt_and_what_each_answer_needs() -> None:
    from eval.packing import Question

    question = Question((1, 2), {5: (7, 8, 3), 6: (7, 8, 4, 4, 9)})
    assert question.row == (1, 2, 7, 8, 4, 4)  # the last token of an answer is scored, not read
    assert question.segments() == [0, 0, 0, 0, 2, 2]
    assert question.positions() == [0, 1, 2, 3, 4, 5]
    assert question.scored == (1, 2, 3, 4, 5)
    assert question.places == ([0, 1, 2], [0, 1, 2, 3, 4])


def test_an_answer_sees_the_prompt_and_itself() -> None:
    import torch

    from eval.packing import _seen

    seen = _seen(torch.tensor([[0, 1, 1, 2, -1]]), shared=1)[0, 0]
    assert seen.int().tolist() == [
        [1, 1, 0, 0, 0, 0],
        [1, 1, 1, 0, 0, 0],
        [1, 1, 1, 1, 0, 0],
        [1, 1, 0, 0, 1, 0],
        [1, 1, 0, 0, 0, 1],
    ]


def test_batches_have_much_one_length_and_a_fixed_order() -> None:
    from eval.asking import batches_of
    from eval.packing import Question

    questions = [Question(prompt, {0: (5,)}) for prompt in [(1, 2), (3,), (1, 1, 1), (2,), (0, 5)]]
    expected = [[(1, 1, 1), (0, 5)], [(1, 2), (2,)], [(3,)]]
    for order in (questions, questions[::-1]):
        assert [[question.prompt for question in batch] for batch in batches_of(order, 2)] == expected


def test_long_rows_make_small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    from eval import asking as subject
    from eval.packing import Question

    monkeypatch.setattr(subject, "BATCH_TOKENS", 12)
    questions = [Question((n,) * length, {0: (5,)}) for n, length in enumerate((20, 6, 5, 2, 2, 2))]
    assert [[len(q.row) for q in batch] for batch in subject.batches_of(questions, 3)] == [[20], [6, 5], [2, 2, 2]]


def test_a_model_that_can_not_be_packed_is_found_out(backend: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from eval import packing

    assert packing.can_pack(backend.arms.model)
    real = packing._seen
    monkeypatch.setattr(packing, "_seen", lambda segments, shared: real(segments.clamp(max=0), shared))
    assert not packing.can_pack(backend.arms.model)  # choices that see each other


def test_positions_that_go_on_are_found_out(backend: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from eval import packing

    monkeypatch.setattr(packing.Question, "positions", lambda question: list(range(len(question.row))))
    assert not packing.can_pack(backend.arms.model)


def test_a_model_that_can_not_be_packed_says_so(
    tiny_base: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from eval.backends import transformers as subject

    monkeypatch.setattr("eval.packing.can_pack", lambda model: False)
    assert not subject.Transformers(Setup(tiny_base, {}, "float32", 1)).shares
    assert "takes long" in caplog.text
