"""Attention of one token to what came before it, where several query heads share a key head, on a CPU.

The usual way copies keys and values once for each query head and gives each of them a kernel of its own for a single
row. Heads that share a key are rows of one product instead: the same sums, a quarter of the time. Everything else is
left to the model's own attention.

Axes: B batch, H query heads, K key heads, G query heads of a key head, L tokens, D head size.
"""

from typing import Any

import torch
from torch.nn import functional as F

NAME = "tunegate_grouped"


def attend_grouped(
    module: Any,
    query_B_H_T_D: torch.Tensor,
    key_B_K_L_D: torch.Tensor,
    value_B_K_L_D: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float | None = None,
    **settings: Any,
) -> tuple[torch.Tensor, None]:
    """What transformers calls for attention: (B, T, H, D) and no weights."""
    batch, heads, length, width = query_B_H_T_D.shape
    shared = key_B_K_L_D.shape[1]
    if length > 1 or heads == shared or (attention_mask is not None and attention_mask.shape[1] > 1):
        from transformers.integrations.sdpa_attention import sdpa_attention_forward

        usual: Any = sdpa_attention_forward
        found: tuple[torch.Tensor, None] = usual(
            module, query_B_H_T_D, key_B_K_L_D, value_B_K_L_D, attention_mask, scaling=scaling, **settings
        )
        return found
    rows_B_K_G_D = query_B_H_T_D.reshape(batch, shared, heads // shared, width)
    seen = F.scaled_dot_product_attention(
        rows_B_K_G_D, key_B_K_L_D, value_B_K_L_D, attn_mask=attention_mask, scale=scaling
    )
    return seen.reshape(batch, 1, heads, width), None


def attend_quickly(model: Any) -> None:
    """Let a transformers model on a CPU that uses torch's attention use this one. Others stay as they are."""
    from transformers import AttentionInterface, AttentionMaskInterface
    from transformers.masking_utils import sdpa_mask

    if model.device.type != "cpu" or not model._supports_attention_backend:
        return
    if model.config.get_text_config()._attn_implementation != "sdpa":
        return
    AttentionInterface.register(NAME, attend_grouped)
    AttentionMaskInterface.register(NAME, sdpa_mask)
    model.set_attn_implementation(NAME)
