"""Estimates: figures that can be worked out by hand, and agreement with what is really allocated."""

import os
from pathlib import Path

import pytest

from finetune import forecast
from finetune.cluster import Resources
from finetune.estimate import (
    Estimate,
    Load,
    Shape,
    activation_bytes,
    disk_of,
    memory_of,
    seconds_of,
    tokens_of,
    trainable_parameters,
)
from finetune.forecast import Plan, forecast_findings, plan, plan_finding
from finetune.measure import shape_of
from tunegate_core.config import BaseBlock, DataBlock, FinetuneBlock, LoraBlock, ParallelBlock
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


@pytest.mark.parametrize(("steps", "tokens"), [(7, 1000), (21, 3000), (14, 2000), (1, 143)])
def test_tokens_of_whole_passes_are_exact(steps: int, tokens: int) -> None:
    assert tokens_of(steps, rows_per_step=16, rows=100, tokens=1000) == tokens


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
    ("parallel", "cpus", "gpus", "fits"),
    [
        (ParallelBlock(workers=2), 2, 0, True),
        (ParallelBlock(workers=3), 2, 0, False),
        (ParallelBlock(workers=2, cpus_per_worker=2), 3, 0, False),
        (ParallelBlock(device="gpu"), 8, 0, False),
        (ParallelBlock(workers=2, device="gpu"), 8, 1, False),
        (ParallelBlock(workers=2, device="cpu"), 8, 1, True),
        (ParallelBlock(workers=5), 8, 0, True),  # 16 rows a step, shared unevenly
    ],
)
def test_what_can_not_be_placed_is_found(parallel: ParallelBlock, cpus: int, gpus: int, fits: bool) -> None:
    block = FinetuneBlock(base=BaseBlock(model="tiny"), data=DataBlock(source="x"), parallel=parallel)
    found = plan(block, Resources(cpus, gpus), 1000)
    assert isinstance(found, Plan) == fits
    if isinstance(found, Plan):
        assert plan_finding(found, Resources(cpus, gpus)).status == "ok"
    else:
        assert found.status == "fail"


@pytest.mark.parametrize(("load", "status"), [(0.5, "ok"), (50.0, "warn")])
def test_a_time_measured_on_a_busy_machine_says_so(load: float, status: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "getloadavg", lambda: (9.0, load, 0.0))
    memory = memory_of(SHAPE, 2, Load(tokens=1, scored=1, element=2))
    found = Estimate(trainable=1, steps=1, tokens=1, supervised_tokens=1, memory=memory, disk=1, seconds=60.0)
    block = FinetuneBlock(base=BaseBlock(model="tiny"), data=DataBlock(source="x"))
    told = {finding.name: finding for finding in forecast_findings(found, block, Path("/nowhere/yet"))}
    assert told["time"].status == status
    assert "1.0 minutes" in told["time"].what
    assert (told["steps"].status, told["disk"].status) == ("ok", "ok")


@pytest.mark.parametrize(("there", "status"), [(1 << 30, "warn"), (1 << 35, "ok"), (None, "warn")])
def test_a_gpu_is_held_against_its_own_memory(there: int | None, status: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forecast, "gpu_memory", lambda: there)
    memory = memory_of(SHAPE, 2, Load(tokens=1, scored=1, element=2))
    found = Estimate(trainable=1, steps=1, tokens=1, supervised_tokens=1, memory=memory, disk=1, seconds=None)
    parallel = ParallelBlock(workers=20)
    block = FinetuneBlock(base=BaseBlock(model="tiny"), data=DataBlock(source="x"), parallel=parallel)
    told = {finding.name: finding for finding in forecast_findings(found, block, Path("/"), gpu=True)}
    assert told["memory"].status == status
    assert "a GPU" in told["memory"].what


def test_a_disk_that_is_too_small_is_found() -> None:
    memory = memory_of(SHAPE, 2, Load(tokens=1, scored=1, element=2))
    found = Estimate(trainable=1, steps=1, tokens=1, supervised_tokens=1, memory=memory, disk=1 << 62, seconds=None)
    block = FinetuneBlock(base=BaseBlock(model="tiny"), data=DataBlock(source="x"))
    told = {finding.name: finding for finding in forecast_findings(found, block, Path("/"))}
    assert (told["disk"].status, told["time"].status) == ("fail", "warn")


def test_kept_bytes_are_measured_close_to_the_formula(tiny_base: Path) -> None:
    from finetune.measure import probe_step
    from finetune.proofs import load_for_proof
    from finetune.render import Encoded

    row = Encoded(list(range(3, 131)), [True] * 128, False, 128)
    probe = probe_step(load_for_proof(tiny_base, LoraBlock(rank=2)), [row])
    formula = activation_bytes(shape_of(tiny_base, LoraBlock(), 1), Load(tokens=128, scored=1, element=4)) / 128
    assert probe.tokens_per_second > 0
    assert 0.5 < probe.activation_bytes / formula < 2
