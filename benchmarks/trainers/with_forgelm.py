"""ForgeLM as it comes, in an environment of its own: its defaults, but for what all trainers are given."""

import json
import sys
from pathlib import Path
from typing import Any

import yaml
from forgelm.config import load_config
from forgelm.data import prepare_dataset
from forgelm.model import get_model_and_tokenizer
from forgelm.trainer import ForgeTrainer
from transformers import trainer

from benchmarks.trainers.watch import Clock

ADAPTER = "final_model"


def main(order: dict[str, Any]) -> None:
    """Train, save, print."""
    out = Path(order["out"])
    settings = {
        "model": {"name_or_path": order["base"], "max_length": order["max_length"], "load_in_4bit": False},
        "lora": {"r": order["rank"], "alpha": order["alpha"], "target_modules": order["targets"]},
        "training": {
            "output_dir": str(out) + "-run",
            "final_model_dir": ADAPTER,
            "per_device_train_batch_size": order["rows_per_step"],
            "gradient_accumulation_steps": 1,
            "max_steps": order["steps"],
            "learning_rate": order["learning_rate"],
            "report_to": "none",
        },
        "data": {"dataset_name_or_path": order["rows"]},
    }
    path = out.with_suffix(".yaml")
    path.write_text(yaml.safe_dump(settings))
    config = load_config(str(path))
    clocks: list[Clock] = []

    class Noted(Clock):
        def __init__(self) -> None:
            super().__init__()
            clocks.append(self)

    defaults: list[Any] = trainer.DEFAULT_CALLBACKS
    defaults.append(Noted)  # it takes no callbacks of its users
    model, tokenizer = get_model_and_tokenizer(config)
    ForgeTrainer(model, tokenizer, config, prepare_dataset(config, tokenizer)).train()
    found = next(Path(str(out) + "-run").rglob("adapter_model.safetensors"))
    found.parent.rename(out)
    print(json.dumps({"step_ends": clocks[-1].ends}))


if __name__ == "__main__":
    main(json.loads(Path(sys.argv[1]).read_text()))
