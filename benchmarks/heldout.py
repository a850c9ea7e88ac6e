"""The loss of adapters on rows that were not trained on: one code for all of them, float32, the base loaded once."""

from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM

from finetune.data import read_rows
from finetune.loss import supervised_loss
from finetune.render import Renderer
from tunegate_core.config import DataBlock

LONGEST = 1024


def losses(base: Path, adapters: dict[str, Path], rows: Path) -> dict[str, float]:
    """Nats per supervised token of each adapter, and of `base` itself, on the rows of a file."""
    renderer = Renderer(base)
    encoded = [renderer.encode(row, LONGEST) for row in read_rows(DataBlock(source=str(rows)))]
    count = sum(row.supervised for row in encoded)

    def loss(model: Any) -> float:
        causal = model.get_base_model() if hasattr(model, "get_base_model") else model
        head, total = causal.get_output_embeddings().weight, 0.0
        with torch.no_grad():
            for row in encoded:
                ids, labels = torch.tensor([row.input_ids]), torch.tensor([row.labels])
                hidden = causal.get_decoder()(input_ids=ids, use_cache=False).last_hidden_state
                total += float(supervised_loss(hidden, head, labels))
        return total / count

    model: Any = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32).eval()
    found = {"base": loss(model)}
    for name, folder in adapters.items():
        adapted = PeftModel.from_pretrained(model, folder).eval()
        found[name] = loss(adapted)
        model = adapted.unload()
    return found
