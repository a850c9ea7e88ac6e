"""What a training will need, before it starts: parameters, memory, steps, time, disk. Pure: figures in, figures out.

Memory of one worker, in bytes: the base's weights, the adapter (parameter, gradient and Adam's two moments in float32),
the activations kept for the backward pass, and the vocabulary term: logits and their gradient in float32 for the
supervised tokens that are scored at once. The last is the one that estimates tend to leave out: at 150,000 words,
8,192 tokens of logits alone are 5 GB.
"""

import math
from dataclasses import dataclass

from pydantic import Field

from tunegate_core.records import Record

FLOAT32_BYTES = 4
# Parameter, gradient, and Adam's first and second moment.
ADAPTER_COPIES = 4
# A worker's interpreter, libraries and allocator slack, seen with torch, transformers and Ray loaded.
RUNTIME_BYTES = 1_200_000_000
# Ray's start, imports and loading the base, seen on two cores.
STARTUP_SECONDS = 30.0


@dataclass(frozen=True)
class Shape:
    """A model's sizes. `linears` are (inputs, outputs) of every linear layer that is adapted."""

    parameters: int
    layers: int
    hidden: int
    intermediate: int
    key_value: int
    vocabulary: int
    linears: tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Load:
    """What one worker holds at once: `tokens` in a micro-batch, `scored` of them with logits at the same time.

    `element` is the bytes of a weight or activation; `shards` over how many workers the weights are split (FSDP).
    """

    tokens: int
    scored: int
    element: int
    shards: int = 1


class Memory(Record):
    """Bytes of one worker."""

    weights: int = Field(ge=0)
    adapter: int = Field(ge=0)
    activations: int = Field(ge=0)
    logits: int = Field(ge=0)
    runtime: int = Field(ge=0)

    @property
    def total(self) -> int:
        """All of it."""
        return self.weights + self.adapter + self.activations + self.logits + self.runtime


class Estimate(Record):
    """What a training will need. `seconds` is None where no speed was measured."""

    trainable: int = Field(ge=0)
    steps: int = Field(ge=0)
    tokens: int = Field(ge=0)
    supervised_tokens: int = Field(ge=0)
    memory: Memory
    disk: int = Field(ge=0)
    seconds: float | None


def trainable_parameters(shape: Shape, rank: int) -> int:
    """LoRA's parameters: rank x (inputs + outputs) of each adapted layer (Hu et al. 2021)."""
    return sum(rank * (inputs + outputs) for inputs, outputs in shape.linears)


def tokens_of(steps: int, rows_per_step: int, rows: int, tokens: int) -> int:
    """Tokens in all steps, where `rows` rows have `tokens` tokens; the last step of each pass may be a short one."""
    return round(tokens * steps / math.ceil(rows / rows_per_step))


def activation_bytes(shape: Shape, load: Load) -> int:
    """Bytes kept for the backward pass of a gated decoder whose weights are frozen.

    Per token and layer: two norms keep their float32 input; attention keeps its input, queries, keys, values and
    output; the gated block keeps its input, gate, activated gate, up projection and product. Frozen weights need no
    input of their own, but each adapter does; it is the same tensor.
    """
    norms = 2 * FLOAT32_BYTES * shape.hidden
    attention = 3 * shape.hidden + 2 * shape.key_value
    gated = shape.hidden + 4 * shape.intermediate
    return load.tokens * shape.layers * (norms + load.element * (attention + gated))


def memory_of(shape: Shape, rank: int, load: Load, measured_activations: float | None = None) -> Memory:
    """Bytes one worker needs. `measured_activations` (bytes per token) is better than the formula where it is there."""
    formula = activation_bytes(shape, load)
    return Memory(
        weights=shape.parameters * load.element // load.shards,
        adapter=trainable_parameters(shape, rank) * FLOAT32_BYTES * ADAPTER_COPIES,
        activations=formula if measured_activations is None else round(measured_activations * load.tokens),
        logits=2 * FLOAT32_BYTES * load.scored * shape.vocabulary,
        runtime=RUNTIME_BYTES,
    )


def disk_of(trainable: int, checkpoints: int) -> int:
    """Bytes written: each checkpoint holds the adapter and Adam's moments; the sealed adapter is held twice."""
    adapter = trainable * FLOAT32_BYTES
    return checkpoints * 3 * adapter + 2 * adapter


def seconds_of(tokens: int, tokens_per_second: float, machines: float) -> float:
    """Wall-clock seconds of a training; `tokens_per_second` is what one machine (or GPU) does with all it has."""
    return STARTUP_SECONDS + tokens / (tokens_per_second * machines)
