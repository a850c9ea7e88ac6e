"""vLLM's limits: the table refuses what vLLM refuses, takes what it takes, and is compared with vLLM itself."""

import importlib
import inspect
import re
import typing

import pytest

from finetune.limits import MODULES, RANKS, refuse_unservable, served_rank
from tunegate_core.config import LoraBlock
from tunegate_core.errors import BadInput

LLAMA = {"architectures": ["LlamaForCausalLM"]}


@pytest.mark.parametrize(("rank", "served"), [(1, 1), (2, 8), (8, 8), (12, 16), (16, 16), (257, 320), (512, 512)])
def test_a_rank_needs_the_next_larger_limit(rank: int, served: int) -> None:
    assert served_rank(rank) == served


def test_a_rank_above_every_limit_is_refused() -> None:
    with pytest.raises(BadInput, match="ranks up to 512"):
        served_rank(513)


def test_what_can_be_served_is_said() -> None:
    servable = refuse_unservable(LoraBlock(rank=12, targets=("v_proj", "q_proj")), LLAMA)
    assert (servable.max_lora_rank, servable.modules) == (16, ("q_proj", "v_proj"))
    assert "down_proj" in refuse_unservable(LoraBlock(), LLAMA).modules


@pytest.mark.parametrize(
    ("targets", "told"), [(("lm_head",), "is frozen here"), (("q_proj", "c_attn"), "'c_attn' is not a linear layer")]
)
def test_a_module_vllm_does_not_adapt_is_refused(targets: tuple[str, ...], told: str) -> None:
    with pytest.raises(BadInput, match=told):
        refuse_unservable(LoraBlock(targets=targets), LLAMA)


@pytest.mark.parametrize("config", [{}, {"architectures": ["MambaForCausalLM"]}])
def test_an_unknown_architecture_is_refused(config: dict[str, list[str]]) -> None:
    with pytest.raises(BadInput, match="not known to be served"):
        refuse_unservable(LoraBlock(), config)


@pytest.mark.parametrize("architecture", sorted(MODULES))
def test_all_linear_means_the_layers_in_the_table(architecture: str) -> None:
    """`all-linear` adapts what transformers builds: no layer of it may be one vLLM refuses."""
    import torch
    import transformers

    model_class = getattr(transformers, architecture)
    with torch.device("meta"):
        model = model_class(_small(model_class.config_class))
    head = model.get_output_embeddings()
    linear = {
        name.rsplit(".", 1)[-1]
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.Linear) and module is not head
    }
    assert linear == MODULES[architecture]


def _small(config_class: type) -> object:
    if config_class.__name__ == "OPTConfig":
        return config_class(hidden_size=48, word_embed_proj_dim=48, ffn_dim=64, num_hidden_layers=2, vocab_size=64)
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_attention_heads": 4, "num_key_value_heads": 2}
    return config_class(**sizes, num_hidden_layers=2, vocab_size=64, pad_token_id=0)


@pytest.mark.slow
@pytest.mark.vllm
@pytest.mark.filterwarnings("ignore")
def test_the_table_is_vllms_own() -> None:
    from vllm.config.lora import LoRAConfig, MaxLoRARanks
    from vllm.model_executor.models.interfaces import supports_lora
    from vllm.model_executor.models.registry import ModelRegistry

    assert typing.get_args(MaxLoRARanks) == RANKS
    assert LoRAConfig(max_lora_rank=RANKS[-1]).max_lora_rank == RANKS[-1]
    for architecture, modules in MODULES.items():
        served = ModelRegistry._try_load_model_cls(architecture)
        assert served is not None and supports_lora(served), architecture
        packed = getattr(served, "packed_modules_mapping", {})
        layers = set(re.findall(r'prefix=f"\{prefix\}\.(\w+)"', _sources(served.__module__)))
        expected = {name for layer in layers for name in packed.get(layer, [layer])}
        assert modules <= expected, architecture


@pytest.mark.slow
@pytest.mark.vllm
@pytest.mark.filterwarnings("ignore")
def test_vllm_takes_an_adapter_whose_rank_is_below_the_limit() -> None:
    from vllm.config.lora import LoRAConfig
    from vllm.lora.peft_helper import PEFTHelper

    adapter = PEFTHelper(r=12, lora_alpha=24, target_modules=["q_proj"], use_rslora=True)
    adapter.validate_legal(LoRAConfig(max_lora_rank=served_rank(12)))
    with pytest.raises(ValueError, match="rank"):
        adapter.validate_legal(LoRAConfig(max_lora_rank=8))


def _sources(module: str) -> str:
    """The source of a model file and of the model files whose layers it builds on."""
    todo, done = [module], {}
    while todo:
        name = todo.pop()
        if name not in done:
            done[name] = inspect.getsource(importlib.import_module(name))
            todo += [
                f"vllm.model_executor.models.{here or there}"
                for here, there in re.findall(
                    r"from \.(\w+) import|from vllm\.model_executor\.models\.(\w+) import", done[name]
                )
                if (here or there) in ("llama", "mistral", "qwen2", "gemma")
            ]
    return "\n".join(done.values())
