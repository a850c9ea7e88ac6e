"""Laws of training that are proved on the user's own model and rows before it starts, not assumed.

Packing isolates: rows behind one another in one sequence, told apart by positions that start again at 0, give the same
logits as each by itself. The loss is the model's own: its gradient through the frozen head is that of the model's whole
forward pass. Accumulation and workers do not matter: the gradient of a step is the same whether its rows come at once,
in turns, or on two workers. All in float32 and without dropout, where only the order of sums may differ.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from finetune.render import Encoded
from tunegate_core.config import LoraBlock

if TYPE_CHECKING:
    import torch

# A packed row may differ from the row alone by rounding; contamination was seen at 0.5 and above.
LOGIT_TOLERANCE = 1e-4
# Two float32 sums of the same terms in another order, relative to the gradient's norm.
GRADIENT_TOLERANCE = 1e-4
SEED = 17


def packing_is_exact(model: Any, examples: Sequence[Encoded]) -> tuple[bool, float]:
    """Whether two rows in one sequence have the logits they have alone, and the largest difference found.

    `model` is a causal language model in float32 (in less, rounding hides what is looked for); the first two examples
    are used, one of them twice where there is but one.
    """
    import torch

    pair = [examples[0], examples[-1] if len(examples) == 1 else examples[1]]
    training, device = model.training, next(model.parameters()).device
    model.eval()
    try:
        with torch.no_grad():
            alone = [_logits(model, [example], device) for example in pair]
            packed = _logits(model, pair, device)
    finally:
        model.train(training)
    difference = float((packed - torch.cat(alone)).abs().max())
    return difference < LOGIT_TOLERANCE, difference  # NaN is not smaller: not exact


def load_for_proof(folder: Path, lora: LoraBlock) -> Any:
    """The base in float32 with a random adapter whose every part has an effect, the same in each process."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM
    from transformers.utils import logging

    quiet: Any = logging
    quiet.disable_progress_bar()
    base = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, trust_remote_code=False)
    torch.manual_seed(SEED)
    config_class: Any = LoraConfig  # PEFT declares alpha an int and takes any number
    config = config_class(
        r=lora.rank,
        lora_alpha=lora.alpha,
        use_rslora=lora.rslora,
        target_modules=lora.targets if isinstance(lora.targets, str) else list(lora.targets),
        lora_dropout=0.0,
        init_lora_weights=False,  # PEFT's usual start (B = 0) would leave A without a gradient to compare
        task_type="CAUSAL_LM",
    )
    return get_peft_model(base, config)


def gradient(model: Any, groups: Sequence[Sequence[Encoded]], supervised: int) -> "torch.Tensor":
    """The flat gradient (float32, one axis) of one step as it is trained: packed groups, one backward pass each.

    `supervised` counts the step's supervised tokens over all groups and workers: the loss is their mean, whoever holds
    them.
    """
    model.zero_grad(set_to_none=True)
    for group in groups:
        loss: Any = _trained_loss(model, group) / supervised
        loss.backward()
    return _flat_gradient(model)


def own_gradient(model: Any, examples: Sequence[Encoded], supervised: int) -> "torch.Tensor":
    """The same gradient by the model's own forward pass: each row alone, every logit made, torch's cross entropy."""
    import torch

    model.zero_grad(set_to_none=True)
    for example in examples:
        inputs = _packed([example], next(model.parameters()).device)
        logits = model(**inputs).logits[0, :-1].float()
        target = torch.tensor(example.labels[1:], device=logits.device)
        (torch.nn.functional.cross_entropy(logits, target, reduction="sum") / supervised).backward()
    return _flat_gradient(model)


def relative_difference(one: "torch.Tensor", other: "torch.Tensor") -> float:
    """|one - other| / |one|, Euclidean. NaN where a gradient is not finite, which is within no tolerance."""
    return float((one - other).norm() / one.norm())


def _packed(examples: Sequence[Encoded], device: Any) -> dict[str, Any]:
    """Rows behind one another, shape (1, tokens). No attention mask and no cache: either would join the rows."""
    import torch

    ids = [token for example in examples for token in example.input_ids]
    positions = [at for example in examples for at in range(len(example.input_ids))]
    return {
        "input_ids": torch.tensor([ids], device=device),
        "position_ids": torch.tensor([positions], device=device),
        "use_cache": False,
    }


def _logits(model: Any, examples: Sequence[Encoded], device: Any) -> "torch.Tensor":
    logits: torch.Tensor = model(**_packed(examples, device)).logits[0].float()
    return logits


def _trained_loss(model: Any, examples: Sequence[Encoded]) -> "torch.Tensor":
    """The sum that training minimises, by training's own code."""
    import torch

    from finetune.loss import supervised_loss

    base = model.get_base_model()
    inputs = _packed(examples, next(model.parameters()).device)
    labels = torch.tensor([[label for example in examples for label in example.labels]]).to(inputs["input_ids"].device)
    return supervised_loss(base.get_decoder()(**inputs).last_hidden_state, base.get_output_embeddings().weight, labels)


def _flat_gradient(model: Any) -> "torch.Tensor":
    import torch

    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    return torch.cat([parameter.grad.flatten() for parameter in trained])
