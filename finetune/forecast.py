"""Whether the training fits: an estimate held against what machine and cluster have."""

import os
import shutil
from pathlib import Path
from typing import Protocol

from finetune.dataset import Prepared
from finetune.estimate import (
    Estimate,
    Load,
    Shape,
    disk_of,
    memory_of,
    seconds_of,
    steps_of,
    tokens_of,
    trainable_parameters,
)
from finetune.findings import Finding, fail, judge, ok, warn
from finetune.measure import Probe
from tunegate_core.config import FinetuneBlock, ParallelBlock

GIB = 1 << 30


class Resources(Protocol):
    """What the cluster has free; `gpus` is 0 on a machine without any."""

    @property
    def cpus(self) -> float:
        """CPU cores."""
        ...

    @property
    def gpus(self) -> float:
        """Accelerators."""
        ...


def estimate(block: FinetuneBlock, prepared: Prepared, shape: Shape, load: Load, probe: Probe | None) -> Estimate:
    """What the training of a config needs, from its rows, the model's sizes and, if there is one, a measured step."""
    rows = prepared.record.counts.kept
    trainable = trainable_parameters(shape, block.lora.rank)
    steps = steps_of(block.train, rows)
    tokens = tokens_of(block.train, rows, prepared.record.tokens)
    return Estimate(
        trainable=trainable,
        steps=steps,
        tokens=tokens,
        supervised_tokens=tokens_of(block.train, rows, prepared.record.supervised_tokens),
        memory=memory_of(shape, block.lora.rank, load, probe.activation_bytes if probe else None),
        disk=disk_of(trainable, checkpoints=2),
        seconds=seconds_of(tokens, probe.tokens_per_second, _machines(block.parallel, probe)) if probe else None,
    )


def forecast_findings(found: Estimate, block: FinetuneBlock, resources: Resources, home: Path) -> list[Finding]:
    """Steps, time, memory, disk and cluster, each against what is there."""
    return [
        ok(
            "steps",
            f"{found.steps} steps of {block.train.rows_per_step} rows: {found.tokens:,} tokens, "
            f"{found.supervised_tokens:,} supervised; {found.trainable:,} parameters are trained",
        ),
        _time(found),
        _memory(found, block.parallel),
        _disk(found, home),
        cluster_finding(block.parallel, resources),
    ]


def cluster_finding(parallel: ParallelBlock, resources: Resources) -> Finding:
    """Whether the workers can be placed at all: otherwise Ray would wait for them without end."""
    gpu = parallel.device == "gpu" or (parallel.device == "auto" and resources.gpus > 0)
    there = f"{resources.cpus:g} CPUs and {resources.gpus:g} GPUs"
    cpus = parallel.workers * (1 if parallel.cpus_per_worker == "auto" else parallel.cpus_per_worker)
    gpus = parallel.workers * parallel.gpus_per_worker if gpu else 0
    asked = f"{parallel.workers} workers need {cpus} CPUs" + (f" and {gpus} GPUs" if gpu else "")
    return judge(
        cpus <= resources.cpus and gpus <= resources.gpus,
        "cluster",
        f"{asked}; the cluster has {there}",
        f"{asked}; the cluster has only {there}: lower finetune.parallel.workers or cpus_per_worker, or add machines",
    )


def memory_available() -> int | None:
    """Bytes this machine can still give, or None where the system does not say."""
    try:
        lines = Path("/proc/meminfo").read_text("ascii").splitlines()
    except OSError:
        return None
    told = [line.split()[1] for line in lines if line.startswith("MemAvailable:")]
    return int(told[0]) * 1024 if told else None


def _machines(parallel: ParallelBlock, probe: Probe) -> float:
    """How many times the measured machine the workers are: each has a GPU, or CPUs of the same machine or of more."""
    if probe.gpu:
        return parallel.workers
    each = 0 if parallel.cpus_per_worker == "auto" else parallel.cpus_per_worker
    return max(1.0, parallel.workers * each / (os.cpu_count() or 1))


def _time(found: Estimate) -> Finding:
    if found.seconds is None:
        return warn("time", "not measured: no step was run")
    return ok("time", f"about {found.seconds / 60:.1f} minutes, from one measured step on this machine")


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
