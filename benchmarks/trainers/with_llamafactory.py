"""LLaMA-Factory as it comes, in an environment of its own: its defaults, but for what all trainers are given."""

import json
import sys
from pathlib import Path
from typing import Any

from llamafactory.train.tuner import run_exp

from benchmarks.trainers.watch import Clock


def main(order: dict[str, Any]) -> None:
    """Train, save, print."""
    folder = Path(order["rows"]).parent
    tags = {"role_tag": "role", "content_tag": "content", "user_tag": "user", "assistant_tag": "assistant"}
    description = {
        "file_name": Path(order["rows"]).name,
        "formatting": "sharegpt",
        "columns": {"messages": "messages"},
        "tags": tags,
    }
    (folder / "dataset_info.json").write_text(json.dumps({"rows": description}))
    clock = Clock()
    run_exp(
        {
            "stage": "sft",
            "do_train": True,
            "model_name_or_path": order["base"],
            "finetuning_type": "lora",
            "lora_rank": order["rank"],
            "lora_alpha": order["alpha"],
            "lora_target": "all",
            "dataset": "rows",
            "dataset_dir": str(folder),
            "template": "smollm2",
            "cutoff_len": order["max_length"],
            "output_dir": order["out"],
            "per_device_train_batch_size": order["rows_per_step"],
            "max_steps": order["steps"],
            "learning_rate": order["learning_rate"],
            "seed": order["seed"],
            "use_cpu": order["cpu"],
            "bf16": True,
            "save_strategy": "no",
            "report_to": "none",
            "disable_tqdm": True,
            "overwrite_cache": True,
        },
        callbacks=[clock],
    )
    print(json.dumps({"step_ends": clock.ends}))


if __name__ == "__main__":
    main(json.loads(Path(sys.argv[1]).read_text()))
