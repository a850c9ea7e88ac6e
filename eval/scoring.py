"""The harness's model for transformers, faster on questions with choices and with one voice for progress.

All choices of a question continue one prompt and are scored in one row (`eval.packing`); answers to open questions are
decoded in batches whose rows leave when they end (`eval.decoding`). Log-likelihoods are sums of float32 log-softmax
values; both equal the harness's own up to rounding. A model that fails the self-test of packing is scored the harness's
way. One object serves all arms: what it was made with is switched beneath it, and prompts are encoded once.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from typing import Any

import torch
from lm_eval.models.huggingface import HFLM
from lm_eval.models.utils import handle_stop_sequences, normalize_gen_kwargs, postprocess_generated_text

from eval.decoding import Ending, Tokens, decode, end_tokens, is_greedy
from eval.journal import Journal, batch_name
from eval.packing import Question, can_pack, read_packed, shared_length

BATCH_TOKENS = 32_768  # bounds the mask of long rows, which grows with the square of their length
BATCH_PLACES = 8192  # bounds the logits of questions with very many choices
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
        self._shares = can_pack(model)
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
            shared = shared_length(asked) if len(asked) > 1 else 0
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
            Question(prompt, {index: tuple(requests[index][2]) for index in indices})
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
        name = batch_name("score", [(question.prompt, list(question.answers.values())) for question in batch])
        known = self.journal.recall(name)
        if known is not None:
            return {index: (value, greedy) for index, (value, greedy) in zip(indices, known, strict=True)}
        answered = self._score(batch)
        self.journal.keep(name, [answered[index] for index in indices])
        return answered

    @torch.inference_mode()
    def _score(self, batch: Sequence["Question"]) -> dict[int, Answer]:
        """Score every answer of some questions, in one pass over one row a question."""
        scored = {}
        for question, logits_T_V in zip(batch, read_packed(self.model, batch), strict=True):
            for (index, answer), places in zip(question.answers.items(), question.places, strict=True):
                scored[index] = _answer(logits_T_V[places], answer)
        return scored

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


def _batches(questions: list[Question], size: int) -> Iterator[list[Question]]:
    """Questions of much the same length together, longest first, in an order that depends on them alone."""
    ordered = sorted(questions, key=lambda question: (-len(question.row), question.row))
    at = 0
    while at < len(ordered):
        longest = ordered[at]
        rows = max(1, min(size, BATCH_TOKENS // len(longest.row), BATCH_PLACES // len(longest.scored)))
        yield ordered[at : at + rows]
        at += rows
