"""The frozen-head loss is cross entropy, in value and in gradient, and costs nothing where nothing is learnt."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from finetune.render import IGNORED

if TYPE_CHECKING:
    import torch


def reference(hidden: torch.Tensor, weight: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Full logits, shifted by one, summed over labels that are not ignored."""
    from torch.nn import functional as F

    logits = F.linear(hidden, weight)[:, :-1]
    return F.cross_entropy(logits.flatten(0, 1), labels[:, 1:].flatten(), ignore_index=IGNORED, reduction="sum")


@pytest.mark.parametrize("chunk", [1, 3, 1024])
@pytest.mark.parametrize("shape", [(1, 12), (3, 7)])
def test_value_and_gradient_are_those_of_cross_entropy(
    shape: tuple[int, int], chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    from finetune import loss as module
    from finetune.loss import supervised_loss

    monkeypatch.setattr(module, "CHUNK", chunk)
    torch.manual_seed(0)
    weight = torch.randn(50, 16)
    labels = torch.randint(0, 50, shape)
    labels[torch.rand(shape) < 0.5] = IGNORED
    hidden = torch.randn(*shape, 16, requires_grad=True)
    other = hidden.detach().clone().requires_grad_()
    ours, theirs = supervised_loss(hidden, weight, labels), reference(other, weight, labels)
    (ours * 0.7).backward()
    (theirs * 0.7).backward()
    assert torch.allclose(ours, theirs, atol=1e-4)
    assert hidden.grad is not None
    assert other.grad is not None
    assert torch.allclose(hidden.grad, other.grad, atol=1e-5)


def test_nothing_supervised_is_zero() -> None:
    import torch

    from finetune.loss import supervised_loss

    hidden = torch.randn(1, 4, 8, requires_grad=True)
    total = supervised_loss(hidden, torch.randn(5, 8), torch.full((1, 4), IGNORED))
    total.backward()
    assert total.item() == 0
    assert hidden.grad is not None
    assert not hidden.grad.any()


def test_the_head_gets_no_gradient() -> None:
    import torch

    from finetune.loss import supervised_loss

    weight = torch.randn(5, 8, requires_grad=True)
    supervised_loss(torch.randn(1, 4, 8, requires_grad=True), weight, torch.tensor([[0, 1, 2, 3]])).backward()
    assert weight.grad is None
