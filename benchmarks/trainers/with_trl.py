"""TRL's SFTTrainer as it comes: its defaults, but for what all trainers are given."""

import json
import sys
from pathlib import Path
from typing import Any

from datasets import Dataset
from peft import LoraConfig
from trl import SFTConfig, SFTTrainer

from benchmarks.trainers.watch import Clock


def main(order: dict[str, Any]) -> None:
    """Train, save, print."""
    rows = [json.loads(line) for line in Path(order["rows"]).read_text().splitlines()]
    pairs = [{"prompt": row["messages"][:-1], "completion": row["messages"][-1:]} for row in rows]
    clock = Clock()
    settings = SFTConfig(
        output_dir=order["out"],
        per_device_train_batch_size=order["rows_per_step"],
        max_steps=order["steps"],
        learning_rate=order["learning_rate"],
        seed=order["seed"],
        use_cpu=order["cpu"],
        save_strategy="no",
        report_to=[],
        disable_tqdm=True,
    )
    trainer: Any = SFTTrainer(
        model=order["base"],
        args=settings,
        train_dataset=Dataset.from_list(pairs),
        peft_config=LoraConfig(r=order["rank"], lora_alpha=order["alpha"], target_modules=order["targets"]),
        callbacks=[clock],
    )
    trainer.train()
    trainer.save_model(order["out"])
    print(json.dumps({"step_ends": clock.ends}))


if __name__ == "__main__":
    main(json.loads(Path(sys.argv[1]).read_text()))
