"""Estimates: figures that can be worked out by hand, and agreement with what is really allocated."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from finetune.estimate import (
    Load,
    Shape,
    activation_bytes,
    disk_of,
    memory_of,
    seconds_of,
    steps_of,
    tokens_of,
    trainable_parameters,
)
from finetune.forecast import cluster_finding
from finetune.measure import shape_of
from tunegate_core.config import LoraBlock, ParallelBlock, TrainBlock
from tunegate_core.errors import BadInput

SHAPE = Shape(
    parameters=1000, layers=2, hidden=8, intermediate=16, key_value=4, vocabulary=100, linears=((8, 8), (8, 4))
)


def test_trained_parameters_are_those_peft_makes(tiny_base: Path) -> None:
    from finetune.proofs import load_for_proof

    assert trainable_parameters(SHAPE, 2) == 2 * (16 + 12)
    for lora in (LoraBlock(rank=4), LoraBlock(rank=3, targets=("q_proj", "down_proj"))):
        model = load_for_proof(tiny_base, lora)
        made = sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
        assert trainable_parameters(shape_of(tiny_base, lora, 1), lora.rank) == made


def test_a_target_the_model_does_not_have_is_refused(tiny_base: Path) -> None:
    with pytest.raises(BadInput, match="no linear layer 'c_attn'"):
        shape_of(tiny_base, LoraBlock(targets=("c_attn",)), 1)


@pytest.mark.parametrize(
    ("block", "steps", "tokens"),
    [
        (TrainBlock(rows_per_step=16), 21, 3000),
        (TrainBlock(rows_per_step=16, epochs=1), 7, 1000),
        (TrainBlock(rows_per_step=16, epochs=0.5), 4, 500),
        (TrainBlock(rows_per_step=16, steps=10), 10, 1600),
        (TrainBlock(rows_per_step=500, steps=2), 2, 2000),
    ],
)
def test_steps_and_tokens(block: TrainBlock, steps: int, tokens: int) -> None:
    assert steps_of(block, rows=100) == steps
    assert tokens_of(block, rows=100, tokens=1000) == tokens


def test_memory_has_the_vocabulary_term() -> None:
    memory = memory_of(SHAPE, 2, Load(tokens=10, scored=5, element=2))
    assert memory.weights == 2000
    assert memory.adapter == 56 * 16
    assert memory.logits == 5 * 100 * 4 * 2
    assert memory.activations == activation_bytes(SHAPE, Load(10, 5, 2))
    assert memory.total == sum(memory.model_dump().values())
    large = Shape(1, 1, 1, 1, 1, 151_936, ())
    assert memory_of(large, 1, Load(tokens=8192, scored=8192, element=2)).logits > 9e9


def test_fsdp_splits_the_weights_and_a_measurement_beats_the_formula() -> None:
    memory = memory_of(SHAPE, 2, Load(tokens=10, scored=5, element=2, shards=2), measured_activations=7.5)
    assert (memory.weights, memory.activations) == (1000, 75)


def test_disk_and_seconds() -> None:
    assert disk_of(trainable=100, checkpoints=2) == 2 * 1200 + 800
    assert seconds_of(1000, tokens_per_second=100, machines=2) == pytest.approx(30 + 5)


@pytest.mark.parametrize(
    ("parallel", "cpus", "gpus", "status"),
    [
        (ParallelBlock(workers=2), 2, 0, "ok"),
        (ParallelBlock(workers=3), 2, 0, "fail"),
        (ParallelBlock(workers=2, cpus_per_worker=2), 3, 0, "fail"),
        (ParallelBlock(device="gpu"), 8, 0, "fail"),
        (ParallelBlock(workers=2), 8, 1, "fail"),
        (ParallelBlock(workers=2, device="cpu"), 8, 1, "ok"),
    ],
)
def test_what_the_cluster_can_not_give_is_found(parallel: ParallelBlock, cpus: int, gpus: int, status: str) -> None:
    assert cluster_finding(parallel, SimpleNamespace(cpus=cpus, gpus=gpus)).status == status


def test_kept_bytes_are_measured_close_to_the_formula(tiny_base: Path) -> None:
    from finetune.measure import probe_step
    from finetune.proofs import load_for_proof
    from finetune.render import Encoded

    row = Encoded(list(range(3, 131)), [True] * 128, False, 128)
    probe = probe_step(load_for_proof(tiny_base, LoraBlock(rank=2)), [row])
    formula = activation_bytes(shape_of(tiny_base, LoraBlock(), 1), Load(tokens=128, scored=1, element=4)) / 128
    assert probe.tokens_per_second > 0
    assert 0.5 < probe.activation_bytes / formula < 2
