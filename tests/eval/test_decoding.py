"""Answers are decoded faster than by `generate` and are the same: the harness's own generation is the oracle."""

from pathlib import Path
from typing import Any

import pytest

from eval.backend import Setup
from eval.model import Arms


@pytest.fixture(scope="module")
def backend(tiny_base: Path, tiny_adapter: Path) -> Any:
    """The backend that scores here."""
    from eval.backends.transformers import Transformers

    return Transformers(Setup(tiny_base, {"candidate": tiny_adapter}, "float32", 1))


def requests(until: list[str], room: int) -> list[Any]:
    """Prompts of several lengths that begin alike, and one that does not."""
    from lm_eval.api.instance import Instance

    prompts = [f"<|user|>Which number follows {n * 111}?<|assistant|>" for n in (1, 0, 33, 9, 777, 4)] + ["No"]
    settings = {"until": until, "do_sample": False, "temperature": 0.0, "max_gen_toks": room}
    return [Instance("generate_until", {}, (prompt, dict(settings)), n) for n, prompt in enumerate(prompts)]


@pytest.mark.parametrize("arm", ["candidate", "base"])
@pytest.mark.parametrize(("until", "room"), [([], 12), (["e", " t"], 12), ([], 1)])
def test_answers_equal_the_harness_s_own(
    tiny_base: Path, backend: Any, arm: Any, until: list[str], room: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    from eval.asking import AskingLM

    lm = AskingLM(tiny_base, 1, lambda batches: ((at, batch.by(backend)) for at, batch in enumerate(batches)))
    lm.arm = arm
    asked = requests(until, room)
    decoded = lm.generate_until(asked)
    monkeypatch.setattr(backend, "shares", False)
    assert decoded == lm.generate_until(asked)
    assert len(set(decoded)) > 1


def test_an_answer_that_fills_its_room_without_an_end_was_cut_off(backend: Any) -> None:
    encoder = backend.encoder
    words = tuple(encoder.encode("one two three", add_special_tokens=False)[:3])
    stop = encoder.tokenizer.decode(words[2]).strip()
    made = [words, (*words[:2], encoder.end_of_text), words[:2]]
    for until, expected in (([], [True, False, False]), ([stop], [False, False, False])):
        settings = {"until": until, "max_gen_toks": 3}
        told = encoder.answers(["a", "b", "c"], settings, frozenset(), lambda prompts, ending: made)
        assert [is_cut for _, is_cut in told] == expected
    long = encoder.answers(["a " * 2000], {"max_gen_toks": 3}, frozenset(), lambda prompts, ending: made)
    assert long == [("", False)]  # not asked, and not measured


def test_a_row_leaves_when_its_answer_ends(
    tiny_base: Path, tiny_adapter: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    from eval import decoding

    arms = Arms(tiny_base, {"candidate": tiny_adapter}, "float32")
    prompts = [tuple(arms.tokenizer.encode(f"Say {n}.")) for n in range(5)]
    with arms.on("candidate") as model:
        free = decoding.decode(model, arms.tokenizer, prompts, decoding.Ending(8, frozenset(), ()))
        ends = frozenset({free[0][2]})
        widths: list[int] = []
        real = decoding._step

        def counted(model: Any, tokens: torch.Tensor, *rest: Any) -> Any:
            widths.append(tokens.shape[0])
            return real(model, tokens, *rest)

        monkeypatch.setattr(decoding, "_step", counted)
        ended = decoding.decode(model, arms.tokenizer, prompts, decoding.Ending(8, ends, ()))
    expected = [next((a[: at + 1] for at, token in enumerate(a) if token in ends), a) for a in free]
    assert ended == expected
    assert widths == sorted(widths, reverse=True)
    assert widths[-1] < widths[0] == 5


def test_what_changes_greedy_decoding_is_left_to_the_library(backend: Any) -> None:
    from eval.decoding import is_greedy

    greedy = {"do_sample": False, "temperature": 0.0, "until": ["x"], "max_gen_toks": 4}
    assert is_greedy(backend.encoder, greedy)
    assert not is_greedy(backend.encoder, {**greedy, "do_sample": True, "temperature": 0.7})
    assert not is_greedy(backend.encoder, {**greedy, "num_beams": 4})

    class Repeating:
        generation_config = type("Own", (), {"to_diff_dict": lambda self: {"repetition_penalty": 1.2}})()

    assert not is_greedy(Repeating(), greedy)
