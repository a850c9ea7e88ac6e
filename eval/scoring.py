"""The harness's model for transformers, faster on questions with choices and with one voice for progress.

All choices of a question continue the same prompt, and prompts begin alike (template, system text, examples). The
tokens that are shared are computed once: first what a batch's prompts have in common, then the rest of each prompt and
the words its choices begin with, then the rest of every choice as a branch of that cache. Log-likelihoods are sums of
float32 log-softmax values and equal the harness's own up to rounding. What is read before the branches has one length
in a batch, so that nothing is padded on the left; branches are padded on the right, where causal attention can't see
it. Models whose cache can't branch are scored the harness's way.
"""

import inspect
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import torch
from lm_eval.models.huggingface import HFLM
from lm_eval.models.utils import handle_stop_sequences, normalize_gen_kwargs, postprocess_generated_text
from transformers.cache_utils import DynamicCache, DynamicLayer

from eval.decoding import Ending, Tokens, decode, end_tokens, is_greedy
from eval.journal import Journal, batch_name

ROWS_PER_QUESTION = 4  # a question of the usual four choices takes as many rows
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
        self.journal = Journal()
        self._done = self._total = 0
        self._shares = _can_share(model)
        self._pairs: dict[tuple[str, str], tuple[list[int], list[int]]] = {}

    def fits(self, prompt: str, answer: str, room: int) -> bool:
        """Whether prompt, answer and `room` more tokens fit the model's context; the harness would cut them."""
        return len(self.tok_encode(prompt + answer)) + room <= int(self.max_length)

    def loglikelihood(self, requests: Any, disable_tqdm: bool = True) -> list[Answer]:
        """As the harness does, without its bars."""
        self._start(len(requests))
        return list(super().loglikelihood(requests, disable_tqdm=True))

    def generate_until(self, requests: Any, disable_tqdm: bool = True) -> list[str]:
        """As the harness does, in batches of one kind of settings, those that are alike together."""
        self._start(len(requests))
        ordered = sorted(range(len(requests)), key=lambda at: (repr(requests[at].args[1]), *self._order(requests[at])))
        found: dict[int, str] = {}
        for _, group in groupby(ordered, key=lambda at: repr(requests[at].args[1])):
            same = list(group)
            rows = int(self.batch_size) * ROWS_PER_QUESTION
            for batch in (same[start : start + rows] for start in range(0, len(same), rows)):
                found.update(zip(batch, self._generate([requests[at] for at in batch]), strict=True))
        return [found[at] for at in range(len(requests))]

    def _order(self, request: Any) -> tuple[int, str]:
        """Longest first, in an order that depends on the requests alone."""
        return -len(self.tok_encode(request.args[0])), str(request.args[0])

    def _generate(self, batch: list[Any]) -> list[str]:
        name = batch_name("generate", [request.args for request in batch])
        texts = self.journal.recall(name)
        if texts is None:
            settings = normalize_gen_kwargs(dict(batch[0].args[1]), self.max_gen_toks)
            is_plain = self._shares and is_greedy(self.model, settings)
            texts = self._decode(batch, settings) if is_plain else list(super().generate_until(batch, True))
            self.journal.keep(name, texts)
        self._finish(len(batch))
        return list(texts)

    def _decode(self, batch: list[Any], settings: dict[str, Any]) -> list[str]:
        room = int(settings["max_gen_toks"])
        until = handle_stop_sequences(settings.get("until"), eos=None)
        tokens = end_tokens(self.model) | {int(self.eot_token_id)}
        ending = Ending(room, tokens, tuple(text for text in until if text))
        prompts = [tuple(self.tok_encode(request.args[0])) for request in batch]
        fitting = [at for at, prompt in enumerate(prompts) if 0 < len(prompt) <= self.max_length - room]
        texts = [""] * len(batch)  # what does not fit is never cut, and not measured
        if fitting:
            asked = [prompts[at] for at in fitting]
            shared = _shared_length(asked) if len(asked) > 1 else 0
            for at, answer in zip(fitting, decode(self.model, self.tokenizer, asked, ending, shared), strict=True):
                texts[at] = postprocess_generated_text(self.tok_decode(list(answer)), ending.texts, None)
        return texts

    def _encode_pair(self, context: str, continuation: str) -> tuple[list[int], list[int]]:
        """The harness's tokens of a prompt and its continuation, found once for all arms."""
        found = self._pairs.get((context, continuation))
        if found is None:
            found = self._pairs[context, continuation] = super()._encode_pair(context, continuation)
        return found

    def forget(self) -> None:
        """Drop what was kept for the arms of one task."""
        self._pairs.clear()

    def _loglikelihood_tokens(self, requests: Any, disable_tqdm: bool = True, override_bs: int | None = None) -> Any:
        if not self._shares:
            answers = super()._loglikelihood_tokens(requests, disable_tqdm=True, override_bs=override_bs)
            self._finish(len(requests))
            return answers
        found: dict[int, Answer] = {}
        together: dict[Tokens, list[int]] = defaultdict(list)
        for index, (_, prompt, answer) in enumerate(requests):
            if len(prompt) + len(answer) > self.max_length:
                found[index] = (float("nan"), False)
            else:
                together[tuple(prompt)].append(index)
        questions = [
            Question.of(prompt, {index: tuple(requests[index][2]) for index in indices})
            for prompt, indices in together.items()
        ]
        for batch in _batches(questions, int(self.batch_size)):
            answered = self._score_once(batch)
            found.update(answered)
            self._finish(len(answered))
        return [found[index] for index in range(len(requests))]

    def _score_once(self, batch: Sequence["Question"]) -> dict[int, Answer]:
        """Score a batch, or read what was scored before the evaluation was cut off."""
        indices = [index for question in batch for index in question.answers]
        name = batch_name("score", [(question.start, list(question.answers.values())) for question in batch])
        known = self.journal.recall(name)
        if known is not None:
            return {index: (value, greedy) for index, (value, greedy) in zip(indices, known, strict=True)}
        answered = self._score(batch)
        self.journal.keep(name, [answered[index] for index in indices])
        return answered

    @torch.inference_mode()
    def _score(self, batch: Sequence["Question"]) -> dict[int, Answer]:
        """Score every answer of questions whose starts have one length.

        Shapes below: B questions, S logits kept of each start, R answers, W tokens of the longest rest but one,
        V the vocabulary.
        """
        starts_B_S_V, cache = self._read_starts(batch)
        rows = [(owner, index, answer) for owner, q in enumerate(batch) for index, answer in q.answers.items()]
        rests = [answer[batch[owner].common : -1] for owner, _, answer in rows]
        width = max(len(rest) for rest in rests)
        rests_R_W_V = None
        if width:
            cache.batch_select_indices(torch.tensor([owner for owner, _, _ in rows], device=self.device))
            padded = [rest + (0,) * (width - len(rest)) for rest in rests]
            rests_R_W_V = self._forward(padded, cache, keep=0).logits
        scored = {}
        for row, (owner, index, answer) in enumerate(rows):
            logits_T_V = starts_B_S_V[owner, -1 - batch[owner].common :]
            if rests_R_W_V is not None:
                logits_T_V = torch.cat([logits_T_V, rests_R_W_V[row, : len(rests[row])]])
            scored[index] = _answer(logits_T_V, answer)
        return scored

    def _read_starts(self, batch: Sequence["Question"]) -> tuple[Any, Any]:
        """The logits that answers need of each start, and the cache of them all; what starts share is read once."""
        keep = 1 + max(question.common for question in batch)
        starts = [question.start for question in batch]
        shared = min(_shared_length(starts), len(starts[0]) - keep) if len(batch) > 1 else 0
        cache = None
        if shared:
            cache = self._forward([starts[0][:shared]], None, keep=1).past_key_values
            cache.batch_select_indices(torch.zeros(len(batch), dtype=torch.long, device=self.device))
        out = self._forward([start[shared:] for start in starts], cache, keep=keep)
        return out.logits, out.past_key_values

    def _forward(self, rows: Sequence[Sequence[int]], cache: Any, keep: int) -> Any:
        tokens = torch.tensor([list(row) for row in rows], device=self.device)
        return self.model(input_ids=tokens, past_key_values=cache, use_cache=True, logits_to_keep=keep)

    def _start(self, total: int) -> None:
        self._done, self._total = 0, total

    def _finish(self, requests: int) -> None:
        self._done = min(self._total, self._done + requests)
        self.watch(self._done, self._total)


