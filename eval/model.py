"""One base model in memory; adapters are attached to it through PEFT and switched, never merged.

The base is loaded once for every arm, in one precision, from a folder that was materialised from a digest. Only
safetensors are read, and an adapter whose tensors do not fit the base one by one is refused, not half loaded.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from eval.quiet import quiet
from tunegate_core.errors import BadInput, IntegrityError, NotFound
from tunegate_core.records import Arm

Precision = Literal["float32", "bfloat16"]
WEIGHTS = "adapter_model.safetensors"


def device_name() -> str:
    """`cuda` where there is one, else `cpu`."""
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def chat_template(base_folder: Path) -> str | None:
    """The text of the base folder's chat template, without loading its tokenizer."""
    separate = base_folder / "chat_template.jinja"
    if separate.is_file():
        return separate.read_text(encoding="utf-8")
    settings = base_folder / "tokenizer_config.json"
    if not settings.is_file():
        raise NotFound(f"{base_folder} holds no tokenizer (no tokenizer_config.json); materialise the base first")
    found = json.loads(settings.read_text(encoding="utf-8")).get("chat_template")
    return found if isinstance(found, str) else None


class Arms:
    """A base model with its tokenizer and the adapters of the arms that have one."""

    def __init__(self, base_folder: Path, adapters: Mapping[Arm, Path], precision: Precision):
        with quiet():
            self.tokenizer, self.model = _load_base(base_folder, precision)
            for arm, folder in adapters.items():
                self.model = _attach(self.model, arm, folder)
        self._adapters = frozenset(adapters)
        self.model.eval()

    @contextmanager
    def on(self, arm: Arm) -> Iterator[Any]:
        """The model as that arm answers: with its adapter, or the bare base."""
        if arm in self._adapters:
            self.model.set_adapter(arm, inference_mode=True)
            yield self.model
        elif self._adapters:
            with self.model.disable_adapter():
                yield self.model
        else:
            yield self.model

    @cached_property
    def shares(self) -> bool:
        """Whether choices can share a row. Asked of the base: no adapter changes who sees whom, but one that is wild
        makes much of rounding."""
        from eval.packing import can_pack

        with self.on("base") as bare:
            return can_pack(bare)

    def prompt(self, question: str) -> str:
        """The question as a user's turn, rendered for an answer. Raises BadInput when the base has no chat template."""
        if self.tokenizer.chat_template is None:
            raise BadInput("the base model has no chat template; give one in finetune.base.chat_template")
        turn = [{"role": "user", "content": question}]
        return str(self.tokenizer.apply_chat_template(turn, add_generation_prompt=True, tokenize=False))


def load_tokenizer(folder: Path) -> Any:
    """The tokenizer of a base folder. Raises BadInput when it can't be read."""
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except (OSError, ValueError, KeyError) as error:
        raise BadInput(f"the base model in {folder} can't be loaded: {error}") from error


def _load_base(folder: Path, precision: Precision) -> tuple[Any, Any]:
    import torch
    from transformers import AutoModelForCausalLM

    tokenizer = load_tokenizer(folder)
    try:
        model = AutoModelForCausalLM.from_pretrained(
            folder,
            dtype=getattr(torch, precision),
            local_files_only=True,
            trust_remote_code=False,
            use_safetensors=True,
        )
    except (OSError, ValueError, KeyError) as error:
        raise BadInput(f"the base model in {folder} can't be loaded: {error}") from error
    torch.nn.Module.to(model, device_name())
    return tokenizer, model


def _attach(model: Any, arm: Arm, folder: Path) -> Any:
    from peft import PeftModel

    if not (folder / WEIGHTS).is_file():
        raise BadInput(
            f"the adapter of {arm} in {folder} has no {WEIGHTS}; pickles are not read; save it as safetensors"
        )
    try:
        if isinstance(model, PeftModel):
            model.load_adapter(str(folder), adapter_name=arm)
        else:
            model = PeftModel.from_pretrained(model, str(folder), adapter_name=arm)
    except (RuntimeError, ValueError, KeyError, OSError, TypeError) as error:
        raise BadInput(f"the adapter of {arm} does not fit this base model: {error}") from error
    _verify_tensors(model, arm, folder)
    return model


def verify_fits(base_folder: Path, arm: Arm, folder: Path) -> None:
    """The same checks without any weight in memory, for engines that would load half an adapter without a word."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    with quiet():
        config = AutoConfig.from_pretrained(base_folder, local_files_only=True, trust_remote_code=False)
        with torch.device("meta"):
            model = AutoModelForCausalLM.from_config(config)
        _attach(model, arm, folder)


def _verify_tensors(model: Any, arm: Arm, folder: Path) -> None:
    """Every tensor of the file went into the model, and the model has none that the file lacks."""
    from peft import get_peft_model_state_dict
    from safetensors import safe_open

    with safe_open(folder / WEIGHTS, framework="pt") as file:
        stored = set(file.keys())
    loaded = set(get_peft_model_state_dict(model, adapter_name=arm))
    if stored != loaded:
        odd = sorted(stored ^ loaded)
        raise IntegrityError(
            f"the adapter of {arm} does not fit this base model: {len(odd)} tensors have no counterpart, such as "
            f"{odd[0]}; expected an adapter trained on this base"
        )
