"""From rows to a raw adapter: one Ray Train run, resumable, with its progress shown.

The run folder holds checkpoints and the guard that they belong to this job and these rows; a run that was killed
continues from the last one, on CPU with one worker to the same bytes. With workers on several machines the run folder
must lie on storage that all of them see.
"""

import json
import math
import os
import shutil
import threading
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from finetune.cluster import Placement, available, place, running
from finetune.environment import environment
from finetune.packing import Room, Rows, step_rows
from finetune.render import Encoded
from finetune.selftest import prove
from finetune.worker import (
    ADAPTER_FOLDER,
    CHECKPOINTS,
    PROGRESS_FILE,
    Job,
    Precision,
    Strategy,
    job_values,
    work,
    worker_environment,
)
from tunegate_core.canonical import digest, digest_json
from tunegate_core.config import FinetuneBlock, ParallelBlock, TrainBlock
from tunegate_core.errors import ResourcesUnavailable, StoreFault, TrainingFault
from tunegate_core.ports import Progress
from tunegate_core.records import BaseModelRecord, Environment, TrainingRecord

GUARD = "job.json"
DONE = "done.json"
DEFAULT_EPOCHS = 3.0
TOKENS_AT_ONCE = {"cpu": 1024, "gpu": 8192}  # what `rows_per_device: auto` lets lie in memory on one worker
WEIGHTS_SHARE = 0.7  # of a device; the rest is for activations, logits and the adapter
POLL_SECONDS = 0.5


@dataclass(frozen=True)
class Trained:
    """A raw adapter and what is known about its making."""

    adapter_folder: Path
    record: TrainingRecord
    environment: Environment


def train(
    block: FinetuneBlock,
    base: BaseModelRecord,
    base_folder: Path,
    examples: Sequence[Encoded],
    run_folder: Path,
    address: str | None,
    progress: Progress,
) -> Trained:
    """Train a LoRA adapter on encoded rows. Raises BadInput, ResourcesUnavailable or TrainingFault."""
    placement = place(block.parallel, available(address))
    job = plan_job(block, base, base_folder, examples, run_folder, placement)
    rows = Rows.of(examples)
    guard = guard_of(job, base, rows)
    done = open_run(run_folder, guard)
    if done is None:
        config = {"job": job_values(job), "rows": rows, "guard": guard, "environment": worker_environment()}
        with running(address):
            done = run_workers(job, config, placement, block.parallel.max_failures, progress)
        (run_folder / DONE).write_text(json.dumps(done), encoding="utf-8")
    plan = step_rows(len(rows), job.rows_per_step, job.steps, job.seed)
    record = TrainingRecord(
        steps=done["steps"],
        rows_per_step=block.train.rows_per_step,
        supervised_tokens=sum(rows.supervised(group) for group in plan),
        first_loss=done["first_loss"],
        final_loss=done["final_loss"],
        packing=job.packing,
        precision=job.precision,
        workers=placement.workers,
        strategy=job.strategy,
        trained_parameters=done["trained_parameters"],
    )
    return Trained(run_folder / ADAPTER_FOLDER, record, environment())


def plan_job(
    block: FinetuneBlock,
    base: BaseModelRecord,
    base_folder: Path,
    examples: Sequence[Encoded],
    run_folder: Path,
    placement: Placement,
) -> Job:
    """Every `auto` resolved."""
    train_block = block.train
    proved = prove(base_folder, examples, train_block.packing, placement.gpu)
    precision = resolve_precision(train_block.precision, placement.gpu)
    room = room_of(train_block, placement.gpu)
    return Job(
        base_folder=str(base_folder.resolve()),
        run_folder=str(run_folder.resolve()),
        lora=block.lora.model_dump(mode="json"),
        targets=target_modules(base_folder, block.lora.targets),
        steps=steps_of(train_block, len(examples)),
        rows_per_step=train_block.rows_per_step,
        rows_at_once=room.rows,
        tokens_at_once=room.tokens,
        learning_rate=train_block.learning_rate,
        schedule=train_block.schedule,
        warmup=train_block.warmup,
        weight_decay=train_block.weight_decay,
        clip_norm=train_block.clip_norm,
        checkpoint_steps=train_block.checkpoint_steps,
        seed=train_block.seed,
        packing=proved.packing,
        attention=proved.attention,
        plain_head=proved.plain_head,
        precision=precision,
        strategy=resolve_strategy(block.parallel, placement, weight_bytes(base.parameters, precision)),
        gpu=placement.gpu,
        threads=placement.cpus,
    )


