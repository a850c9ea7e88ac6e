"""What runs inside each Ray Train worker: load the base, train, leave checkpoints and the adapter in the run folder.

The weights under the adapter are frozen in the working precision; the adapter's own, its gradients and the optimizer's
moments are float32, and only its multiplications are in the working precision. Nothing is reported through Ray: its
reports are a barrier for all workers and may be lost with a crash, while a file that was renamed into place is there.
"""

import json
import os
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

PROGRESS_FILE = "progress.jsonl"
ADAPTER_FOLDER = "adapter"
CHECKPOINTS = "checkpoints"
Strategy = Literal["none", "ddp", "fsdp"]
Precision = Literal["float32", "bfloat16"]
SPEED_STEPS = 10  # tokens per second are those of the last few steps


@dataclass(frozen=True)
class Job:
    """All that shapes the adapter, as plain values: it travels to the workers and its digest guards checkpoints."""

    base_folder: str
    run_folder: str
    lora: dict[str, Any]
    targets: tuple[str, ...]
    steps: int
    rows_per_step: int
    rows_at_once: int | None
    tokens_at_once: int | None
    learning_rate: float
    schedule: str
    warmup: float
    weight_decay: float
    clip_norm: float
    checkpoint_steps: int
    seed: int
    packing: bool
    attention: str | None
    plain_head: bool
    precision: Precision
    strategy: Strategy
    gpu: bool
    threads: int


def work(config: dict[str, Any]) -> dict[str, Any]:
    """One worker's run, continued from the last checkpoint if there is one; rank 0 leaves the adapter behind.

    `config` holds the `job`, the `rows` (`packing.Rows`), the `guard`, their digest, and the `environment`. Returns
    plain values for `TrainingRecord`, or `fault` in words when training must not go on: a fault that would only happen
    again is no reason for Ray to start the workers again.
    """
    os.environ.update(config["environment"])
    import torch

    from finetune import checkpoint
    from finetune.trainer import NotFinite, Watcher

    job = Job(**config["job"])
    folder = Path(job.run_folder) / CHECKPOINTS
    torch.set_num_threads(job.threads)
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]  # nothing reads it
    start = checkpoint.newest(folder, config["guard"])
    if start is None or start[1].step < job.steps:
        trainer = build_trainer(job, config["rows"], start[1].step if start else 0)
        watcher = Watcher(trainer, folder, job.checkpoint_steps, start, config["guard"])
        if trainer.is_world_process_zero():
            watcher.tell = teller(Path(job.run_folder) / PROGRESS_FILE, trainer.course)
        trainer.add_callback(watcher)
        try:
            trainer.train()
        except NotFinite as error:
            return {"fault": str(error)}
        trainer.accelerator.wait_for_everyone()
        start = checkpoint.newest(folder, config["guard"])
    if start is None:
        return {"fault": "the last checkpoint can't be read again"}
    tensors = checkpoint.weights(start[0])
    if int(os.environ.get("RANK", "0")) == 0:
        save_adapter(job, tensors)
    losses = start[1].losses
    count = sum(value.numel() for value in tensors.values())
    return {"steps": job.steps, "first_loss": losses[0], "final_loss": losses[-1], "trained_parameters": count}


