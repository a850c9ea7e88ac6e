"""From rows to a raw adapter: one Ray Train run, resumable, with its progress shown.

The run folder holds checkpoints and the guard that they belong to this job and these rows; a run that was killed
continues from the last one, on CPU with one worker to the same bytes. With workers on several machines the run folder
must lie on storage that all of them see.
"""

import json
import math
import shutil
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from finetune.cluster import Placement, available, place, running
from finetune.environment import environment
from finetune.render import Encoded
from finetune.worker import ADAPTER_FOLDER, CHECKPOINTS, PROGRESS_FILE, Job, job_values, quiet_environment, work
from tunegate_core.canonical import digest_json
from tunegate_core.config import FinetuneBlock, TrainBlock
from tunegate_core.errors import BadInput, StoreFault, TrainingFault
from tunegate_core.ports import Progress
from tunegate_core.records import BaseModelRecord, Environment, TrainingRecord

GUARD = "job.json"
DONE = "done.json"
DEFAULT_EPOCHS = 3.0
MICRO_BATCH_TOKENS = 4096  # what `rows_per_device: auto` lets lie in memory at once
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
    job = plan_job(block, base_folder, examples, run_folder, placement)
    rows = [{"input_ids": list(row.input_ids), "labels": row.labels} for row in examples]
    guard = digest_json({"job": {**job_values(job), "base_folder": base.tree, "run_folder": ""}, "rows": rows})
    done = open_run(run_folder, guard)
    if done is None:
        with running(address):
            done = run_workers(job, rows, placement, block.parallel.max_failures, progress)
        (run_folder / DONE).write_text(json.dumps(done), encoding="utf-8")
    record = TrainingRecord(
        steps=done["steps"],
        rows_per_step=block.train.rows_per_step,
        supervised_tokens=sum(row.supervised for row in examples),
        first_loss=done["first_loss"],
        final_loss=done["final_loss"],
        packing=job.packing,
        precision="bfloat16" if job.precision == "bfloat16" else "float32",
        workers=placement.workers,
        strategy="none" if placement.workers == 1 else "ddp",
        trained_parameters=done["trained_parameters"],
    )
    return Trained(run_folder / ADAPTER_FOLDER, record, environment())


def plan_job(
    block: FinetuneBlock, base_folder: Path, examples: Sequence[Encoded], run_folder: Path, placement: Placement
) -> Job:
    """Every `auto` resolved."""
    train_block = block.train
    rows_per_device, accumulation = micro_batches(train_block, placement.workers)
    return Job(
        base_folder=str(base_folder),
        run_folder=str(run_folder),
        lora=block.lora.model_dump(mode="json"),
        targets=target_modules(base_folder, block.lora.targets),
        steps=steps_of(train_block, len(examples)),
        rows_per_device=rows_per_device,
        accumulation=accumulation,
        learning_rate=train_block.learning_rate,
        schedule=train_block.schedule,
        warmup=train_block.warmup,
        weight_decay=train_block.weight_decay,
        clip_norm=train_block.clip_norm,
        checkpoint_steps=train_block.checkpoint_steps,
        seed=train_block.seed,
        packing=resolve_packing(train_block, base_folder, examples),
        precision=resolve_precision(train_block.precision, placement.gpu),
        gpu=placement.gpu,
        threads=placement.cpus,
    )


def steps_of(block: TrainBlock, rows: int) -> int:
    """Optimizer steps: those given, or epochs times the steps of one."""
    per_epoch = math.ceil(rows / block.rows_per_step)
    return block.steps or max(1, math.ceil(per_epoch * (block.epochs or DEFAULT_EPOCHS)))


