"""The measuring half of an estimate: a model's sizes without its weights, and one real step's speed and memory."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from finetune.estimate import Shape
from finetune.proofs import gradient
from finetune.render import Encoded
from tunegate_core.config import LoraBlock
from tunegate_core.errors import BadInput

PROBE_TOKENS = 384


@dataclass(frozen=True)
class Probe:
    """One forward and backward pass of a packed sequence on one worker, and the bytes it kept per token."""

    tokens_per_second: float
    activation_bytes: float
    gpu: bool


def shape_of(folder: Path, lora: LoraBlock, parameters: int) -> Shape:
    """The sizes of a model and of what is adapted in it, from its config alone. Raises BadInput for unknown targets."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    config: Any = AutoConfig.from_pretrained(folder, trust_remote_code=False).get_text_config()
    auto: Any = AutoModelForCausalLM
    with torch.device("meta"):
        model = auto.from_config(config)
    head = model.get_output_embeddings()
    layers = {
        name: (module.in_features, module.out_features)
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.Linear) and module is not head
    }
    return Shape(
        parameters=parameters,
        layers=config.num_hidden_layers,
        hidden=config.hidden_size,
        intermediate=getattr(config, "intermediate_size", None) or 4 * config.hidden_size,
        key_value=_key_value(config),
        vocabulary=config.vocab_size,
        linears=_adapted(layers, lora),
    )


def probe_step(model: Any, examples: Sequence[Encoded]) -> Probe:
    """Time one step of `model` (base and adapter, in the precision of the training) on real rows behind one another."""
    import torch

    rows = _enough(examples)
    supervised = max(1, sum(example.supervised for example in rows))
    first = next(model.parameters())
    with torch.autocast(first.device.type, dtype=torch.bfloat16, enabled=first.dtype == torch.bfloat16):
        kept = _kept_bytes(model, rows[:1], supervised)  # this first pass also pays for kernels being chosen
        start = time.perf_counter()
        gradient(model, [rows], supervised)
        if first.is_cuda:
            torch.cuda.synchronize()
        elapsed = time.perf_counter() - start
    tokens = sum(len(example.input_ids) for example in rows)
    return Probe(tokens / elapsed, kept / len(rows[0].input_ids), first.is_cuda)


def _kept_bytes(model: Any, rows: Sequence[Encoded], supervised: int) -> int:
    """Bytes autograd keeps for the backward pass, each storage once, without weights and without logits."""
    import torch

    weights = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}
    vocabulary = model.get_output_embeddings().weight.shape[0]
    kept: dict[int, int] = {}

    def note(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights and vocabulary not in tensor.shape[-1:]:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        gradient(model, [rows], supervised)
    return sum(kept.values())


def _enough(examples: Sequence[Encoded]) -> list[Encoded]:
    rows: list[Encoded] = []
    for example in examples:
        rows.append(example)
        if sum(len(row.input_ids) for row in rows) >= PROBE_TOKENS:
            break
    return rows


def _adapted(layers: dict[str, tuple[int, int]], lora: LoraBlock) -> tuple[tuple[int, int], ...]:
    if lora.targets == "all-linear":
        return tuple(layers.values())
    last = {name: name.rsplit(".", 1)[-1] for name in layers}
    unknown = sorted(set(lora.targets) - set(last.values()))
    if unknown:
        there = ", ".join(sorted(set(last.values())))
        raise BadInput(f"finetune.lora.targets: the model has no linear layer '{unknown[0]}'; it has {there}")
    return tuple(size for name, size in layers.items() if last[name] in lora.targets)


def _key_value(config: Any) -> int:
    heads = config.num_attention_heads
    width = getattr(config, "head_dim", None) or config.hidden_size // heads
    return int((getattr(config, "num_key_value_heads", None) or heads) * width)
