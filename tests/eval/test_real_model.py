"""The same with a real model of 135 million parameters: it is measured as the harness would, and repeatably."""

from pathlib import Path
from typing import Any

import pytest

from eval.answer import generate
from eval.backend import Setup
from eval.examine import examine
from eval.items import freeze, open_task
from eval.probe import log_probabilities, prompt_and_answer
from tunegate_core.config import TaskBlock
from tunegate_core.store import Store

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
QUESTIONS = Path(__file__).parents[2] / "configs/data/support-bot/general.jsonl"
TASK = TaskBlock(name="general", questions=str(QUESTIONS), limit=40)


@pytest.fixture(scope="module")
def base(real_base: Path) -> Path:
    return real_base


def test_the_base_is_measured_repeatably(base: Path, tmp_path: Path) -> None:
    def once(cache: str) -> Any:
        return examine(
            [TASK],
            freeze([TASK]),
            base,
            "sha256:base",
            {"candidate": None, "base": None},
            {"candidate": "sha256:base", "base": "sha256:base"},
            Store(tmp_path / "store"),
            tmp_path / cache,
            16,
            "bfloat16",
            lambda stage, done, total, **_: None,
        )[0]

    first, second = once("one"), once("two")
    assert first.digest() == second.digest()
    assert first.n == 40
    assert first.arms[0].unmeasured == {}
    assert sum(right for _, right, _ in first.arms[0].clusters) >= 28  # it knows its capitals


def asking(base: Path, backend: Any) -> Any:
    from eval.asking import AskingLM

    return AskingLM(base, 16, lambda batches: ((at, batch.by(backend)) for at, batch in enumerate(batches)))


def test_precision_and_sharing_leave_the_accuracy_as_it_is(base: Path) -> None:
    from eval import lmeval
    from eval.backends.transformers import Transformers
    from eval.quiet import quiet

    few = TASK.model_copy(update={"limit": 12})
    opened = open_task(few)
    accuracies = {}
    for precision, shares in (("bfloat16", True), ("float32", True), ("float32", False)):
        backend = Transformers(Setup(base, {}, precision, 16))  # type: ignore[arg-type]
        backend.shares = shares
        with quiet():
            samples = lmeval.run(asking(base, backend), opened.build(), few, chat=True)
        accuracies[precision, shares] = [sample["acc"] for sample in samples]
    assert accuracies["float32", True] == accuracies["float32", False]
    differing = sum(a != b for a, b in zip(accuracies["bfloat16", True], accuracies["float32", True], strict=True))
    assert differing <= 1


def test_the_base_answers(base: Path) -> None:
    assert "Paris" in generate(base, None, "What is the capital of France?", 16)


def test_the_probe_agrees_with_the_harness(base: Path) -> None:
    from eval.backends.transformers import Transformers

    question, answer = "What is the capital of France?", "The capital of France is Paris."
    backend = Transformers(Setup(base, {}, "float32", 1))
    prompt, tokens = prompt_and_answer(backend.arms, question, answer)
    ((expected, _),) = asking(base, backend)._loglikelihood_tokens([(("", ""), prompt, tokens)])
    assert log_probabilities(base, None, [(question, answer)]) == pytest.approx([expected], abs=1e-3)


@pytest.mark.parametrize("size", [0.005, 0.05])
def test_rounding_in_bfloat16_is_not_taken_for_a_leak(base: Path, tmp_path: Path, size: float) -> None:
    """Also with an adapter that is wild, as one that was harmed in training."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    from eval.backends.transformers import Transformers

    torch.manual_seed(0)
    settings = LoraConfig(r=16, lora_alpha=16, target_modules="all-linear", task_type="CAUSAL_LM")
    model = get_peft_model(AutoModelForCausalLM.from_pretrained(base), settings)
    for name, value in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(value, std=size)
    model.save_pretrained(str(tmp_path))
    for precision in ("bfloat16", "float32"):
        assert Transformers(Setup(base, {"candidate": tmp_path}, precision, 16)).shares  # type: ignore[arg-type]
