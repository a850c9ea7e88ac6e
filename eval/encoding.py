"""Text to tokens and back as the harness's own transformers model does it, the same for every backend and worker."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from lm_eval.models.utils import handle_stop_sequences, postprocess_generated_text, resolve_max_length

from eval.backend import Words
from eval.decoding import Ending, Tokens
from eval.model import load_tokenizer
from tunegate_core.errors import BadInput

MOST_TOKENS = 256  # of an answer, where a task names no number: the harness's own


class Encoder:
    """A base folder's tokenizer and limits. `max_length`: tokens that the model takes."""

    def __init__(self, base_folder: Path):
        from transformers import AutoConfig, GenerationConfig

        self.tokenizer = load_tokenizer(base_folder)
        try:
            config = AutoConfig.from_pretrained(base_folder, local_files_only=True, trust_remote_code=False)
        except (OSError, ValueError, KeyError) as error:
            raise BadInput(f"the base model in {base_folder} can't be loaded: {error}") from error
        self.max_length = int(resolve_max_length(config, self.tokenizer))
        self.chat = self.tokenizer.chat_template is not None
        self.generation_config = _generation_settings(GenerationConfig, base_folder, config)

    @property
    def end_of_text(self) -> int:
        """The token that ends a text."""
        return int(self.tokenizer.eos_token_id)

    @property
    def beginning(self) -> int:
        """The token that stands for an empty prompt."""
        first = self.tokenizer.bos_token_id
        return int(self.end_of_text if first is None else first)

    def encode(self, text: str, add_special_tokens: bool | None = None) -> list[int]:
        """Tokens of a text. A chat template writes the special ones itself, as in training."""
        if add_special_tokens is None:
            add_special_tokens = not self.chat and not text.startswith(self.tokenizer.decode(self.beginning))
        return list(self.tokenizer.encode(text, add_special_tokens=add_special_tokens))

    def answers(
        self,
        prompts: Sequence[str],
        settings: dict[str, Any],
        ends: frozenset[int],
        decode: Callable[[list[Tokens], Ending], Sequence[Tokens]],
    ) -> list[Words]:
        """What `decode` says to the prompts that fit; `ends`: tokens at which the model ends an answer."""
        room = int(settings["max_gen_toks"])
        until = handle_stop_sequences(settings.get("until"), eos=None)
        ending = Ending(room, ends | {self.end_of_text}, tuple(text for text in until if text))
        encoded = [tuple(self.encode(prompt)) for prompt in prompts]
        fitting = [at for at, prompt in enumerate(encoded) if 0 < len(prompt) <= self.max_length - room]
        told: list[Words] = [("", False)] * len(prompts)  # what does not fit is never cut, and not measured
        if fitting:
            for at, answer in zip(fitting, decode([encoded[at] for at in fitting], ending), strict=True):
                said = self.tokenizer.decode(list(answer), skip_special_tokens=True)
                told[at] = postprocess_generated_text(said, ending.texts, None), self._is_cut(answer, ending)
        return told

    def _is_cut(self, answer: Tokens, ending: Ending) -> bool:
        """Whether an answer has all the tokens it may have, and no end among them."""
        if len(answer) < ending.room or answer[-1] in ending.tokens:
            return False
        whole = self.tokenizer.decode(list(answer))
        return not any(text in whole for text in ending.texts)


def _generation_settings(kind: Any, folder: Path, config: Any) -> Any:
    """What the base says about decoding, from its generation config, or from its config where it has none."""
    if (folder / "generation_config.json").is_file():
        return kind.from_pretrained(folder, local_files_only=True)
    return kind.from_model_config(config)
