"""vLLM: base and adapters in one engine, every request with the adapter of its arm (multi-LoRA).

The log-likelihood of an answer is the sum of the log-probabilities that the engine gives for the tokens of a prompt
(`prompt_logprobs`); an answer in words is decoded greedily with the token ids handed in and back, so that the same
tokenizer speaks for every backend. vLLM ignores the base's own settings of decoding; a base or task that is not plainly
greedy is refused instead of answered otherwise.

The engine lives in the process that opens it, so that nothing is left of it when that ends; it changes how the process
uses threads and torch's process groups, so that it gets one of its own.
"""

import json
import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from eval.backend import ROWS_PER_QUESTION, Answer, Setup, Words
from eval.decoding import Ending, Tokens, end_tokens, is_greedy
from eval.encoding import Encoder
from eval.model import WEIGHTS, verify_fits
from eval.packing import Question
from tunegate_core.errors import BadInput, ResourcesUnavailable
from tunegate_core.records import Arm

RANKS = (8, 16, 32, 64, 128, 256, 320, 512)  # that the engine makes room for
ENVIRONMENT = {
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
    "VLLM_NO_USAGE_STATS": "1",
    "DO_NOT_TRACK": "1",
    "HF_HUB_OFFLINE": "1",
    "VLLM_LOGGING_LEVEL": "ERROR",
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",  # several on one machine would be bound to the same processors
    "VLLM_CPU_KVCACHE_SPACE": "2",
}


class Vllm:
    """The engine with its adapters."""

    def __init__(self, setup: Setup):
        for arm, folder in setup.adapters.items():
            verify_fits(setup.base_folder, arm, folder)
        self.encoder = Encoder(setup.base_folder)
        self.engine = _engine(setup)
        self.adapters = _requests(setup.adapters)

    def score(self, arm: Arm, batch: Sequence[Question]) -> list[Answer]:
        """Every answer behind its prompt, each a request. The engine always says one token more, for which an answer
        that fills the context to its end leaves no room: its likelihood is not a number."""
        asked = [(question.prompt, answer) for question in batch for answer in question.answers.values()]
        fitting = [at for at, (prompt, answer) in enumerate(asked) if len(prompt + answer) < self.encoder.max_length]
        found: list[Answer] = [(float("nan"), False)] * len(asked)
        outputs = self._generate(arm, [sum(asked[at], ()) for at in fitting], max_tokens=1, prompt_logprobs=0)
        for at, told in zip(fitting, outputs, strict=True):
            prompt, answer = asked[at]
            found[at] = _answer(told.prompt_logprobs[len(prompt) :], answer)
        return found

    def say(self, arm: Arm, prompts: Sequence[str], settings: dict[str, Any]) -> list[Words]:
        """What the arm says to each prompt. Raises BadInput when that would not be plainly greedy."""
        if not is_greedy(self.encoder, settings):
            raise BadInput(
                "the base's generation_config.json or the task asks for more than greedy decoding, which the backend "
                f"'vllm' does not do the way transformers does (the task: {settings}); use eval.backend: transformers"
            )

        def run(asked: list[Tokens], ending: Ending) -> list[Tokens]:
            ends = {"stop": list(ending.texts), "stop_token_ids": sorted(ending.tokens), "ignore_eos": True}
            outputs = self._generate(arm, asked, max_tokens=ending.room, detokenize=bool(ending.texts), **ends)
            return [tuple(told.outputs[0].token_ids) for told in outputs]

        return self.encoder.answers(prompts, settings, end_tokens(self.encoder), run)

    def _generate(self, arm: Arm, prompts: Sequence[Tokens], **settings: Any) -> list[Any]:
        from vllm import SamplingParams

        sampling = SamplingParams(temperature=0.0, **{"detokenize": False, **settings})
        asked = [{"prompt_token_ids": list(prompt)} for prompt in prompts]
        self.engine.reset_prefix_cache()  # an answer depends on its batch, not on what was asked before
        return list(self.engine.generate(asked, sampling, lora_request=self.adapters.get(arm), use_tqdm=False))


def _engine(setup: Setup) -> Any:
    os.environ.update({key: value for key, value in ENVIRONMENT.items() if key not in os.environ})
    with _silent():
        return _open(setup)


def _open(setup: Setup) -> Any:
    from vllm import LLM

    try:
        return LLM(
            model=str(setup.base_folder),
            dtype=setup.precision,
            max_num_seqs=setup.batch_size * ROWS_PER_QUESTION,
            enforce_eager=True,  # compiling costs more than it saves in the minutes an examination takes
            generation_config="vllm",
            seed=0,
            **_lora(setup.adapters),
        )
    except (ValueError, RuntimeError, MemoryError) as error:
        raise ResourcesUnavailable(
            f"vLLM can't load the base and its adapters: {error}; more room for its cache is set by "
            "VLLM_CPU_KVCACHE_SPACE (GiB) on CPU"
        ) from error


def _lora(adapters: Mapping[Arm, Path]) -> dict[str, Any]:
    """The engine's room for adapters: their number, largest rank and modules.

    Without the modules it would make room at the head as well, and then gives no log-probabilities of prompts.
    """
    if not adapters:
        return {}
    rank = max(json.loads((folder / "adapter_config.json").read_bytes())["r"] for folder in adapters.values())
    modules = {module for folder in adapters.values() for module in _modules(folder)}
    if "lm_head" in modules:
        raise BadInput("an adapter changes the head (lm_head), which the backend 'vllm' can't score; use transformers")
    return {
        "enable_lora": True,
        "max_loras": len(adapters),
        "max_lora_rank": next((room for room in RANKS if room >= rank), rank),
        "lora_target_modules": sorted(modules),
    }


def _modules(folder: Path) -> set[str]:
    """The last names of the modules that an adapter changes."""
    from safetensors import safe_open

    with safe_open(folder / WEIGHTS, framework="pt") as file:
        return {name.partition(".lora_")[0].rpartition(".")[2] for name in file.keys()}  # noqa: SIM118 - no mapping


@contextmanager
def _silent() -> Iterator[None]:
    """Nothing on standard error, from Python or from below it: the engine tells there how it starts."""
    kept = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def _requests(adapters: Mapping[Arm, Path]) -> dict[Arm, Any]:
    """How a request names the adapter of each arm that has one."""
    from vllm.lora.request import LoRARequest

    ordered = enumerate(sorted(adapters.items()), 1)  # the engine counts adapters from 1
    return {arm: LoRARequest(arm, number, str(folder)) for number, (arm, folder) in ordered}


def _answer(places: Sequence[Any], tokens: Tokens) -> Answer:
    chosen = [place[token] for place, token in zip(places, tokens, strict=True)]
    return sum(one.logprob for one in chosen), all(one.rank == 1 for one in chosen)


class _Kind:
    libraries = (("vllm", "vllm-cpu"), ("torch",))
    apart = True
    open = Vllm


PLUGIN = _Kind()
