"""Tunegate's training as `tunegate release` runs it: rows prepared, self-tested, trained under Ray."""

import json
import sys
from pathlib import Path
from typing import Any

from finetune.data import read_rows
from finetune.render import Renderer
from finetune.train import train
from finetune.worker import PROGRESS_FILE
from tunegate_core.config import BaseBlock, DataBlock, FinetuneBlock, LoraBlock, ParallelBlock, TrainBlock
from tunegate_core.records import BaseModelRecord


def main(order: dict[str, Any]) -> None:
    """Train, move the adapter where the order wants it, print."""
    block = FinetuneBlock(
        base=BaseBlock(model=order["base"]),
        data=DataBlock(source=order["rows"]),
        lora=LoraBlock(rank=order["rank"], alpha=order["alpha"], rslora=False, dropout=0.0),
        train=TrainBlock(
            steps=order["steps"],
            rows_per_step=order["rows_per_step"],
            learning_rate=order["learning_rate"],
            schedule="linear",
            warmup=0.0,
            max_length=order["max_length"],
            seed=order["seed"],
        ),
        parallel=ParallelBlock(workers=order["workers"], device="cpu" if order["cpu"] else "auto"),
    )
    renderer = Renderer(Path(order["base"]))
    examples = [renderer.encode(row, order["max_length"]) for row in read_rows(block.data)]
    record = BaseModelRecord.model_validate(order["record"])
    run = Path(order["out"] + "-run")
    trained = train(block, record, Path(order["base"]), examples, run, None, lambda *_, **__: None)
    trained.adapter_folder.rename(order["out"])
    entries = [json.loads(line) for line in (run / PROGRESS_FILE).read_text().splitlines()]
    print(json.dumps({"step_ends": [0.0, *(entry["elapsed_s"] for entry in entries)]}))


if __name__ == "__main__":
    main(json.loads(Path(sys.argv[1]).read_text()))
