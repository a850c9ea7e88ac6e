"""Whether the training fits: an estimate held against what machine and cluster have."""

import math
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from finetune.checkpoint import KEPT
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
from finetune.packing import Room
from finetune.train import resolve_precision, resolve_strategy, room_of, steps_of, weight_bytes
from finetune.worker import Strategy
from tunegate_core.config import FinetuneBlock, ParallelBlock
from tunegate_core.errors import ResourcesUnavailable

GIB = 1 << 30


@dataclass(frozen=True)
class Plan:
    """How the training would run: `room` is what one worker holds at once."""

    placement: Placement
    room: Room
    low: bool
    strategy: Strategy

    def tokens(self, rows_per_step: int, longest: int) -> int:
        """Tokens of the largest micro-batch, where no row has more than `longest`."""
        share = math.ceil(rows_per_step / self.placement.workers)
        rows = share if self.room.rows is None else min(share, self.room.rows)
        return rows * longest if self.room.tokens is None else max(longest, min(self.room.tokens, rows * longest))


def plan(block: FinetuneBlock, resources: Resources, parameters: int) -> Plan | Finding:
    """Where and how the training would run, by the code that will decide it; or why it can't."""
    try:
        placement = place(block.parallel, resources)
    except ResourcesUnavailable as error:
        return fail("cluster", str(error))
    precision = resolve_precision(block.train.precision, placement.gpu)
    strategy = resolve_strategy(block.parallel, placement, weight_bytes(parameters, precision))
    return Plan(placement, room_of(block.train, placement.gpu), precision == "bfloat16", strategy)


def plan_finding(found: Plan, resources: Resources) -> Finding:
    """The plan in words."""
    each = f"{found.placement.cpus} CPUs" + (f" and {found.placement.gpus} GPUs" if found.placement.gpu else "")
    many = found.placement.workers
    workers = f"1 worker with {each}" if many == 1 else f"{many} workers ({found.strategy}) with {each} each"
    return ok(
        "cluster",
        f"{workers}, {found.room} at once, in "
        f"{'bfloat16' if found.low else 'float32'}; of {resources.cpus:g} CPUs, {resources.gpus:g} GPUs",
    )


def estimate(block: FinetuneBlock, prepared: Prepared, shape: Shape, found: Plan, probe: Probe | None) -> Estimate:
    """What the training of a config needs, from its rows, the model's sizes and, if there is one, a measured step."""
    from finetune.loss import CHUNK

    rows, longest = len(prepared.examples), max(len(example.input_ids) for example in prepared.examples)
    trainable = trainable_parameters(shape, block.lora.rank)
    steps = steps_of(block.train, rows)
    tokens = tokens_of(steps, block.train.rows_per_step, rows, prepared.record.tokens)
    at_once = found.tokens(block.train.rows_per_step, longest)
    load = Load(
        tokens=at_once,
        scored=min(CHUNK, at_once),
        element=2 if found.low else FLOAT32_BYTES,
        shards=found.placement.workers if found.strategy == "fsdp" else 1,
    )
    return Estimate(
        trainable=trainable,
        steps=steps,
        tokens=tokens,
        supervised_tokens=tokens_of(steps, block.train.rows_per_step, rows, prepared.record.supervised_tokens),
        memory=memory_of(shape, block.lora.rank, load, probe.activation_bytes if probe else None),
        disk=disk_of(trainable, KEPT),
        seconds=seconds_of(tokens, probe.tokens_per_second, _machines(found.placement, probe)) if probe else None,
    )


def forecast_findings(found: Estimate, block: FinetuneBlock, home: Path, gpu: bool = False) -> list[Finding]:
    """Steps, time, memory and disk, each against what is there; `gpu`: the memory is that of one."""
    return [
        ok(
            "steps",
            f"{found.steps} steps of up to {block.train.rows_per_step} rows: {found.tokens:,} tokens, "
            f"{found.supervised_tokens:,} supervised; {found.trainable:,} parameters are trained",
        ),
        _time(found),
        _memory(found, block.parallel, gpu),
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


def gpu_memory() -> int | None:
    """Bytes of a GPU of this machine, or None where it has none."""
    import torch

    return int(torch.cuda.get_device_properties(0).total_memory) if torch.cuda.is_available() else None


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


def _memory(found: Estimate, parallel: ParallelBlock, gpu: bool) -> Finding:
    memory = found.memory
    parts = ", ".join(f"{name} {value / GIB:.2f}" for name, value in memory.model_dump().items())
    what = f"about {memory.total / GIB:.1f} GiB per worker ({parts})"
    available = gpu_memory() if gpu else memory_available()
    if available is None:
        return warn("memory", f"{what}; how much {'a GPU' if gpu else 'this machine'} has is not known")
    needed = memory.total * (1 if gpu else parallel.workers)  # the workers of a machine share its memory, not a GPU's
    what += f"; a GPU here has {available / GIB:.1f} GiB" if gpu else f"; {available / GIB:.1f} GiB are available here"
    # The workers may run elsewhere, so too little here is no proof of failure.
    if needed > available:
        return warn("memory", f"{what}: lower finetune.train.rows_per_device or max_length")
    return ok("memory", what)


def _disk(found: Estimate, home: Path) -> Finding:
    there = next(path for path in (home, *home.parents) if path.exists())
    free = shutil.disk_usage(there).free
    what = f"about {found.disk / GIB:.2f} GiB will be written, {free / GIB:.1f} GiB are free"
    return ok("disk", what) if found.disk < free else fail("disk", f"{what} below {there}; free some, or move the home")
