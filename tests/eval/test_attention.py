"""Attention by groups of heads equals torch's own, and takes its place only where that would be used."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eval.attention import NAME, attend_grouped, attend_quickly


@given(
    batch=st.integers(1, 3),
    kept=st.integers(1, 3),
    groups=st.integers(1, 4),
    length=st.integers(1, 9),
    asked=st.sampled_from([1, 1, 2]),
    masked=st.booleans(),
    seed=st.integers(0, 99),
)
def test_it_equals_torchs_own(
    batch: int, kept: int, groups: int, length: int, asked: int, masked: bool, seed: int
) -> None:
    import torch
    from transformers.integrations.sdpa_attention import sdpa_attention_forward

    chance = torch.Generator().manual_seed(seed)
    query = torch.randn(batch, kept * groups, asked, 8, generator=chance)
    keys, values = (torch.randn(batch, kept, length + asked, 8, generator=chance) for _ in range(2))
    mask = torch.rand(batch, 1, asked, length + asked, generator=chance) < 0.6 if masked else None
    if mask is not None:
        mask[..., -1] = True  # a token sees itself
    module: Any = SimpleNamespace(num_key_value_groups=groups, is_causal=True)
    ours, _ = attend_grouped(module, query, keys, values, mask, scaling=0.3)
    theirs, _ = sdpa_attention_forward(module, query, keys, values, mask, scaling=0.3)
    assert ours.shape == (batch, asked, kept * groups, 8)
    assert torch.allclose(ours, theirs, atol=1e-5)


@pytest.mark.parametrize(("own", "expected"), [("sdpa", NAME), ("eager", "eager")])
def test_a_model_with_an_attention_of_its_own_keeps_it(tiny_base: Path, own: str, expected: str) -> None:
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(tiny_base, attn_implementation=own)
    attend_quickly(model)
    assert model.config._attn_implementation == expected


def test_a_model_that_takes_no_other_attention_keeps_its_own(tiny_base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(tiny_base)
    monkeypatch.setattr(type(model), "_supports_attention_backend", False)
    attend_quickly(model)
    assert model.config._attn_implementation == "sdpa"
