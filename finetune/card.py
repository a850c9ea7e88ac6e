"""The adapter's README.md: a model card filled in from records, the same for the same training."""

from finetune.train import DEFAULT_EPOCHS
from tunegate_core.config import FinetuneBlock
from tunegate_core.records import BaseModelRecord, RowCounts

CARD = """\
---
library_name: peft
pipeline_tag: text-generation
base_model: {source}
tags:
- lora
- tunegate
{licence}---

# LoRA adapter

An adapter for `{source}` ({architecture}, {parameters:,} parameters), fine-tuned on supervised conversations.

## How to load it

```python
from peft import PeftModel
from transformers import AutoModelForCausalLM

base = AutoModelForCausalLM.from_pretrained(BASE_FOLDER)
model = PeftModel.from_pretrained(base, ADAPTER_FOLDER)
```

`chat_template.jinja` is the template it was trained with; use it, or answers will differ from what was evaluated.

## Training data

{read} rows were read and {kept} kept ({truncated} of them truncated). Dropped: {empty} empty, {over_long} over-long,
{duplicate} duplicate, {unsupervised} without anything to learn. Loss on assistant tokens only.

## Training

| setting | value |
|---|---|
| rank, alpha, rsLoRA | {rank}, {alpha:g}, {rslora} |
| target modules | {targets} |
| length | {length} |
| rows per optimizer step | {rows_per_step} |
| learning rate, schedule, warm-up | {learning_rate:g}, {schedule}, {warmup:g} |
| seed | {seed} |

## Evaluation

What was measured, with intervals and the verdict, is in the release's signed statement and not in this file: an
adapter is sealed before it is examined.

## Limits

It was judged on the tasks its release names and on nothing else. It keeps the base model's limits and licence.
"""


def render_card(base: BaseModelRecord, block: FinetuneBlock, counts: RowCounts) -> str:
    """The card in Markdown with Hugging Face metadata."""
    lora, train = block.lora, block.train
    length = f"{train.steps} steps" if train.steps else f"{train.epochs or DEFAULT_EPOCHS:g} epochs"
    return CARD.format(
        source=base.source,
        architecture=base.architecture,
        parameters=base.parameters,
        licence=f"license: {base.licence}\n" if base.licence else "",
        **counts.model_dump(),
        rank=lora.rank,
        alpha=lora.alpha,
        rslora="yes" if lora.rslora else "no",
        targets=lora.targets if isinstance(lora.targets, str) else ", ".join(lora.targets),
        length=length,
        rows_per_step=train.rows_per_step,
        learning_rate=train.learning_rate,
        schedule=train.schedule,
        warmup=train.warmup,
        seed=train.seed,
    )
