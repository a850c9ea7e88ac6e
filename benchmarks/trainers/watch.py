"""A transformers callback that notes when each optimizer step ends. Imported by each trainer's own environment."""

import time
from typing import Any

from transformers import TrainerCallback


class Clock(TrainerCallback):
    """`ends[0]` is the start of training, then the end of each optimizer step, in seconds of a monotonic clock."""

    def __init__(self) -> None:
        self.ends: list[float] = []

    def on_train_begin(self, *_: Any, **__: Any) -> None:
        """The start."""
        self.ends.append(time.monotonic())

    def on_step_end(self, *_: Any, **__: Any) -> None:
        """One more step."""
        self.ends.append(time.monotonic())