@dataclass(frozen=True)
class Question:
    """A prompt with its answers by request. `start`: the prompt and the first `common` tokens all answers share."""

    start: Tokens
    common: int
    answers: dict[int, Tokens]

    @classmethod
    def of(cls, prompt: Tokens, answers: dict[int, Tokens]) -> "Question":
        """The question, with as long a start as leaves at least one token of each answer."""
        common = _shared_length(list(answers.values()))
        return cls(prompt + next(iter(answers.values()))[:common], common, answers)


def _answer(logits_T_V: Any, tokens: Tokens) -> Answer:
    logits = logits_T_V.float()
    wanted = torch.tensor(tokens, device=logits.device)
    chosen = logits.gather(1, wanted[:, None])[:, 0] - logits.logsumexp(dim=1)
    return float(chosen.sum()), bool((logits.argmax(dim=1) == wanted).all())


def _batches(questions: list[Question], size: int) -> Iterator[list[Question]]:
    """Questions whose starts have one length together, longest first, in an order that depends on them alone."""
    ordered = sorted(questions, key=lambda q: (-len(q.start), q.start, q.common))
    for _, group in groupby(ordered, key=lambda q: len(q.start)):
        same = list(group)
        yield from (same[start : start + size] for start in range(0, len(same), size))


def _shared_length(rows: Sequence[Tokens]) -> int:
    """How many first tokens all rows share, leaving at least one token of each."""
    low, high = min(rows), max(rows)
    differing = (index for index, (a, b) in enumerate(zip(low, high, strict=False)) if a != b)
    shortest = min(len(row) for row in rows)
    return min(next(differing, shortest), shortest - 1)


def _can_share(model: Any) -> bool:
    """Whether the model keeps a plain cache that can be branched, and can skip logits nobody reads."""
    plain = model.get_base_model() if hasattr(model, "get_base_model") else model
    if "logits_to_keep" not in inspect.signature(plain.forward).parameters:
        return False
    with torch.inference_mode():
        cache = model(input_ids=torch.zeros(1, 1, dtype=torch.long, device=model.device), use_cache=True)
    kept = getattr(cache, "past_key_values", None)
    return isinstance(kept, DynamicCache) and all(type(layer) is DynamicLayer for layer in kept.layers)
