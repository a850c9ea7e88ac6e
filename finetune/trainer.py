"""TRL's trainer over rows that are tokens already: one entry of its data is one optimizer step.

No template, truncation, packing, accumulation or resuming of the library's own touches the rows; its loop, its
optimizer, clipping, and accelerate's DDP and FSDP2 do the work. A step's loss is the sum over its supervised tokens, on
all workers, divided by their number, so neither micro-batches nor workers change it.
"""

import math
import types
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from accelerate.utils import DistributedType, FullyShardedDataParallelPlugin
from datasets import Dataset
from transformers import PrinterCallback, TrainerCallback
from trl import SFTConfig, SFTTrainer

from finetune import checkpoint
from finetune.loss import full_logits_loss, supervised_loss
from finetune.packing import Room, Rows, batch, micro_batches, step_rows


class NotFinite(Exception):
    """A loss or gradient is NaN or infinite; the message names the step."""


@dataclass(frozen=True)
class Course:
    """What is learnt in which step, and how fast. `begin`: the steps a checkpoint has already done."""

    rows: Rows
    steps: int
    begin: int
    rows_per_step: int
    room: Room
    packing: bool
    pad: int
    seed: int
    rate: Callable[[int], float]

    def of_worker(self, worker: int, workers: int) -> list[dict[str, Any]]:
        """The steps that are still to do: this worker's micro-batches, and the supervised tokens of all workers."""
        plan = step_rows(len(self.rows), self.rows_per_step, self.steps, self.seed)
        return [self._step(number, rows, worker, workers) for number, rows in enumerate(plan) if number >= self.begin]

    def _step(self, number: int, rows: list[int], worker: int, workers: int) -> dict[str, Any]:
        groups = micro_batches(rows, self.rows.lengths(rows), self.room, workers, self.packing)[worker]
        return {"number": number, "groups": groups, "supervised": max(1, self.rows.supervised(rows))}


class Trainer(SFTTrainer):
    """One training of an adapter. `plain_head`: the logits are the head's weight times the hidden states."""

    def __init__(self, course: Course, plain_head: bool, **settings: Any):
        # The library insists on a data set of its own kind; the steps come from `get_train_dataloader`.
        super().__init__(train_dataset=Dataset.from_dict({"input_ids": [[0]]}), **settings)
        self.course = course
        self.remove_callback(PrinterCallback)
        model: Any = self.model
        causal = model.get_base_model()
        causal.forward = types.MethodType(_loss_of_plain_head if plain_head else _loss_of_logits, causal)

    def get_train_dataloader(self) -> Any:
        """The steps still to do, this worker's part of each."""
        return self.course.of_worker(self.accelerator.process_index, self.accelerator.num_processes)

    def create_accelerator_and_postprocess(self) -> None:
        """As the library does; and FSDP2 on CPU workers, for which accelerate would quietly leave it out."""
        super().create_accelerator_and_postprocess()
        if not self.args.fsdp or self.is_fsdp_enabled:
            return
        state = self.accelerator.state
        state.fsdp_plugin = FullyShardedDataParallelPlugin(**self.args.fsdp_plugin_args)
        if self.args.bf16:
            state.fsdp_plugin.set_mixed_precision("bf16")
        state.distributed_type = DistributedType.FSDP
        self.is_fsdp_enabled = True

    def create_scheduler(self, num_training_steps: int, optimizer: Any = None) -> Any:
        """The rate as a function of the step of the whole run, wherever this part of it began."""
        steered: Any = optimizer or self.optimizer
        self.lr_scheduler = torch.optim.lr_scheduler.LambdaLR(
            steered, lambda step: self.course.rate(step + self.course.begin)
        )
        self._created_lr_scheduler = True
        return self.lr_scheduler

    def training_step(self, model: Any, inputs: dict[str, Any], num_items_in_batch: Any = None) -> torch.Tensor:
        """All micro-batches of a step, their gradients summed and shared once; returns the loss, times the workers.

        Random numbers (dropout) start anew in each step, so that a continued run draws the same ones.
        """
        model.train()
        workers = self.accelerator.num_processes
        torch.manual_seed(self.course.seed * 1_000_003 + inputs["number"] * workers + self.accelerator.process_index)
        total = torch.zeros((), device=self.args.device)
        for at, group in enumerate(inputs["groups"]):
            last = at + 1 == len(inputs["groups"])
            tensors = batch(self.course.rows, group, self.course.packing, self.course.pad)
            with nullcontext() if last else self.accelerator.no_sync(model):
                loss = model(**self._prepare_inputs(tensors))["loss"] * workers / inputs["supervised"]
                self.accelerator.backward(loss)
            total += loss.detach()
        return total

    def floating_point_ops(self, inputs: dict[str, Any]) -> int:
        """Not counted."""
        return 0

    def log(self, logs: dict[str, float], *args: Any, **kwargs: Any) -> None:
        """Without the token accuracies that nobody computed."""
        super(SFTTrainer, self).log(logs, *args, **kwargs)