def guard_of(job: Job, base: BaseModelRecord, rows: Rows) -> str:
    """Digest of all that shapes the adapter, wherever base and run folder lie."""
    learnt = digest(rows.ids.tobytes() + rows.learnt.tobytes() + rows.starts.tobytes())
    return digest_json({"job": {**job_values(job), "base_folder": base.tree, "run_folder": ""}, "rows": learnt})


def steps_of(block: TrainBlock, rows: int) -> int:
    """Optimizer steps: those given, or epochs times the steps of one."""
    per_epoch = math.ceil(rows / block.rows_per_step)
    return block.steps or max(1, math.ceil(per_epoch * (block.epochs or DEFAULT_EPOCHS)))


def room_of(block: TrainBlock, gpu: bool) -> Room:
    """What one worker holds at once: the rows that are given, or as many tokens as keep the device busy."""
    if block.rows_per_device != "auto":
        return Room(rows=block.rows_per_device, tokens=None)
    return Room(rows=None, tokens=TOKENS_AT_ONCE["gpu" if gpu else "cpu"])


def resolve_strategy(block: ParallelBlock, placement: Placement, weights: int) -> Strategy:
    """FSDP where it is asked for, or where the base's `weights` (bytes) leave a device too little room for work.

    One worker has nobody to share with.
    """
    if block.workers == 1:
        return "none"
    if block.strategy != "auto":
        return block.strategy
    return "fsdp" if weights > WEIGHTS_SHARE * device_bytes(placement) else "ddp"


def device_bytes(placement: Placement) -> float:
    """Memory of one worker's device, taking the machines of a cluster for alike; infinite where this one has none."""
    import torch

    if not placement.gpu:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / placement.workers
    return torch.cuda.get_device_properties(0).total_memory if torch.cuda.is_available() else math.inf


def weight_bytes(parameters: int, precision: Precision) -> int:
    """Bytes of the frozen weights."""
    return parameters * (2 if precision == "bfloat16" else 4)


def resolve_precision(wanted: Literal["auto", "float32", "bfloat16"], gpu: bool) -> Precision:
    """bfloat16 where the device computes in it natively."""
    if wanted != "auto":
        return wanted
    import torch

    if gpu:
        return "bfloat16" if torch.cuda.is_bf16_supported() else "float32"
    capabilities = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
    native = capabilities.get("amx_bf16") or capabilities.get("avx512_bf16") or capabilities.get("bf16")
    return "bfloat16" if native else "float32"


def target_modules(base_folder: Path, targets: Literal["all-linear"] | tuple[str, ...]) -> tuple[str, ...]:
    """Names of the modules that get an adapter. `all-linear`: every linear layer but the head."""
    if targets != "all-linear":
        return tuple(sorted(targets))
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(base_folder))
    head = model.get_output_embeddings()
    linear = (name for name, part in model.named_modules() if isinstance(part, torch.nn.Linear) and part is not head)
    return tuple(sorted({name.rsplit(".", 1)[-1] for name in linear}))


