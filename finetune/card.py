"""The adapter's README.md: a model card filled in from records, the same for the same training."""

from finetune.train import DEFAULT_EPOCHS
from tunegate_core.canonical import digest
from tunegate_core.config import DataBlock, FinetuneBlock
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

An adapter for `{source}` ({architecture}, {parameters:,} parameters), fine-tuned with LoRA.

## How to load it

```python
from peft import PeftModel
from transformers import AutoModelForCausalLM

base = AutoModelForCausalLM.from_pretrained(BASE_FOLDER)
model = PeftModel.from_pretrained(base, ADAPTER_FOLDER)
```

{template}## Training data

{read} rows were read and {kept} kept ({truncated} of them truncated). Dropped: {dropped}.
{copies}Of a conversation only the assistant's turns have a loss, of a prompt and its completion only the completion, of
a text all of it.

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


TEMPLATE = """\
`chat_template.jinja` is the template it was trained with; use it, or answers will differ from what was evaluated.

"""
COPIES = "Copies of rows with words exchanged in pairs were learnt from as well.\n"


def render_card(base: BaseModelRecord, block: FinetuneBlock, counts: RowCounts) -> str:
    """The card in Markdown with Hugging Face metadata."""
    lora, train = block.lora, block.train
    length = f"{train.steps} steps" if train.steps else f"{train.epochs or DEFAULT_EPOCHS:g} epochs"
    return CARD.format(
        source=base.source,
        architecture=base.architecture,
        parameters=base.parameters,
        licence=f"license: {base.licence}\n" if base.licence else "",
        template=TEMPLATE if base.template != digest(b"") else "",
        read=counts.read,
        kept=counts.kept,
        truncated=counts.truncated,
        dropped=_dropped(block.data, counts),
        copies=COPIES if block.data.augment else "",
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


def _dropped(block: DataBlock, counts: RowCounts) -> str:
    """The rows that were read and not kept, by reason. What the config keeps is counted too, and is not among them."""
    reasons = {
        "empty": counts.empty,
        "equal to an earlier row": counts.duplicate if block.duplicates == "drop" else 0,
        "with an evaluation item": counts.overlapping_items,
        "over-long": counts.over_long,
        "without anything to learn": counts.unsupervised,
        "nearly equal to an earlier row": counts.near_duplicate if block.near_duplicates == "drop" else 0,
    }
    return ", ".join(f"{count} {reason}" for reason, count in reasons.items() if count) or "none"
