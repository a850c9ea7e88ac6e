"""The harness's model for transformers, faster on questions with choices and with one voice for progress.

All choices of a question continue the same prompt, and prompts begin alike (template, system text, examples). The
tokens that are shared are computed once: first what a batch's prompts have in common, then the rest of each prompt,
then every choice as a branch of its prompt's cache. Log-likelihoods are sums of float32 log-softmax values and equal
the harness's own up to rounding. Prompts of a batch have one length, so that nothing is padded on the left; choices are
padded on the right, where causal attention can't see it. Models whose cache can't branch are scored the harness's way.
"""

import inspect
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from typing import Any

import torch
from lm_eval.models.huggingface import HFLM
from transformers.cache_utils import DynamicCache, DynamicLayer

Tokens = tuple[int, ...]
Answer = tuple[float, bool]  # log-likelihood, whether greedy decoding would say just this


class PromptSharingLM(HFLM):  # type: ignore[misc]
    """HFLM over a model in memory. `watch(done, total)` hears of every finished batch of requests."""

    def __init__(self, model: Any, tokenizer: Any, batch_size: int):
        chat = tokenizer.chat_template is not None
        super().__init__(
            pretrained=model,
            tokenizer=tokenizer,
            batch_size=batch_size,
            softmax_dtype="float32",
            add_bos_token=False if chat else None,  # the template writes it, as in training
        )
        self.watch: Callable[[int, int], None] = lambda done, total: None
        self._done = self._total = 0
        self._shares = _can_share(model)

    def fits(self, prompt: str, answer: str, room: int) -> bool:
        """Whether prompt, answer and `room` more tokens fit the model's context; the harness would cut them."""
        return len(self.tok_encode(prompt + answer)) + room <= int(self.max_length)

    def loglikelihood(self, requests: Any, disable_tqdm: bool = True) -> list[Answer]:
        """As the harness does, without its bars."""
        self._start(len(requests))
        return list(super().loglikelihood(requests, disable_tqdm=True))

    def generate_until(self, requests: Any, disable_tqdm: bool = True) -> list[str]:
        """As the harness does, without its bars."""
        self._start(len(requests))
        return list(super().generate_until(requests, disable_tqdm=True))

    def _model_generate(self, context: Any, *args: Any, **kwargs: Any) -> Any:
        made = super()._model_generate(context, *args, **kwargs)
        self._finish(context.shape[0])
        return made

    def _loglikelihood_tokens(self, requests: Any, disable_tqdm: bool = True, override_bs: int | None = None) -> Any:
        if not self._shares:
            answers = super()._loglikelihood_tokens(requests, disable_tqdm=True, override_bs=override_bs)
            self._finish(len(requests))
            return answers
        found: dict[int, Answer] = {}
        branches: dict[Tokens, list[int]] = defaultdict(list)
        for index, (_, prompt, answer) in enumerate(requests):
            if len(prompt) + len(answer) > self.max_length:
                found[index] = (float("nan"), False)
            else:
                branches[tuple(prompt)].append(index)
        for prompts in _batches(list(branches), int(self.batch_size)):
            indices = [index for prompt in prompts for index in branches[prompt]]
            owners = [row for row, prompt in enumerate(prompts) for _ in branches[prompt]]
            answers = self._score(prompts, owners, [tuple(requests[index][2]) for index in indices])
            found.update(zip(indices, answers, strict=True))
            self._finish(len(indices))
        return [found[index] for index in range(len(requests))]

    @torch.inference_mode()
    def _score(self, prompts: Sequence[Tokens], owners: Sequence[int], answers: Sequence[Tokens]) -> list[Answer]:
        """Score `answers[i]` after `prompts[owners[i]]`; the prompts have one length.

        Shapes below: B prompts, R answers, W tokens of the longest answer but one, V the vocabulary.
        """
        first_B_V, cache = self._read_prompts(prompts)
        width = max(len(answer) for answer in answers) - 1
        rest_R_W_V = None
        if width:
            cache.batch_select_indices(torch.tensor(owners, device=self.device))
            rows = [list(answer[:-1]) + [0] * (width - len(answer) + 1) for answer in answers]
            rest_R_W_V = self._forward(rows, cache, keep=0).logits
        scored = []
        for row, (owner, answer) in enumerate(zip(owners, answers, strict=True)):
            logits = first_B_V[owner][None]
            if rest_R_W_V is not None:
                logits = torch.cat([logits, rest_R_W_V[row, : len(answer) - 1]])
            scored.append(_answer(logits, answer))
        return scored

    def _read_prompts(self, prompts: Sequence[Tokens]) -> tuple[Any, Any]:
        """The logits after each prompt and the cache of them all; what they share is read once."""
        shared = _shared_length(prompts) if len(prompts) > 1 else 0
        cache = None
        if shared:
            cache = self._forward([prompts[0][:shared]], None, keep=1).past_key_values
            cache.batch_select_indices(torch.zeros(len(prompts), dtype=torch.long, device=self.device))
        out = self._forward([prompt[shared:] for prompt in prompts], cache, keep=1)
        return out.logits[:, -1], out.past_key_values

    def _forward(self, rows: Sequence[Sequence[int]], cache: Any, keep: int) -> Any:
        tokens = torch.tensor([list(row) for row in rows], device=self.device)
        return self.model(input_ids=tokens, past_key_values=cache, use_cache=True, logits_to_keep=keep)

    def _start(self, total: int) -> None:
        self._done, self._total = 0, total

    def _finish(self, requests: int) -> None:
        self._done = min(self._total, self._done + requests)
        self.watch(self._done, self._total)


def _answer(logits_T_V: Any, tokens: Tokens) -> Answer:
    logits = logits_T_V.float()
    wanted = torch.tensor(tokens, device=logits.device)
    chosen = logits.gather(1, wanted[:, None])[:, 0] - logits.logsumexp(dim=1)
    return float(chosen.sum()), bool((logits.argmax(dim=1) == wanted).all())


def _batches(prompts: list[Tokens], size: int) -> Iterator[list[Tokens]]:
    """Prompts of one length together, longest first, in an order that depends on nothing but the prompts."""
    ordered = sorted(prompts, key=lambda tokens: (-len(tokens), tokens))
    for _, group in groupby(ordered, key=len):
        same = list(group)
        yield from (same[start : start + size] for start in range(0, len(same), size))


def _shared_length(prompts: Sequence[Tokens]) -> int:
    """How many first tokens all prompts share, leaving at least one token of each."""
    low, high = min(prompts), max(prompts)
    differing = (index for index, (a, b) in enumerate(zip(low, high, strict=True)) if a != b)
    return min(next(differing, len(low)), len(low) - 1)


def _can_share(model: Any) -> bool:
    """Whether the model keeps a plain cache that can be branched, and can skip logits nobody reads."""
    plain = model.get_base_model() if hasattr(model, "get_base_model") else model
    if "logits_to_keep" not in inspect.signature(plain.forward).parameters:
        return False
    with torch.inference_mode():
        cache = model(input_ids=torch.zeros(1, 1, dtype=torch.long, device=model.device), use_cache=True)
    kept = getattr(cache, "past_key_values", None)
    return isinstance(kept, DynamicCache) and all(type(layer) is DynamicLayer for layer in kept.layers)
