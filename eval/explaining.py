"""Why this answer: the words of the prompt it hangs on, and the words without which it would be another.

A word's weight is by how much the log-probability of the whole answer falls when the word is left out (Captum's
`FeatureAblation` over words; Zeiler and Fergus 2014 did so with parts of images). Whether the weights mean anything is
tried at once: leaving out the heaviest third must cost more than leaving out other words (deletion, Samek et al. 2017,
IEEE TNNLS 28:2660).

It speaks of one answer, greedily decoded. Words that only matter together are underrated: each is left out alone.
"""

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import Field

from eval.model import Arms, Precision
from eval.quiet import quiet
from tunegate_core.errors import BadInput
from tunegate_core.records import Record

MOST_WORDS = 200
ANSWER_TOKENS = 48
DEALS = 10
SEED = 17
SHOWN_EDITS = 5


class Word(Record):
    """A word of the prompt. `weight`: nats by which the answer's log-probability falls without it."""

    word: str
    weight: float


class Edit(Record):
    """Words left out, and what is answered then."""

    without: tuple[str, ...] = Field(min_length=1)
    answer: str


class Explanation(Record):
    """`deletion`: nats lost without the heaviest third of words; `chance`: without as many others, on average."""

    prompt: str
    answer: str
    words: tuple[Word, ...]
    deletion: float | None
    chance: float | None
    edits: tuple[Edit, ...]
    fewest: Edit | None  # the heaviest words left out one after the other, until the answer is another


def explain(
    base_folder: Path, adapter_folder: Path | None, prompt: str, precision: Precision = "float32"
) -> Explanation:
    """Explain what is answered to one prompt. Raises BadInput for a prompt without words, or of too many."""
    words = prompt.split()
    if not 0 < len(words) <= MOST_WORDS:
        raise BadInput(f"a prompt of 1 to {MOST_WORDS} words can be explained; found {len(words)}")
    arms = Arms(base_folder, {} if adapter_folder is None else {"candidate": adapter_folder}, precision)
    with quiet(), arms.on("base" if adapter_folder is None else "candidate") as model:
        asked = _Asked(arms, model, words)
        return asked.explained(prompt)


class _Asked:
    """One prompt on one model, with its answer as tokens."""

    def __init__(self, arms: Arms, model: Any, words: Sequence[str]):
        self._arms, self._model, self._words = arms, model, words
        self._answer = self._generate(range(len(words)))
        if not self._answer:
            raise BadInput("the model answers nothing to this prompt, so there is nothing to explain")

    def explained(self, prompt: str) -> Explanation:
        """Everything about the answer."""
        weights = self._weights()
        order = sorted(range(len(weights)), key=lambda at: -weights[at])
        deletion, chance = self._tried(order)
        alone = [(at,) for at in order if self._is_other(self._left(at))][:SHOWN_EDITS]
        return Explanation(
            prompt=prompt,
            answer=self._text(self._answer),
            words=tuple(Word(word=w, weight=x) for w, x in zip(self._words, weights, strict=True)),
            deletion=deletion,
            chance=chance,
            edits=tuple(self._edit(gone) for gone in alone),
            fewest=self._fewest(order),
        )

    def _weights(self) -> list[float]:
        import torch
        from captum.attr import FeatureAblation

        def likely(kept: Any) -> Any:
            return torch.tensor([self._score([at for at, flag in enumerate(row) if flag > 0])[0] for row in kept])

        found = FeatureAblation(likely).attribute(torch.ones(1, len(self._words)), baselines=0)
        return [float(weight) for weight in found[0]]

    def _tried(self, order: Sequence[int]) -> tuple[float | None, float | None]:
        """Nats lost without the heaviest third, and without as many drawn at random; None for a prompt too short."""
        many = len(order) // 3
        if many == 0:
            return None, None
        whole, draws = self._score(range(len(order)))[0], random.Random(SEED)
        sets = [draws.sample(range(len(order)), many) for _ in range(DEALS)]
        lost = [whole - self._score(self._left(*gone))[0] for gone in (order[:many], *sets)]
        return lost[0], sum(lost[1:]) / DEALS

    def _fewest(self, order: Sequence[int]) -> Edit | None:
        for many in range(1, len(order) + 1):
            if self._is_other(self._left(*order[:many])):
                return self._edit(tuple(sorted(order[:many])))
        return None

    def _edit(self, gone: tuple[int, ...]) -> Edit:
        answer = self._text(self._generate(self._left(*gone)))
        return Edit(without=tuple(self._words[at] for at in gone), answer=answer)

    def _is_other(self, kept: Sequence[int]) -> bool:
        """Whether another answer is given: greedy decoding leaves the known one at the first token that differs."""
        return not self._score(kept)[1]

    def _left(self, *gone: int) -> list[int]:
        return [at for at in range(len(self._words)) if at not in gone]

    def _score(self, kept: Sequence[int]) -> tuple[float, bool]:
        """Log-probability of the known answer, and whether greedy decoding would give it."""
        import torch

        asked = self._tokens(kept)
        whole = torch.tensor([[*asked, *self._answer]], device=self._model.device)
        with torch.inference_mode():
            logits = self._model(input_ids=whole).logits[0, len(asked) - 1 : -1].float()
        told = whole[0, len(asked) :]
        likely = torch.log_softmax(logits, dim=-1).gather(1, told[:, None]).sum()
        return float(likely), bool((logits.argmax(dim=-1) == told).all())

    def _generate(self, kept: Sequence[int]) -> list[int]:
        import torch

        tokenizer, asked = self._arms.tokenizer, self._tokens(kept)
        ids = torch.tensor([asked], device=self._model.device)
        pad = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else tokenizer.eos_token_id
        settings = {"do_sample": False, "temperature": None, "top_p": None, "top_k": None, "pad_token_id": pad}
        with torch.inference_mode():
            made = self._model.generate(
                input_ids=ids, attention_mask=torch.ones_like(ids), max_new_tokens=ANSWER_TOKENS, **settings
            )
        return [int(token) for token in made[0, len(asked) :]]

    def _tokens(self, kept: Sequence[int]) -> list[int]:
        prompt = self._arms.prompt(" ".join(self._words[at] for at in kept))
        return list(self._arms.tokenizer(prompt, add_special_tokens=False)["input_ids"])

    def _text(self, tokens: Sequence[int]) -> str:
        return str(self._arms.tokenizer.decode(tokens, skip_special_tokens=True)).strip()
