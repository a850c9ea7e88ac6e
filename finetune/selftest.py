"""What may be saved on the model at hand, proved on it before training and not assumed.

Packing is on only where two rows in one sequence have the logits they have alone; the quicker attention only where it
gives the logits of the model's own; the loss goes past the logits only where the head does nothing but multiply.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from finetune.packing import Rows, batch
from finetune.proofs import LOGIT_TOLERANCE, packing_is_exact
from finetune.render import Encoded
from tunegate_core.errors import BadInput

MOST_TOKENS = 256


@dataclass(frozen=True)
class Proved:
    """`attention` is the one packed rows use, None for the model's own; `plain_head`: the loss needs no logits."""

    packing: bool
    attention: str | None
    plain_head: bool


def prove(base_folder: Path, examples: Sequence[Encoded], packing: str, gpu: bool) -> Proved:
    """Load the base in float32 and try. Raises BadInput when packing is "on" and rows would see each other."""
    import torch
    from transformers import AutoModelForCausalLM
    from transformers.utils import logging

    quiet: Any = logging
    quiet.disable_progress_bar()
    model = AutoModelForCausalLM.from_pretrained(base_folder, dtype=torch.float32, trust_remote_code=False).eval()
    pair = _short_rows(examples)
    plain = _head_is_plain(model, pair)
    if packing == "off":
        return Proved(packing=False, attention=None, plain_head=plain)
    exact, difference = packing_is_exact(model, pair)
    if packing == "on" and not exact:
        raise BadInput(
            f"finetune.train.packing is on, but packed rows of this model see each other (logits differ by "
            f"{difference:.2g}); set it to auto or off"
        )
    attention = _attention(model, pair) if exact and not gpu else None
    return Proved(packing=exact, attention=attention, plain_head=plain)


def _attention(model: Any, pair: Sequence[Encoded]) -> str | None:
    """The name of the quicker attention where its packed logits are those of each row alone, else None."""
    import torch

    from finetune.attention import register, whole_rows

    if not (model._supports_attention_backend and whole_rows(model.config)):
        return None
    alone = torch.cat([_logits(model, [row]) for row in pair])
    name = register()
    model.set_attn_implementation(name)
    packed = _logits(model, pair)
    return name if float((packed - alone).abs().max()) < LOGIT_TOLERANCE else None


def _head_is_plain(model: Any, pair: Sequence[Encoded]) -> bool:
    import torch

    with torch.no_grad():
        inputs = _inputs(pair[:1])
        hidden = model.get_decoder()(**inputs, use_cache=False).last_hidden_state
        guess = torch.nn.functional.linear(hidden, model.get_output_embeddings().weight)
        return bool((guess - model(**inputs, use_cache=False).logits).abs().max() < LOGIT_TOLERANCE)


def _logits(model: Any, rows: Sequence[Encoded]) -> Any:
    import torch

    with torch.no_grad():
        return model(**_inputs(rows), use_cache=False).logits[0]


def _inputs(rows: Sequence[Encoded]) -> dict[str, Any]:
    tensors = batch(Rows.of(rows), list(range(len(rows))), packing=True, pad=0)
    return {name: tensors[name] for name in ("input_ids", "position_ids")}


def _short_rows(examples: Sequence[Encoded]) -> list[Encoded]:
    """Two rows, cut short: what is proved does not depend on their length."""
    pair = sorted(examples, key=lambda row: len(row.input_ids))[-2:]
    cut = [Encoded(row.input_ids[:MOST_TOKENS], row.labels_mask[:MOST_TOKENS], True, row.length) for row in pair]
    return cut if len(cut) == 2 else cut * 2
