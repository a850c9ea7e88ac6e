"""Whether the training fits: an estimate held against what machine and cluster have."""

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from finetune.cluster import Placement, Resources, local_cpus, place
from finetune.dataset import Prepared
from finetune.estimate import (
    FLOAT32_BYTES,
    Estimate,
    Load,
    Shape,
    disk_of,
    memory_of,
    seconds_of,
    tokens_of,
    trainable_parameters,
)
from finetune.findings import Finding, fail, ok, warn
from finetune.measure import Probe
from finetune.train import micro_batches, resolve_precision, steps_of
from tunegate_core.config import FinetuneBlock, ParallelBlock
from tunegate_core.errors import BadInput, ResourcesUnavailable

GIB = 1 << 30
LOGITS_AT_ONCE = 1024  # supervised positions per chunk of finetune.loss
CHECKPOINTS_KEPT = 2


@dataclass(frozen=True)
class Plan:
    """How the training would run: `rows` in memory at once on a worker, `accumulation` times a step."""

    placement: Placement
    rows: int
    accumulation: int
    low: bool


def plan(block: FinetuneBlock, resources: Resources) -> Plan | Finding:
    """Where and how the training would run, by the code that will decide it; or why it can't."""
    try:
        placement = place(block.parallel, resources)
    except ResourcesUnavailable as error:
        return fail("cluster", str(error))
    try:
        rows, accumulation = micro_batches(block.train, placement.workers)
    except BadInput as error:
        return fail("cluster", str(error))
    return Plan(placement, rows, accumulation, resolve_precision(block.train.precision, placement.gpu) == "bfloat16")


def plan_finding(found: Plan, resources: Resources) -> Finding:
    """The plan in words."""
    each = f"{found.placement.cpus} CPUs" + (f" and {found.placement.gpus} GPUs" if found.placement.gpu else "")
    return ok(
        "cluster",
        f"{found.placement.workers} workers with {each} each, {found.rows} rows at once, {found.accumulation} times a "
        f"step, in {'bfloat16' if found.low else 'float32'}; of {resources.cpus:g} CPUs, {resources.gpus:g} GPUs",
    )


def estimate(block: FinetuneBlock, prepared: Prepared, shape: Shape, found: Plan, probe: Probe | None) -> Estimate:
    """What the training of a config needs, from its rows, the model's sizes and, if there is one, a measured step."""
    rows, longest = len(prepared.examples), max(len(example.input_ids) for example in prepared.examples)
    trainable = trainable_parameters(shape, block.lora.rank)
    steps = steps_of(block.train, rows)
    tokens = tokens_of(steps, block.train.rows_per_step, rows, prepared.record.tokens)
    load = Load(
        tokens=found.rows * longest,
        scored=min(LOGITS_AT_ONCE, found.rows * longest),
        element=2 if found.low else FLOAT32_BYTES,
    )
    return Estimate(
        trainable=trainable,
        steps=steps,
        tokens=tokens,
        supervised_tokens=tokens_of(steps, block.train.rows_per_step, rows, prepared.record.supervised_tokens),
        memory=memory_of(shape, block.lora.rank, load, probe.activation_bytes if probe else None),
        disk=disk_of(trainable, CHECKPOINTS_KEPT),
        seconds=seconds_of(tokens, probe.tokens_per_second, _machines(found.placement, probe)) if probe else None,
    )


def forecast_findings(found: Estimate, block: FinetuneBlock, home: Path) -> list[Finding]:
    """Steps, time, memory and disk, each against what is there."""
    return [
        ok(
            "steps",
            f"{found.steps} steps of {block.train.rows_per_step} rows: {found.tokens:,} tokens, "
            f"{found.supervised_tokens:,} supervised; {found.trainable:,} parameters are trained",
        ),
        _time(found),
        _memory(found, block.parallel),
        _disk(found, home),
    ]


def memory_available() -> int | None:
    """Bytes this machine can still give, or None where the system does not say."""
    try:
        lines = Path("/proc/meminfo").read_text("ascii").splitlines()
    except OSError:
        return None
    told = [line.split()[1] for line in lines if line.startswith("MemAvailable:")]
    return int(told[0]) * 1024 if told else None


def _machines(placement: Placement, probe: Probe) -> float:
    """How many times the measured machine the workers are: each has a GPU, or CPUs of the same machine or of more."""
    return placement.workers if probe.gpu else max(1.0, placement.workers * placement.cpus / local_cpus())


def _time(found: Estimate) -> Finding:
    if found.seconds is None:
        return warn("time", "not measured: no step was run")
    what = f"about {found.seconds / 60:.1f} minutes, from one measured step on this machine"
    load = os.getloadavg()[1]  # over five minutes, so that the check itself hardly counts
    if load > local_cpus():
        return warn("time", f"{what}; it is busy (load {load:.1f} on {local_cpus()} CPUs), alone it would be faster")
    return ok("time", what)


def _memory(found: Estimate, parallel: ParallelBlock) -> Finding:
    memory = found.memory
    parts = ", ".join(f"{name} {value / GIB:.2f}" for name, value in memory.model_dump().items())
    what = f"about {memory.total / GIB:.1f} GiB per worker ({parts})"
    available = memory_available()
    if available is None:
        return warn("memory", f"{what}; how much this machine has is not known")
    needed = memory.total * parallel.workers
    what += f"; {available / GIB:.1f} GiB are available here"
    # The workers may run elsewhere, so too little here is no proof of failure.
    if needed > available:
        return warn("memory", f"{what}: lower finetune.train.rows_per_device or max_length")
    return ok("memory", what)


def _disk(found: Estimate, home: Path) -> Finding:
    there = next(path for path in (home, *home.parents) if path.exists())
    free = shutil.disk_usage(there).free
    what = f"about {found.disk / GIB:.2f} GiB will be written, {free / GIB:.1f} GiB are free"
    return ok("disk", what) if found.disk < free else fail("disk", f"{what} below {there}; free some, or move the home")
