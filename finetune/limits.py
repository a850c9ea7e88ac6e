"""What vLLM takes: refuse before training an adapter that could not be served after it.

Read off vLLM 0.32: `max_lora_rank` is one of a fixed list, and an adapter of any rank up to it is loaded (rank 12 needs
16); DoRA, bias and `modules_to_save` are refused (our config can't ask for them); a module is accepted when the
architecture's vLLM class has a linear layer of that name, directly or packed into a larger one. The head and the
embeddings stay frozen: the training loss counts on it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tunegate_core.config import LoraBlock
from tunegate_core.errors import BadInput

RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)
FROZEN = frozenset({"lm_head", "embed_tokens", "embed_in", "embed_out", "wte"})

_ATTENTION = frozenset({"q_proj", "k_proj", "v_proj", "o_proj"})
_GATED = _ATTENTION | {"gate_proj", "up_proj", "down_proj"}

# Architecture (config.json's name) -> modules an adapter may have, by the names transformers gives them.
MODULES: Mapping[str, frozenset[str]] = {
    "ApertusForCausalLM": _ATTENTION | {"up_proj", "down_proj"},
    "Exaone4ForCausalLM": _GATED,
    "GemmaForCausalLM": _GATED,
    "Gemma2ForCausalLM": _GATED,
    "Gemma3ForCausalLM": _GATED,
    "GraniteForCausalLM": _GATED,
    "LlamaForCausalLM": _GATED,
    "MistralForCausalLM": _GATED,
    "NemotronForCausalLM": _ATTENTION | {"up_proj", "down_proj"},
    "OPTForCausalLM": frozenset({"q_proj", "k_proj", "v_proj", "out_proj", "fc1", "fc2"}),
    "Phi3ForCausalLM": frozenset({"qkv_proj", "o_proj", "gate_up_proj", "down_proj"}),
    "Qwen2ForCausalLM": _GATED,
    "Qwen3ForCausalLM": _GATED,
}


@dataclass(frozen=True)
class Servable:
    """How vLLM has to be started for the adapter: its `max_lora_rank`; and the modules that are adapted, sorted."""

    max_lora_rank: int
    modules: tuple[str, ...]


def served_rank(rank: int) -> int:
    """The smallest `max_lora_rank` that takes an adapter of this rank. Raises BadInput above the largest."""
    fitting = [allowed for allowed in RANKS if allowed >= rank]
    if not fitting:
        raise BadInput(f"finetune.lora.rank is {rank}; vLLM serves ranks up to {RANKS[-1]}; choose a smaller one")
    return fitting[0]


def refuse_unservable(lora: LoraBlock, config: Mapping[str, Any]) -> Servable:
    """How to serve what `lora` makes of a model with this config.json. Raises BadInput when vLLM can't."""
    rank = served_rank(lora.rank)
    architecture = str((config.get("architectures") or ["unnamed"])[0])
    modules = MODULES.get(architecture)
    if modules is None:
        raise BadInput(
            f"adapters of {architecture} are not known to be served by vLLM; expected one of {', '.join(MODULES)}"
        )
    if lora.targets == "all-linear":
        return Servable(rank, tuple(sorted(modules)))
    wrong = [target for target in lora.targets if target not in modules]
    if wrong:
        why = "is frozen here" if wrong[0] in FROZEN else f"is not a linear layer vLLM adapts in {architecture}"
        raise BadInput(f"finetune.lora.targets: '{wrong[0]}' {why}; choose among {', '.join(sorted(modules))}")
    return Servable(rank, tuple(sorted(lora.targets)))