def build_trainer(job: Job, rows: Any, begin: int) -> Any:
    """The base with its adapter, and the course that is left."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from transformers.utils import logging

    from finetune.attention import register
    from finetune.packing import Room
    from finetune.schedule import rate_at
    from finetune.trainer import Course, Trainer, settings_of

    quiet: Any = logging
    quiet.set_verbosity_error()
    quiet.disable_progress_bar()
    register()
    low = job.precision == "bfloat16"
    base = AutoModelForCausalLM.from_pretrained(
        job.base_folder,
        dtype=torch.bfloat16 if low else torch.float32,
        attn_implementation=job.attention,
        trust_remote_code=False,
    )
    tokenizer = AutoTokenizer.from_pretrained(job.base_folder, trust_remote_code=False)
    course = Course(
        rows=rows,
        steps=job.steps,
        begin=begin,
        rows_per_step=job.rows_per_step,
        room=Room(job.rows_at_once, job.tokens_at_once),
        packing=job.packing,
        pad=tokenizer.pad_token_id or tokenizer.eos_token_id or 0,
        seed=job.seed,
        rate=partial(rate_at, steps=job.steps, schedule=job.schedule, warmup=job.warmup),
    )
    optimiser = {
        "learning_rate": job.learning_rate,
        "weight_decay": job.weight_decay,
        "max_grad_norm": job.clip_norm,
    }
    fsdp = job.strategy == "fsdp"
    return Trainer(
        course=course,
        plain_head=job.plain_head,
        model=adapted(base, job),
        args=settings_of(Path(job.run_folder) / CHECKPOINTS, course, optimiser, low, job.gpu, fsdp),
        processing_class=tokenizer,
        data_collator=list,
    )


def adapted(base: Any, job: Job) -> Any:
    """The base with a fresh adapter, the same on every worker."""
    import torch
    from peft import LoraConfig, get_peft_model

    torch.manual_seed(job.seed)
    lora: Any = LoraConfig  # PEFT declares alpha an int and takes any number
    settings = lora(
        r=job.lora["rank"],
        lora_alpha=job.lora["alpha"],
        use_rslora=job.lora["rslora"],
        lora_dropout=job.lora["dropout"],
        target_modules=list(job.targets),
        task_type="CAUSAL_LM",
    )
    model: Any = get_peft_model(base, settings)
    without_casts(model)
    return model


def without_casts(model: Any) -> None:
    """Spare activations the way up to the adapter's float32, from which autocast would bring them down again."""
    from peft.tuners.tuners_utils import BaseTunerLayer

    layers: list[Any] = [part for part in model.modules() if isinstance(part, BaseTunerLayer)]
    for layer in layers:
        layer.cast_input_dtype_enabled = False


def save_adapter(job: Job, tensors: dict[str, Any]) -> None:
    """The adapter as PEFT saves it, whole or not at all."""
    import shutil

    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    with torch.device("meta"):
        base = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(job.base_folder))
        base.name_or_path = job.base_folder
        model = adapted(base, job)
    target = Path(job.run_folder) / ADAPTER_FOLDER
    draft = target.with_name(f".{ADAPTER_FOLDER}-draft")
    shutil.rmtree(draft, ignore_errors=True)
    model.save_pretrained(draft, state_dict=tensors, save_embedding_layers=False)
    shutil.rmtree(target, ignore_errors=True)
    draft.rename(target)


def teller(path: Path, course: Any) -> Callable[[int, float | None], None]:
    """Writes step, loss and real tokens per second, a line a step, where the driver reads them. No loss: the start."""
    from finetune.packing import step_rows

    plan = step_rows(len(course.rows), course.rows_per_step, course.steps, course.seed)
    done: list[tuple[float, int]] = []

    def tell(step: int, loss: float | None) -> None:
        if loss is None:
            done[:] = [(time.monotonic(), 0)]
            return
        tokens = done[-1][1] + sum(course.rows.lengths(plan[step - 1]))
        done.append((time.monotonic(), tokens))
        since = done[max(0, len(done) - 1 - SPEED_STEPS)]
        speed = (tokens - since[1]) / max(done[-1][0] - since[0], 1e-6)
        elapsed = round(done[-1][0] - done[0][0], 3)
        entry = {"step": step, "loss": loss, "tokens_per_s": round(speed, 1), "elapsed_s": elapsed}
        with path.open("a", encoding="utf-8") as out:
            out.write(json.dumps(entry) + "\n")

    return tell


def job_values(job: Job) -> dict[str, Any]:
    """The job as plain values."""
    return asdict(job)


def worker_environment() -> dict[str, str]:
    """Settings of this process that workers take over. (Ray's way of doing it costs seconds for each worker.)"""
    return {"HF_HUB_OFFLINE": os.environ.get("HF_HUB_OFFLINE", "0"), "TOKENIZERS_PARALLELISM": "false"}
