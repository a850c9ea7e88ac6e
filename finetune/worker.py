"""What runs inside each Ray Train worker: TRL's trainer over rows that are tokens already.

No template, truncation or packing of the library's own touches the rows. The loss is ours (`finetune.loss`), summed and
divided by the supervised tokens of the whole optimizer step over all workers, so that neither accumulation nor the
number of workers changes it. The weights under the adapter are frozen in the working precision; the adapter's own are
float32.
"""

import json
import os
import time
import types
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

PROGRESS_FILE = "progress.jsonl"
ADAPTER_FOLDER = "adapter"
CHECKPOINTS = "checkpoints"


@dataclass(frozen=True)
class Job:
    """All that shapes the adapter, as plain values: it travels to the workers and its digest guards checkpoints."""

    base_folder: str
    run_folder: str
    lora: dict[str, Any]
    targets: tuple[str, ...]
    steps: int
    rows_per_device: int
    accumulation: int
    learning_rate: float
    schedule: str
    warmup: float
    weight_decay: float
    clip_norm: float
    checkpoint_steps: int
    seed: int
    packing: bool
    precision: str
    gpu: bool
    threads: int


class NotFinite(Exception):
    """A gradient is NaN or infinite; the message names the step."""


def work(config: dict[str, Any]) -> dict[str, Any]:
    """One worker's run, continued from the last checkpoint if there is one; rank 0 leaves the adapter behind.

    Returns plain values for `TrainingRecord`, or `fault` in words when training must not go on.
    """
    import torch

    job = Job(**config["job"])
    torch.set_num_threads(job.threads)
    torch.use_deterministic_algorithms(True, warn_only=True)
    trainer = build_trainer(job, config["rows"])
    try:
        trainer.train(resume_from_checkpoint=last_checkpoint(Path(job.run_folder) / CHECKPOINTS))
    except NotFinite as error:
        return {"fault": str(error)}
    model = trainer.accelerator.unwrap_model(trainer.model)
    state = trainer.accelerator.get_state_dict(trainer.model)
    if trainer.is_world_process_zero():
        model.save_pretrained(Path(job.run_folder) / ADAPTER_FOLDER, state_dict=state, safe_serialization=True)
    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    return {
        "steps": trainer.state.global_step,
        "first_loss": losses[0],
        "final_loss": losses[-1],
        "trained_parameters": sum(value.numel() for name, value in state.items() if "lora_" in name),
    }


def build_trainer(job: Job, rows: list[dict[str, list[int]]]) -> Any:
    """TRL's trainer with our collator and our loss."""
    import torch
    from datasets import Dataset
    from peft import LoraConfig
    from transformers import AutoModelForCausalLM, AutoTokenizer, set_seed
    from transformers.utils import logging
    from trl import SFTConfig

    from finetune.packing import Packer

    logging.set_verbosity_error()
    logging.disable_progress_bar()
    set_seed(job.seed)
    dtype = torch.bfloat16 if job.precision == "bfloat16" else torch.float32
    model = AutoModelForCausalLM.from_pretrained(job.base_folder, dtype=dtype, trust_remote_code=False)
    tokenizer = AutoTokenizer.from_pretrained(job.base_folder, trust_remote_code=False)
    lora: Any = LoraConfig
    adapter = lora(
        r=job.lora["rank"],
        lora_alpha=job.lora["alpha"],
        use_rslora=job.lora["rslora"],
        lora_dropout=job.lora["dropout"],
        target_modules=list(job.targets),
        task_type="CAUSAL_LM",
    )
    settings = SFTConfig(
        output_dir=str(Path(job.run_folder) / CHECKPOINTS),
        max_steps=job.steps,
        per_device_train_batch_size=job.rows_per_device,
        gradient_accumulation_steps=job.accumulation,
        learning_rate=job.learning_rate,
        lr_scheduler_type=job.schedule,
        warmup_steps=job.warmup,
        weight_decay=job.weight_decay,
        max_grad_norm=job.clip_norm,
        save_strategy="steps",
        save_steps=job.checkpoint_steps,
        save_total_limit=2,
        logging_steps=1,
        logging_nan_inf_filter=False,
        seed=job.seed,
        data_seed=job.seed,
        bf16=job.precision == "bfloat16",
        use_cpu=not job.gpu,
        gradient_checkpointing=False,
        report_to=[],
        disable_tqdm=True,
        remove_unused_columns=False,
        dataset_kwargs={"skip_prepare_dataset": True},
        max_length=None,
        packing=False,
        dataloader_num_workers=0,
        ddp_find_unused_parameters=False,
    )
    trainer_class = trainer_type()
    return trainer_class(
        model=model,
        args=settings,
        train_dataset=Dataset.from_list(rows),
        data_collator=Packer(job.packing, tokenizer.pad_token_id or tokenizer.eos_token_id or 0),
        processing_class=tokenizer,
        peft_config=adapter,
        callbacks=[watcher_type()(Path(job.run_folder) / PROGRESS_FILE, rows)],
    )


