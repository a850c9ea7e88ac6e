"""The released adapter in the hands of others: plain files, and plain PEFT. With vLLM: test_serving.py."""

from pathlib import Path
from typing import Any

import pytest


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
