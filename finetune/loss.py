"""Cross entropy at supervised positions only, through a head that is frozen.

Under LoRA the head has no gradient, so the gradient with respect to the hidden states is known as soon as the loss is:
dL/dh = (softmax(h W^T) - onehot(y)) W. It is computed in the forward pass, chunk by chunk, and the logits are thrown
away; nothing is computed where nothing is learnt. (The idea of not keeping logits: Wijmans et al. 2024, Cut Cross
Entropy, arXiv 2411.09009; a frozen head makes it this short.)

Axes: B batch, T tokens, S supervised positions, H hidden size, V vocabulary.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch.nn import functional as F

from finetune.render import IGNORED

CHUNK = 256  # supervised positions whose logits are in memory at once


class FrozenHeadLoss(torch.autograd.Function):
    """Sum of token losses over (S, H) hidden states; the weight (V, H) gets no gradient."""

    @staticmethod
    def forward(ctx: Any, hidden_S_H: torch.Tensor, weight_V_H: torch.Tensor, target_S: torch.Tensor) -> torch.Tensor:
        """The summed loss in nats; keeps the gradient for the backward pass. The softmax is in float32."""
        total = hidden_S_H.new_zeros((), dtype=torch.float32)
        gradient = torch.empty_like(hidden_S_H)
        for start in range(0, len(target_S), CHUNK):
            part = slice(start, start + CHUNK)
            target = target_S[part, None]
            logits = F.linear(hidden_S_H[part], weight_V_H).float()
            logits -= logits.logsumexp(dim=-1, keepdim=True)
            total -= logits.gather(1, target).sum()
            slope = logits.exp_()
            slope.scatter_add_(1, target, -torch.ones_like(target, dtype=slope.dtype))
            gradient[part] = slope.to(weight_V_H.dtype) @ weight_V_H
        ctx.save_for_backward(gradient)
        return total

    @staticmethod
    def backward(ctx: Any, *outer: Any) -> tuple[torch.Tensor, None, None]:
        """The kept gradient, scaled."""
        (gradient,) = ctx.saved_tensors
        return gradient * outer[0].to(gradient.dtype), None, None


def supervised_loss(hidden_B_T_H: torch.Tensor, weight_V_H: torch.Tensor, labels_B_T: torch.Tensor) -> torch.Tensor:
    """Sum over the batch of -log p(label) in nats, where the token before predicts each label that is not -100."""
    target = labels_B_T[:, 1:]
    learnt = target != IGNORED
    apply: Callable[..., torch.Tensor] = FrozenHeadLoss.apply
    return apply(hidden_B_T_H[:, :-1][learnt], weight_V_H, target[learnt])


def full_logits_loss(logits_B_T_V: torch.Tensor, labels_B_T: torch.Tensor) -> torch.Tensor:
    """The same sum from the model's own logits, for a head that does more than multiply."""
    target = labels_B_T[:, 1:]
    learnt = target != IGNORED
    return F.cross_entropy(logits_B_T_V[:, :-1][learnt].float(), target[learnt], reduction="sum")
