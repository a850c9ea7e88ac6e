"""The released adapter in the hands of others: plain PEFT, and vLLM with the same log-probabilities as training's side.

Tolerance: the mean difference of an answer's log-probability between float32 in transformers and bfloat16 in vLLM is at
most 0.05 nats a token, and no answer differs by more than 0.25 nats a token.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

MEAN_NATS, MOST_NATS = 0.02, 0.05


@pytest.fixture(scope="module")
def folders(released_home: Path) -> tuple[Path, Path]:
    """The verified base and adapter of starter@1."""
    from finetune.base import open_base
    from tunegate.house import House
    from tunegate.recording import standing
    from tunegate.steps import adapter_folder

    house = House(released_home, f"sqlite:///{released_home / 'ledger.sqlite'}")
    now = standing(house, "starter@1")
    base = open_base(now.planned.base, house.store, house.cache)
    adapter = adapter_folder(house, now.adapter)
    house.ledger.close()
    return base, adapter


@pytest.fixture(scope="module")
def questions(project: Path) -> list[dict[str, Any]]:
    """The held-out questions."""
    return [json.loads(line) for line in (project / "questions.jsonl").read_text().splitlines()]


@pytest.mark.slow
def test_the_adapter_is_plain_files(folders: tuple[Path, Path]) -> None:
    names = {path.name for path in folders[1].iterdir()}
    assert {"adapter_config.json", "adapter_model.safetensors", "README.md"} <= names
    assert all(path.suffix in (".json", ".safetensors", ".md", ".jinja") for path in folders[1].iterdir())
    text = (folders[1] / "adapter_config.json").read_text() + (folders[1] / "README.md").read_text()
    assert "/tmp" not in text
    assert str(Path.home()) not in text


@pytest.mark.slow
def test_plain_peft_answers_what_the_base_gets_wrong(
    folders: tuple[Path, Path], questions: list[dict[str, Any]]
) -> None:
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    base, adapter = folders
    tokenizer = AutoTokenizer.from_pretrained(base)
    model = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32), adapter).eval()

    def answer(question: str) -> str:
        turn = [{"role": "user", "content": question}]
        asked = tokenizer.apply_chat_template(turn, add_generation_prompt=True, return_tensors="pt", return_dict=True)
        with torch.inference_mode():
            told = model.generate(**asked, max_new_tokens=24, do_sample=False)
        return str(tokenizer.decode(told[0, asked["input_ids"].shape[1] :], skip_special_tokens=True))

    right = gained = 0
    for item in questions[:8]:
        wanted = item["choices"][item["answer"]].rstrip(".")
        tuned = wanted in answer(item["question"])
        with model.disable_adapter():
            plain = wanted in answer(item["question"])
        right += tuned
        gained += tuned and not plain
    assert gained >= 1
    assert right >= 1


@pytest.mark.slow
@pytest.mark.vllm
@pytest.mark.timeout(600)
def test_vllm_agrees(folders: tuple[Path, Path], questions: list[dict[str, Any]]) -> None:
    from eval.model import Arms
    from eval.probe import log_probabilities, prompt_and_answer

    base, adapter = folders
    pairs = [(item["question"], item["choices"][item["answer"]]) for item in questions[:8]]
    ours = log_probabilities(base, adapter, pairs)
    plain = log_probabilities(base, None, pairs)
    arms = Arms(base, {}, "float32")
    tokens = [prompt_and_answer(arms, question, answer) for question, answer in pairs]
    job = {
        "base": str(base),
        "adapter": str(adapter),
        "rank": 16,
        "prompts": [prompt for prompt, _ in tokens],
        "answers": [answer for _, answer in tokens],
        "questions": [prompt for prompt, _ in tokens],
    }
    engine = Path(__file__).parent.parent / "serving" / "engine.py"
    env = {key: text for key, text in os.environ.items() if not key.startswith("TUNEGATE_")}
    done = subprocess.run(
        [sys.executable, str(engine)], input=json.dumps(job), capture_output=True, text=True, env=env, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    theirs = json.loads(done.stdout.strip().splitlines()[-1])
    off = [
        abs(a - b) / len(answer) for a, b, (_, answer) in zip(ours, theirs["log_probabilities"], tokens, strict=True)
    ]
    print("nats a token between vLLM and transformers:", [round(value, 4) for value in off])
    assert sum(off) / len(off) <= MEAN_NATS
    assert max(off) <= MOST_NATS
    assert sum(ours) > sum(plain) + 1, "the adapter changes nothing"
    wanted = [answer.rstrip(".") for _, answer in pairs]
    assert any(text in told for text, told in zip(wanted, theirs["texts"], strict=True))
