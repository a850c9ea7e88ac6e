"""Attention of packed rows, row by row: exact, and without the square of the whole sequence.

The usual way gives every token a mask over the whole sequence, most of which is then thrown away; on a CPU that is a
third of the step at a thousand tokens. Each row attends causally to itself alone, where its positions start again at 0.
Only for models whose every layer attends to the whole row; `train.resolve_attention` proves it on the model at hand.

Axes: B batch (one), H heads, T tokens, D head size.
"""

from itertools import pairwise
from typing import Any

import torch
from torch.nn import functional as F

NAME = "tunegate_rows"
SHORT = 256  # tokens; up to here torch's CPU kernel takes two to four times as long in bfloat16 as in float32


def attend_rows(
    module: Any,
    query_B_H_T_D: torch.Tensor,
    key_B_H_T_D: torch.Tensor,
    value_B_H_T_D: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float | None = None,
    position_ids: torch.Tensor | None = None,
    **_: Any,
) -> tuple[torch.Tensor, None]:
    """What transformers calls for attention: (B, T, H, D) and no weights. Key heads may be fewer than query heads."""
    length = query_B_H_T_D.shape[2]
    starts = [0] if position_ids is None else (position_ids[0] == 0).nonzero().flatten().tolist()
    lengths = [end - start for start, end in pairwise([*starts, length])]
    # Split, not sliced: the gradient of each slice would be a whole tensor of zeros.
    rows = zip(*(part.split(lengths, dim=2) for part in (query_B_H_T_D, key_B_H_T_D, value_B_H_T_D)), strict=True)
    parts = [_attend_row(query, key, value, scaling) for query, key, value in rows]
    return torch.cat(parts, dim=2).transpose(1, 2).contiguous(), None


def _attend_row(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, scaling: float | None) -> torch.Tensor:
    """Causal attention of one row to itself, (B, H, T, D)."""
    settings: dict[str, Any] = {"is_causal": True, "scale": scaling, "enable_gqa": True}
    if query.device.type != "cpu" or query.shape[2] > SHORT or query.dtype == torch.float32:
        return F.scaled_dot_product_attention(query, key, value, **settings)
    with torch.autocast("cpu", enabled=False):
        return F.scaled_dot_product_attention(query.float(), key.float(), value.float(), **settings).to(query.dtype)


def register() -> str:
    """Make it known to transformers; returns the name to ask for."""
    from transformers import AttentionInterface

    AttentionInterface.register(NAME, attend_rows)
    return NAME


def whole_rows(config: Any) -> bool:
    """Whether every layer attends to the whole row, softmax over nothing but its own keys."""
    text = config.get_text_config()
    kinds = set(getattr(text, "layer_types", None) or ["full_attention"])
    window = getattr(text, "sliding_window", None) if getattr(text, "use_sliding_window", True) else None
    return kinds == {"full_attention"} and window is None and not getattr(text, "attn_logit_softcapping", None)