class Watcher(TrainerCallback):
    """Continues from a checkpoint, writes the next ones, tells how far it is, stops at what is not finite."""

    def __init__(
        self, trainer: Trainer, folder: Path, every: int, start: tuple[Path, checkpoint.Reached] | None, guard: str
    ):
        self.trainer, self.folder, self.every, self.guard = trainer, folder, every, guard
        self.start = start
        self.losses = list(start[1].losses) if start else []
        self.tell: Callable[[int, float | None], None] = lambda step, loss: None

    def on_train_begin(self, args: Any, state: Any, control: Any, **context: Any) -> None:
        """Weights and moments of the checkpoint, once model and optimizer are where they will be trained."""
        if self.start:
            checkpoint.restore(self.start[0], *self._parts())
        self.tell(len(self.losses), None)

    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, **context: Any) -> None:
        """After clipping, one bad gradient has spoilt all of them, on every worker alike."""
        for name, parameter in checkpoint.trained(self._parts()[0]):
            local = getattr(parameter.grad, "_local_tensor", parameter.grad)
            if local is not None and not torch.isfinite(local).all():
                raise NotFinite(f"the gradient of {name} is not finite at step {len(self.losses) + 1}")

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **context: Any) -> None:
        """The loss of the step, the same on every worker."""
        if "loss" not in logs:
            return
        self.losses.append(logs["loss"])
        step = len(self.losses)
        if not math.isfinite(logs["loss"]):
            raise NotFinite(f"the loss is not finite at step {step}")
        if step % self.every == 0 or step == self.trainer.course.steps:
            self._save(step, state.is_world_process_zero)
        self.tell(step, logs["loss"])

    def _save(self, step: int, first: bool) -> None:
        tensors = checkpoint.collect(*self._parts())
        if first:
            checkpoint.save(self.folder, checkpoint.Reached(self.guard, step, tuple(self.losses)), tensors)

    def _parts(self) -> tuple[Any, Any]:
        optimizer: Any = self.trainer.optimizer
        return self.trainer.accelerator.unwrap_model(self.trainer.model), optimizer.optimizer


def settings_of(folder: Path, course: Course, optimiser: dict[str, Any], low: bool, gpu: bool, fsdp: bool) -> SFTConfig:
    """The library's settings: everything it could do to rows, loss or checkpoints on its own is off."""
    sharding = {"version": 2, "auto_wrap_policy": "TRANSFORMER_BASED_WRAP"}
    extra: dict[str, Any] = {"fsdp": True, "fsdp_config": sharding} if fsdp else {}
    return SFTConfig(
        output_dir=str(folder),
        max_steps=course.steps - course.begin,
        per_device_train_batch_size=1,
        gradient_accumulation_steps=1,
        **optimiser,
        save_strategy="no",
        logging_steps=1,
        logging_nan_inf_filter=False,
        seed=course.seed,
        bf16=low,
        use_cpu=not gpu,
        gradient_checkpointing=False,
        report_to=[],
        disable_tqdm=True,
        remove_unused_columns=False,
        dataset_kwargs={"skip_prepare_dataset": True},
        max_length=None,
        packing=False,
        ddp_find_unused_parameters=False,
        **extra,
    )


def _loss_of_plain_head(model: Any, labels: torch.Tensor, **inputs: Any) -> dict[str, torch.Tensor]:
    hidden = model.get_decoder()(use_cache=False, **inputs).last_hidden_state
    return {"loss": supervised_loss(hidden, model.get_output_embeddings().weight, labels)}


def _loss_of_logits(model: Any, labels: torch.Tensor, **inputs: Any) -> dict[str, torch.Tensor]:
    logits = type(model).forward(model, use_cache=False, **inputs).logits
    return {"loss": full_logits_loss(logits, labels)}
