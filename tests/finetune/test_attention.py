"""Attention row by row is causal attention under the mask that keeps packed rows apart."""

import pytest

SHORT = 256  # what `finetune.attention` takes a short row to be


@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 1e-6), ("bfloat16", 1e-2)])
@pytest.mark.parametrize("lengths", [[7], [1, 5, 3], [4, 4, 1, 1], [SHORT + 1, SHORT]])
def test_it_is_what_a_mask_over_the_whole_sequence_gives(lengths: list[int], dtype: str, tolerance: float) -> None:
    import torch
    from torch.nn import functional as F

    from finetune import attention

    assert attention.SHORT == SHORT
    torch.manual_seed(0)
    total = sum(lengths)
    query, key, value = (torch.randn(1, heads, total, 8).to(getattr(torch, dtype)) for heads in (4, 2, 2))
    positions = torch.tensor([[place for length in lengths for place in range(length)]])
    row = torch.repeat_interleave(torch.arange(len(lengths)), torch.tensor(lengths))
    mask = (row[:, None] == row[None, :]) & torch.ones(total, total).tril().bool()
    exact = (part.float() for part in (query, key, value))
    expected = F.scaled_dot_product_attention(*exact, attn_mask=mask, scale=0.3, enable_gqa=True)
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=dtype == "bfloat16"):
        found, weights = attention.attend_rows(None, query, key, value, None, scaling=0.3, position_ids=positions)
    assert weights is None
    assert found.dtype == getattr(torch, dtype)
    assert torch.allclose(found.float(), expected.transpose(1, 2), atol=tolerance)


@pytest.mark.parametrize(
    ("kind", "settings", "whole"),
    [
        ("LlamaConfig", {}, True),
        ("Qwen2Config", {"use_sliding_window": False, "sliding_window": 4}, True),
        ("Qwen2Config", {"use_sliding_window": True, "sliding_window": 4, "max_window_layers": 0}, False),
    ],
)
def test_a_sliding_window_is_left_to_the_model(kind: str, settings: dict[str, int], whole: bool) -> None:
    import transformers

    from finetune.attention import whole_rows

    assert whole_rows(getattr(transformers, kind)(**settings)) == whole
