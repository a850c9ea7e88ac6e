"""transformers with PEFT, in this process: the base once, adapters attached and switched, never merged.

All choices of a question are scored in one row (`eval.packing`); answers in words are decoded in batches whose rows
leave when they end (`eval.decoding`). Log-likelihoods are sums of float32 log-softmax values; both equal the harness's
own up to rounding. A model that fails the self-test of packing, and settings that are not plainly greedy, are left to
the harness's own model.
"""

import logging
from collections.abc import Sequence
from contextlib import ExitStack
from functools import cached_property
from typing import Any

import torch

from eval.attention import attend_quickly
from eval.backend import Answer, Setup, Words
from eval.decoding import Ending, Tokens, decode, end_tokens, is_greedy
from eval.encoding import Encoder
from eval.model import Arms
from eval.packing import Question, causal, score_packed
from eval.quiet import quiet
from tunegate_core.records import Arm

SEED = 1234
log = logging.getLogger(__name__)


class Transformers:
    """The base in memory with its adapters."""

    def __init__(self, setup: Setup):
        self.arms = Arms(setup.base_folder, setup.adapters, setup.precision)
        self.encoder = Encoder(setup.base_folder)
        self.batch_size = setup.batch_size
        attend_quickly(causal(self.arms.model))
        self.shares = self.arms.shares
        if not self.shares:
            log.warning("choices can't share a row with %s: each is scored alone, which takes long", setup.base_folder)
        self._arm: Arm | None = None
        self._switched = ExitStack()

    def _on(self, arm: Arm) -> Any:
        """The model as that arm answers. Switching touches every layer, so it stays until another arm is asked."""
        if arm != self._arm:
            self._switched.close()
            self.model = self._switched.enter_context(self.arms.on(arm))
            self._arm = arm
        return self.model

    def score(self, arm: Arm, batch: Sequence[Question]) -> list[Answer]:
        """Every answer of some questions, in one pass over one row a question."""
        with quiet():
            model = self._on(arm)
            if self.shares:
                return score_packed(model, batch)
            asked = [(("", ""), list(q.prompt), list(answer)) for q in batch for answer in q.answers.values()]
            return list(self._harness._loglikelihood_tokens(asked, disable_tqdm=True))

    def say(self, arm: Arm, prompts: Sequence[str], settings: dict[str, Any]) -> list[Words]:
        """What the arm says to each prompt."""
        with quiet():
            model = self._on(arm)
            if not (self.shares and is_greedy(self.encoder, settings)):
                return self._say_as_the_harness(prompts, settings)

            def run(asked: list[Tokens], ending: Ending) -> list[Tokens]:
                return decode(model, self.encoder.tokenizer, asked, ending)

            return self.encoder.answers(prompts, settings, end_tokens(self.encoder), run)

    def _say_as_the_harness(self, prompts: Sequence[str], settings: dict[str, Any]) -> list[Words]:
        """The harness gives no tokens; an answer whose text has as many as it may have counts as cut off."""
        from lm_eval.api.instance import Instance

        asked = [Instance("generate_until", {}, (prompt, dict(settings)), at) for at, prompt in enumerate(prompts)]
        torch.manual_seed(SEED)  # of each batch, whoever answers it after whatever else
        told = [str(text) for text in self._harness.generate_until(asked, disable_tqdm=True)]
        room = int(settings["max_gen_toks"])
        return [(text, len(self.encoder.encode(text, add_special_tokens=False)) >= room) for text in told]

    @cached_property
    def _harness(self) -> Any:
        """The harness's model over the one in memory."""
        from lm_eval.models.huggingface import HFLM

        return HFLM(
            pretrained=self.arms.model,
            tokenizer=self.arms.tokenizer,
            batch_size=self.batch_size,
            softmax_dtype="float32",
            add_bos_token=False if self.encoder.chat else None,  # the template writes it, as in training
        )


class _Kind:
    libraries = (("torch",), ("transformers",), ("peft",))
    apart = False
    open = Transformers


PLUGIN = _Kind()
