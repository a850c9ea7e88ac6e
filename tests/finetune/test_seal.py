"""Sealing: plain files, the same digest for the same adapter, and a refusal for everything that must not be served."""

import json
from pathlib import Path
from typing import Any

import pytest

from finetune.card import render_card
from finetune.seal import CONFIG, WEIGHTS, seal
from tunegate_core.canonical import digest
from tunegate_core.config import BaseBlock, DataBlock, FinetuneBlock
from tunegate_core.errors import BadInput, TrainingFault
from tunegate_core.records import AdapterRecord, BaseModelRecord, RowCounts
from tunegate_core.store import Store

BLOCK = FinetuneBlock(base=BaseBlock(model="m"), data=DataBlock(source="d.jsonl"))
COUNTS = RowCounts(
    read=3,
    kept=2,
    truncated=0,
    empty=1,
    over_long=0,
    duplicate=0,
    near_duplicate=0,
    overlapping_items=0,
    unsupervised=0,
)
BASE = BaseModelRecord(
    source="pkg://tiny@1", tree="sha256:" + "0" * 64, template="sha256:" + "1" * 64, architecture="LlamaForCausalLM",
    parameters=1000, vocabulary=259, hidden_size=32, licence="apache-2.0",
)  # fmt: skip


@pytest.fixture
def raw(tiny_base: Path, tmp_path: Path) -> Path:
    """What PEFT saves, with an effect."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    model = get_peft_model(
        AutoModelForCausalLM.from_pretrained(tiny_base), LoraConfig(r=4, target_modules=["q_proj", "down_proj"])
    )
    torch.manual_seed(3)
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter)
    model.save_pretrained(tmp_path / "raw")
    return tmp_path / "raw"


def sealed(raw: Path, tiny_base: Path, store: Store) -> AdapterRecord:
    return seal(raw, BASE, BLOCK, "sha256:" + "2" * 64, COUNTS, store, tiny_base)


def rewrite(raw: Path, change: Any) -> None:
    from safetensors.torch import load_file, save_file

    tensors = load_file(raw / WEIGHTS)
    change(tensors)
    save_file(tensors, raw / WEIGHTS)


def test_only_plain_files_without_the_machine(raw: Path, tiny_base: Path, tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    record = sealed(raw, tiny_base, store)
    names = {file.path for file in store.get_tree(record.tree).files}
    assert names == {CONFIG, WEIGHTS, "README.md", "chat_template.jinja"}
    settings = json.loads(store.tree_file(record.tree, CONFIG))
    assert settings["base_model_name_or_path"] == "pkg://tiny@1"
    card = store.tree_file(record.tree, "README.md").decode()
    assert str(tiny_base) not in card + json.dumps(settings)
    assert (record.rank, record.target_modules) == (4, ("down_proj", "q_proj"))


@pytest.mark.parametrize(
    ("data", "told"),
    [
        ({}, "8 rows were read and 5 kept (0 of them truncated). Dropped: 2 equal to an earlier row, "),
        (
            {"duplicates": "keep", "near_duplicates": "drop"},
            "kept (0 of them truncated). Dropped: 1 with an evaluation ",
        ),
    ],
)
def test_the_card_says_what_was_dropped_and_not_what_was_only_counted(data: dict[str, str], told: str) -> None:
    counted = {"duplicate": 2, "near_duplicate": 1, "overlapping_items": 1}
    counts = RowCounts(**{**COUNTS.model_dump(), "read": 8, "kept": 5, "empty": 0, **counted})
    block = BLOCK.model_copy(update={"data": DataBlock.model_validate({"source": "d.jsonl", **data})})
    card = render_card(BASE, block, counts)
    assert told in card
    assert ("1 nearly equal" in card) == ("near_duplicates" in data)
    assert "chat_template.jinja" in card
    without = BASE.model_copy(update={"template": digest(b"")})
    assert "chat_template.jinja" not in render_card(without, block, counts)


def test_the_same_adapter_has_the_same_digest(raw: Path, tiny_base: Path, tmp_path: Path) -> None:
    first = sealed(raw, tiny_base, Store(tmp_path / "a")).tree
    settings = json.loads((raw / CONFIG).read_text())
    settings["base_model_name_or_path"] = "/another/place"
    settings["target_modules"] = settings["target_modules"][::-1]
    (raw / CONFIG).write_text(json.dumps(settings))
    assert sealed(raw, tiny_base, Store(tmp_path / "b")).tree == first


def test_a_tensor_that_is_not_finite_is_refused(raw: Path, tiny_base: Path, tmp_path: Path) -> None:
    import torch

    def poison(tensors: dict[str, torch.Tensor]) -> None:
        next(iter(tensors.values()))[0, 0] = float("nan")

    rewrite(raw, poison)
    with pytest.raises(TrainingFault, match="NaN"):
        sealed(raw, tiny_base, Store(tmp_path / "store"))


def test_an_adapter_that_changes_nothing_is_refused(raw: Path, tiny_base: Path, tmp_path: Path) -> None:
    import torch

    def silence(tensors: dict[str, torch.Tensor]) -> None:
        for name, tensor in tensors.items():
            if "lora_B" in name:
                tensor.zero_()

    rewrite(raw, silence)
    with pytest.raises(TrainingFault, match="changes nothing"):
        sealed(raw, tiny_base, Store(tmp_path / "store"))


def test_shapes_of_another_base_are_refused(raw: Path, tiny_base: Path, tmp_path: Path) -> None:
    import torch

    def widen(tensors: dict[str, torch.Tensor]) -> None:
        name = next(name for name in tensors if "lora_A" in name)
        tensors[name] = torch.ones(4, 77)

    rewrite(raw, widen)
    with pytest.raises(BadInput, match="another base"):
        sealed(raw, tiny_base, Store(tmp_path / "store"))


@pytest.mark.parametrize("name", ["adapter_model.bin", "training_args.bin", "x.pkl"])
def test_pickles_are_refused(name: str, raw: Path, tiny_base: Path, tmp_path: Path) -> None:
    (raw / name).write_bytes(b"\x80\x04.")
    with pytest.raises(BadInput, match="pickle"):
        sealed(raw, tiny_base, Store(tmp_path / "store"))