def trainer_type() -> type:
    """TRL's SFTTrainer with the loss at supervised positions through the frozen head."""
    import torch
    from trl import SFTTrainer

    from finetune.loss import supervised_loss

    def forward(model: Any, input_ids: torch.Tensor, labels: torch.Tensor, **inputs: Any) -> dict[str, torch.Tensor]:
        shape = {name: inputs[name] for name in ("position_ids", "attention_mask") if inputs.get(name) is not None}
        hidden = model.get_decoder()(input_ids=input_ids, use_cache=False, **shape).last_hidden_state
        return {"loss": supervised_loss(hidden, model.get_output_embeddings().weight, labels)}

    class Trainer(SFTTrainer):
        def __init__(self, **settings: Any):
            super().__init__(**settings)
            model: Any = self.model
            causal = model.get_base_model()
            causal.forward = types.MethodType(forward, causal)
            self.model_accepts_loss_kwargs = True  # the loss is divided here, not again by the steps accumulated

        def compute_loss(
            self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
        ) -> Any:
            total = model(**inputs)["loss"]
            # Gradients are averaged over workers, while the count is of all of them.
            loss = total * self.accelerator.num_processes / num_items_in_batch
            return (loss, {}) if return_outputs else loss

        def log(self, logs: dict[str, float], *args: Any, **kwargs: Any) -> None:
            super(SFTTrainer, self).log(logs, *args, **kwargs)  # without token accuracies nobody computed

    return Trainer


def watcher_type() -> type:
    """A callback that stops at the first gradient that is not finite, and tells the driver how far it is."""
    import torch
    from transformers import TrainerCallback

    class Watcher(TrainerCallback):
        def __init__(self, path: Path, rows: list[dict[str, list[int]]]):
            self.path = path
            self.tokens = sum(len(row["input_ids"]) for row in rows) / len(rows)
            self.started = time.monotonic()
            self.first = 0

        def on_train_begin(self, args: Any, state: Any, control: Any, **context: Any) -> None:
            self.started, self.first = time.monotonic(), state.global_step

        def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, **context: Any) -> None:
            for name, parameter in context["model"].named_parameters():
                if parameter.grad is not None and not torch.isfinite(parameter.grad).all():
                    raise NotFinite(f"the gradient of {name} is not finite at step {state.global_step + 1}")

        def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **context: Any) -> None:
            if state.is_world_process_zero and logs and "loss" in logs:
                rows = args.per_device_train_batch_size * args.gradient_accumulation_steps * args.world_size
                spent = max(time.monotonic() - self.started, 1e-6)
                speed = (state.global_step - self.first) * rows * self.tokens / spent
                entry = {"step": state.global_step, "loss": logs["loss"], "tokens_per_s": round(speed, 1)}
                with self.path.open("a", encoding="utf-8") as out:
                    out.write(json.dumps(entry) + "\n")

    return Watcher


def last_checkpoint(folder: Path) -> str | None:
    """The newest whole checkpoint; one that was being written when the run was killed is left out."""
    found = [path for path in folder.glob("checkpoint-*") if (path / "trainer_state.json").is_file()]
    whole = [path for path in found if (path / "optimizer.pt").is_file() or any(path.glob("optimizer*"))]
    return str(max(whole, key=lambda path: int(path.name.rsplit("-", 1)[1]))) if whole else None


def job_values(job: Job) -> dict[str, Any]:
    """The job as plain values."""
    return asdict(job)


def quiet_environment() -> dict[str, str]:
    """Environment of the workers."""
    return {"HF_HUB_OFFLINE": os.environ.get("HF_HUB_OFFLINE", "0"), "TOKENIZERS_PARALLELISM": "false"}