def open_run(folder: Path, guard: str) -> dict[str, Any] | None:
    """What a finished run left, or None; a folder of another job is emptied, never continued."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        known = folder / GUARD
        if known.is_file() and known.read_text(encoding="utf-8") != guard:
            for name in (CHECKPOINTS, ADAPTER_FOLDER):
                shutil.rmtree(folder / name, ignore_errors=True)
            (folder / DONE).unlink(missing_ok=True)
        known.write_text(guard, encoding="utf-8")
        found = _ended(folder)
        if found is not None:
            return found
        (folder / PROGRESS_FILE).write_text("", encoding="utf-8")
    except OSError as error:
        raise StoreFault(
            f"can't write the run folder {folder}: {error.strerror}; free space or move the home"
        ) from error
    return None


def _ended(folder: Path) -> dict[str, Any] | None:
    """What a run left at its end. One that died while it wrote has not ended: its last checkpoint has it all."""
    if not (folder / DONE).is_file() or not (folder / ADAPTER_FOLDER).is_dir():
        return None
    try:
        found: dict[str, Any] = json.loads((folder / DONE).read_text(encoding="utf-8"))
    except ValueError:
        return None
    return found


def run_workers(
    job: Job, config: dict[str, Any], placement: Placement, max_failures: int, progress: Progress
) -> dict[str, Any]:
    """The Ray Train run. A died worker group is started again and continues to the same end."""
    from ray.train.torch import TorchConfig
    from ray.train.v2.api import config as v2
    from ray.train.v2.api.exceptions import ControllerError, TrainingFailedError
    from ray.train.v2.torch.torch_trainer import TorchTrainer

    scaling = v2.ScalingConfig(
        num_workers=placement.workers,
        use_gpu=placement.gpu,
        resources_per_worker={"CPU": placement.cpus, **({"GPU": placement.gpus} if placement.gpu else {})},
    )
    trainer = TorchTrainer(
        work,
        train_loop_config=config,
        scaling_config=scaling,
        torch_config=TorchConfig(backend="nccl" if placement.gpu else "gloo"),
        run_config=v2.RunConfig(
            name="run",
            storage_path=str(Path(job.run_folder) / "ray"),
            failure_config=v2.FailureConfig(max_failures=max_failures, controller_failure_limit=0),
        ),
    )
    shutil.rmtree(Path(job.run_folder) / "ray", ignore_errors=True)
    stop = threading.Event()
    tail = threading.Thread(target=follow, args=(Path(job.run_folder) / PROGRESS_FILE, job.steps, progress, stop))
    tail.start()
    try:
        result = fit(trainer)
    except ControllerError as error:
        raise ResourcesUnavailable(f"Ray could not place {placement.workers} workers: {_reason(error)}") from error
    except TrainingFailedError as error:
        raise TrainingFault(f"training died more than {max_failures} times: {_reason(error)}") from error
    finally:
        stop.set()
        tail.join()
    outcome: dict[str, Any] = getattr(result, "return_value", None) or {"fault": "the workers ended without a result"}
    if "fault" in outcome:
        raise TrainingFault(f"{outcome['fault']}; nothing was kept; lower the learning rate or look at the data")
    return outcome


def fit(trainer: Any) -> Any:
    """`trainer.fit()` beside this thread, which Ctrl-C and SIGTERM then reach: Ray would end with status 0."""
    done: Future[Any] = Future()

    def run() -> None:
        try:
            done.set_result(trainer.fit())
        except BaseException as error:
            done.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    return done.result()


def _reason(error: Exception) -> str:
    return str(error).strip()[-2000:]


def follow(path: Path, steps: int, progress: Progress, stop: threading.Event) -> None:
    """Show what rank 0 writes until told to stop; a line counts once it is whole."""
    progress("training", 0, steps)
    seen = 0
    ended = False
    while not ended:
        ended = stop.wait(POLL_SECONDS)
        lines = path.read_text(encoding="utf-8").splitlines(keepends=True) if path.is_file() else []
        whole = [line for line in lines if line.endswith("\n")]
        for line in whole[seen:]:
            entry = json.loads(line)
            progress("training", entry["step"], steps, loss=entry["loss"], tokens_per_s=entry["tokens_per_s"])
        seen = len(whole)