def micro_batches(block: TrainBlock, workers: int) -> tuple[int, int]:
    """Rows in memory on one worker, and micro-batches per step. Raises BadInput when they don't make up the step."""
    share, rest = divmod(block.rows_per_step, workers)
    if rest:
        raise BadInput(
            f"finetune.train.rows_per_step is {block.rows_per_step}, which {workers} workers can't share; "
            f"expected a multiple of {workers}"
        )
    if block.rows_per_device == "auto":
        most = max(1, MICRO_BATCH_TOKENS // block.max_length)
        rows = max(size for size in range(1, share + 1) if share % size == 0 and size <= max(most, 1))
        return rows, share // rows
    if share % block.rows_per_device:
        raise BadInput(
            f"finetune.train.rows_per_device is {block.rows_per_device}; each of {workers} workers has {share} rows of "
            f"a step, so expected a divisor of {share}"
        )
    return block.rows_per_device, share // block.rows_per_device


def resolve_packing(block: TrainBlock, base_folder: Path, examples: Sequence[Encoded]) -> bool:
    """Whether rows share a sequence. Raises BadInput when that is asked for and the self-test does not prove it."""
    if block.packing == "off":
        return False
    import torch
    from transformers import AutoModelForCausalLM

    from finetune.proofs import packing_is_exact

    model = AutoModelForCausalLM.from_pretrained(base_folder, dtype=torch.float32, trust_remote_code=False)
    exact, difference = packing_is_exact(model, sorted(examples, key=lambda row: len(row.input_ids))[:2])
    if block.packing == "on" and not exact:
        raise BadInput(
            f"finetune.train.packing is on, but packed rows of this model see each other (logits differ by "
            f"{difference:.2g}); set it to auto or off"
        )
    return exact


def resolve_precision(wanted: str, gpu: bool) -> str:
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
        if (folder / DONE).is_file() and (folder / ADAPTER_FOLDER).is_dir():
            found: dict[str, Any] = json.loads((folder / DONE).read_text(encoding="utf-8"))
            return found
        (folder / PROGRESS_FILE).write_text("", encoding="utf-8")
    except OSError as error:
        raise StoreFault(
            f"can't write the run folder {folder}: {error.strerror}; free space or move the home"
        ) from error
    return None


def run_workers(
    job: Job, rows: list[dict[str, list[int]]], placement: Placement, max_failures: int, progress: Progress
) -> dict[str, Any]:
    """The Ray Train run. A died worker group is started again and continues to the same end."""
    from ray.train.torch import TorchConfig
    from ray.train.v2.api import config as v2
    from ray.train.v2.api.exceptions import TrainingFailedError
    from ray.train.v2.torch.torch_trainer import TorchTrainer

    scaling = v2.ScalingConfig(
        num_workers=placement.workers,
        use_gpu=placement.gpu,
        resources_per_worker={"CPU": placement.cpus, **({"GPU": placement.gpus} if placement.gpu else {})},
    )
    trainer = TorchTrainer(
        work,
        train_loop_config={"job": job_values(job), "rows": rows},
        scaling_config=scaling,
        torch_config=TorchConfig(backend="nccl" if placement.gpu else "gloo"),
        run_config=v2.RunConfig(
            name="run",
            storage_path=str(Path(job.run_folder) / "ray"),
            failure_config=v2.FailureConfig(max_failures=max_failures, controller_failure_limit=0),
            worker_runtime_env={"env_vars": quiet_environment()},
        ),
    )
    shutil.rmtree(Path(job.run_folder) / "ray", ignore_errors=True)
    stop = threading.Event()
    tail = threading.Thread(target=follow, args=(Path(job.run_folder) / PROGRESS_FILE, job.steps, progress, stop))
    tail.start()
    try:
        result = trainer.fit()
    except TrainingFailedError as error:
        raise TrainingFault(f"training died more than {max_failures} times: {str(error).strip()[-2000:]}") from error
    finally:
        stop.set()
        tail.join()
    outcome: dict[str, Any] = getattr(result, "return_value", None) or {"fault": "the workers ended without a result"}
    if "fault" in outcome:
        raise TrainingFault(f"{outcome['fault']}; nothing was kept; lower the learning rate or look at the data")
    return outcome


def follow(path: Path, steps: int, progress: Progress, stop: threading.Event) -> None:
    """Show what rank 0 writes until told to stop."""
    progress("training", 0, steps)
    seen = 0
    while True:
        ended = stop.wait(POLL_SECONDS)
        # The last piece is empty, or a line that is still being written.
        lines = path.read_text(encoding="utf-8").split("\n")[:-1] if path.is_file() else []
        for line in lines[seen:]:
            entry = json.loads(line)
            progress("training", entry["step"], steps, loss=entry["loss"], tokens_per_s=entry["tokens_per_s"])
        seen = len(lines)
        if ended:
            return
