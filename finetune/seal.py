"""A raw adapter becomes a sealed one: an allow-listed set of plain files, scanned, under one digest.

Nothing of the machine is in it (no paths, no times, no salts), so the same training gives the same digest. Pickle
formats, tensors that are not finite, shapes that do not fit the base, and adapters that change nothing are refused.
"""

import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

from finetune.base import TEMPLATE_FILE
from finetune.card import render_card
from tunegate_core.canonical import canonical_json
from tunegate_core.config import FinetuneBlock
from tunegate_core.errors import BadInput, IntegrityError, TrainingFault
from tunegate_core.records import AdapterRecord, BaseModelRecord, RowCounts
from tunegate_core.store import Store

WEIGHTS = "adapter_model.safetensors"
CONFIG = "adapter_config.json"
CARD = "README.md"
PICKLES = (".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt")
PREFIX = "base_model.model."
# What differs between machines or says nothing about the adapter.
LEFT_OUT = ("revision", "auto_mapping", "parent_library")


def seal(
    adapter_folder: Path,
    base: BaseModelRecord,
    block: FinetuneBlock,
    config: str,
    counts: RowCounts,
    store: Store,
    base_folder: Path,
) -> AdapterRecord:
    """Scan a raw PEFT folder and put its sealed form into the store. `config` is the digest of the resolved config.

    Raises BadInput for a format or shapes that can't be served, TrainingFault for weights that must not be.
    """
    settings = read_settings(adapter_folder)
    tensors = load_tensors(adapter_folder)
    verify_tensors(tensors, base_folder)
    with tempfile.TemporaryDirectory() as place:
        draft = Path(place)
        shutil.copyfile(adapter_folder / WEIGHTS, draft / WEIGHTS)
        (draft / CONFIG).write_bytes(canonical_json(normalised(settings, base.source)))
        (draft / CARD).write_text(render_card(base, block, counts), encoding="utf-8")
        if (base_folder / TEMPLATE_FILE).is_file():
            shutil.copyfile(base_folder / TEMPLATE_FILE, draft / TEMPLATE_FILE)
        tree = store.put_tree(draft)
    return AdapterRecord(
        tree=tree,
        base=base.tree,
        template=base.template,
        config=config,
        rank=settings["r"],
        target_modules=tuple(sorted(settings["target_modules"])),
        parameters=sum(tensor.numel() for tensor in tensors.values()),
    )


def read_settings(folder: Path) -> dict[str, Any]:
    """The adapter's PEFT config. Raises BadInput for pickles and for what is no LoRA adapter."""
    pickles = sorted(path.name for path in folder.iterdir() if path.suffix in PICKLES)
    if pickles:
        raise BadInput(
            f"the adapter in {folder} holds {', '.join(pickles)}; pickle formats run code when they are read; "
            "save it with safe_serialization=True"
        )
    if not (folder / CONFIG).is_file() or not (folder / WEIGHTS).is_file():
        raise BadInput(f"{folder} is no adapter; expected {CONFIG} and {WEIGHTS}")
    settings: dict[str, Any] = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    if settings.get("peft_type") != "LORA":
        raise BadInput(f"the adapter in {folder} is a {settings.get('peft_type')}; expected LORA")
    return settings


def load_tensors(folder: Path) -> dict[str, Any]:
    """The adapter's tensors by name."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        tensors: dict[str, Any] = load_file(folder / WEIGHTS)
    except SafetensorError as error:
        raise IntegrityError(f"{folder / WEIGHTS} is no safetensors file: {error}") from error
    return tensors


def verify_tensors(tensors: dict[str, Any], base_folder: Path) -> None:
    """Raises unless every tensor is finite, fits the base, and the adapter as a whole has an effect."""
    import torch

    broken = [name for name, tensor in tensors.items() if not torch.isfinite(tensor).all()]
    if broken:
        raise TrainingFault(f"{len(broken)} of {len(tensors)} tensors hold NaN or infinity, first {broken[0]}")
    shapes = base_shapes(base_folder)
    for name, tensor in tensors.items():
        module, part = name.removeprefix(PREFIX).rsplit(".lora_", 1) if ".lora_" in name else (name, "")
        shape = shapes.get(module)
        if shape is None:
            raise BadInput(f"the adapter has {name}, but the base has no linear layer {module}")
        side = 1 if part.startswith("A") else 0
        found = tensor.shape[1] if side else tensor.shape[0]
        if found != shape[side]:
            raise BadInput(f"{name} is {tuple(tensor.shape)}; the base's {module} is {shape}; another base's adapter?")
    if not any(".lora_B" in name and bool(tensor.any()) for name, tensor in tensors.items()):
        raise TrainingFault("the adapter changes nothing: every B matrix is zero; train longer or with a higher rate")


def base_shapes(base_folder: Path) -> dict[str, tuple[int, int]]:
    """(out, in) of every linear layer of the base, read without its weights."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(base_folder))
    linear = ((name, part) for name, part in model.named_modules() if isinstance(part, torch.nn.Linear))
    return {name: (part.out_features, part.in_features) for name, part in linear}


def normalised(settings: dict[str, Any], source: str) -> dict[str, Any]:
    """The PEFT config without what belongs to the machine; the base is named by where it can be had."""
    kept = {key: value for key, value in settings.items() if key not in LEFT_OUT}
    kept["target_modules"] = sorted(settings["target_modules"])
    kept["base_model_name_or_path"] = source
    kept["inference_mode"] = True
    return kept
