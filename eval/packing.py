"""A question and all its choices as one row: what they share is read once, nothing is read that no score needs.

A row is the prompt followed by every choice in turn. Each choice continues the positions of the prompt and sees the
prompt and itself, no other choice; so its logits are those it would have alone. What choices begin with alike is read
with the prompt, and what prompts of a batch begin with alike (template, system text, examples) once for the batch. The
head is applied only where a token is scored. Rows of much the same length are padded on the right, where nothing sees
it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from transformers.cache_utils import DynamicCache, DynamicLayer

Tokens = tuple[int, ...]
HEAD_ROWS = 128  # scored places whose logits are in memory at once: times the vocabulary, in float32
TESTED = (12, 4, 6)  # tokens of a prompt and two choices, for the self-test
# Of what it changes to see another choice: rounding makes less (0.12 was seen in bfloat16), a wrong mask or place more.
LEAK = {"float32": 0.01, "bfloat16": 0.25, "float16": 0.1}


@dataclass(frozen=True)
class Question:
    """A prompt and its answers by request.

    `row`: the tokens that are read; `common`: first tokens that all answers share, read once, behind the prompt;
    `scored`: the places of the row whose logits are needed; `places`: for each answer, where its logits lie among them.
    """

    prompt: Tokens
    answers: dict[int, Tokens]
    common: int = field(init=False)
    row: Tokens = field(init=False)
    scored: tuple[int, ...] = field(init=False)
    places: tuple[list[int], ...] = field(init=False)

    def __post_init__(self) -> None:
        """Lay out the row."""
        answers = list(self.answers.values())
        common = shared_length(answers)
        start = self.prompt + answers[0][:common]
        rests = [answer[common:-1] for answer in answers]
        scored, places = list(range(len(self.prompt) - 1, len(start))), []
        at = len(start)
        for rest in rests:
            places.append([*range(common + 1), *range(len(scored), len(scored) + len(rest))])
            scored += range(at, at + len(rest))
            at += len(rest)
        values = {"common": common, "row": sum(rests, start), "scored": tuple(scored), "places": tuple(places)}
        for name, value in values.items():
            object.__setattr__(self, name, value)

    @property
    def start(self) -> int:
        """How many tokens all answers see."""
        return len(self.prompt) + self.common

    def segments(self) -> list[int]:
        """0 for what all answers see, and the number of the answer for the rest of each."""
        lengths = [max(len(answer) - self.common - 1, 0) for answer in self.answers.values()]
        return [0] * self.start + [number for number, length in enumerate(lengths, 1) for _ in range(length)]

    def positions(self) -> list[int]:
        """Each answer goes on where the prompt ends."""
        lengths = [max(len(answer) - self.common - 1, 0) for answer in self.answers.values()]
        return [*range(self.start), *(self.start + at for length in lengths for at in range(length))]


def shared_length(rows: Sequence[Tokens]) -> int:
    """How many first tokens all rows share, leaving at least one token of each."""
    low, high = min(rows), max(rows)
    differing = (index for index, (a, b) in enumerate(zip(low, high, strict=False)) if a != b)
    shortest = min(len(row) for row in rows)
    return min(next(differing, shortest), shortest - 1)


@torch.inference_mode()
def score_packed(model: Any, batch: Sequence[Question]) -> list[tuple[float, bool]]:
    """For every answer of every question, in order: its log-likelihood (nats; the sum of float32 log-softmax values),
    and whether each of its tokens is the likeliest.

    Shapes: P tokens of all answers, H scored places at once, V the vocabulary.
    """
    states, lengths = read_packed(model, batch), []
    places: list[int] = []
    tokens: list[int] = []
    before = 0
    for question, state in zip(batch, states, strict=True):
        for answer, own in zip(question.answers.values(), question.places, strict=True):
            places += [before + place for place in own]
            tokens += answer
            lengths.append(len(answer))
        before += len(state)
    device = states[0].device
    likely_P, greedy_P = _spoken(
        causal(model).get_output_embeddings(),
        torch.cat(states),
        torch.tensor(places, device=device),
        torch.tensor(tokens, device=device),
    )
    pairs = zip(likely_P.split(lengths), greedy_P.split(lengths), strict=True)
    return [(float(likely.sum()), bool(greedy.all())) for likely, greedy in pairs]


def _spoken(head: Any, states: Any, places_P: Any, tokens_P: Any) -> tuple[Any, Any]:
    """For each token at a place its log-probability, and whether it is the likeliest; a few places at once, because
    the logits of all would outweigh the model."""
    likely_P = torch.empty(len(tokens_P), device=states.device)
    greedy_P = torch.empty(len(tokens_P), dtype=torch.bool, device=states.device)
    for start in range(0, len(states), HEAD_ROWS):
        logits_H_V = head(states[start : start + HEAD_ROWS]).float()
        here = ((places_P >= start) & (places_P < start + HEAD_ROWS)).nonzero()[:, 0]
        at, said = places_P[here] - start, tokens_P[here]
        likely_P[here] = logits_H_V[at, said] - logits_H_V.logsumexp(dim=1)[at]
        greedy_P[here] = logits_H_V.argmax(dim=1)[at] == said
    return likely_P, greedy_P


@torch.inference_mode()
def read_packed(model: Any, batch: Sequence[Question]) -> list[Any]:
    """For each question the last hidden states at its scored places, (places, width), for the head.

    Shapes: B questions, L tokens of the longest row behind what all share, S tokens that all share.
    """
    decoder, device = causal(model).get_decoder(), model.device
    shared = min(shared_length([question.prompt for question in batch]), *(len(q.prompt) - 1 for q in batch))
    shared = shared if len(batch) > 1 else 0
    width = max(len(question.row) for question in batch) - shared
    cache = None
    if shared:
        cache = DynamicCache()
        first = torch.tensor([list(batch[0].prompt[:shared])], device=device)
        decoder(input_ids=first, past_key_values=cache, use_cache=True)
        cache.batch_select_indices(torch.zeros(len(batch), dtype=torch.long, device=device))
    tokens_B_L = _padded([q.row[shared:] for q in batch], width, 0, device)
    places_B_L = _padded([q.positions()[shared:] for q in batch], width, 0, device)
    segments_B_L = _padded([q.segments()[shared:] for q in batch], width, -1, device)
    hidden = decoder(
        input_ids=tokens_B_L,
        attention_mask=_seen(segments_B_L, shared),
        position_ids=places_B_L,
        past_key_values=cache,
        use_cache=cache is not None,
    ).last_hidden_state
    return [hidden[at, torch.tensor(q.scored, device=device) - shared] for at, q in enumerate(batch)]


def _seen(segments_B_L: Any, shared: int) -> Any:
    """Who sees whom, (B, 1, L, S + L): what came before and is of all, or of the same answer."""
    length = segments_B_L.shape[1]
    before = torch.ones(length, length, dtype=torch.bool, device=segments_B_L.device).tril()
    keys, queries = segments_B_L[:, None, :], segments_B_L[:, :, None]
    seen = before & ((keys == 0) | (keys == queries))
    return torch.nn.functional.pad(seen, (shared, 0), value=True)[:, None]


def _padded(rows: Sequence[Sequence[int]], width: int, filler: int, device: Any) -> Any:
    return torch.tensor([[*row, *[filler] * (width - len(row))] for row in rows], device=device)


def causal(model: Any) -> Any:
    """The model itself, whatever carries its adapters."""
    return model.get_base_model() if hasattr(model, "get_base_model") else model


@torch.inference_mode()
def can_pack(model: Any) -> bool:
    """Whether packed choices get the logits they have alone: tried on a few tokens. Models with sliding windows, state
    spaces, logits that are scaled behind the head, or attention that takes no mask of our own, fail it.

    Logits differ by rounding too, how much depends on model, processor and precision. So the measure is the model's
    own: how far the logits move where the second choice does see the first.
    """
    prompt, *choices = _test_rows(model)
    answers = dict(enumerate(choices))
    try:
        made = causal(model)(input_ids=torch.tensor([prompt], device=model.device), use_cache=True).past_key_values
        if not isinstance(made, DynamicCache) or any(type(layer) is not DynamicLayer for layer in made.layers):
            return False
        batch = [Question(prompt, answers), Question(prompt[: len(prompt) // 2], answers)]
        pairs = zip(batch, read_packed(model, batch), strict=True)
        return all(_is_as_alone(model, question, states) for question, states in pairs)
    except (AttributeError, TypeError, ValueError, RuntimeError, KeyError):
        return False


def _test_rows(model: Any) -> list[Tokens]:
    """Tokens from all over the vocabulary: the first ones are special, and some models' logits are wild on them."""
    size = causal(model).get_input_embeddings().num_embeddings
    tokens = [number * 7919 % size for number in range(1, sum(TESTED) + 1)]
    return [tuple(tokens[sum(TESTED[:at]) :][:length]) for at, length in enumerate(TESTED)]


def _is_as_alone(model: Any, question: Question, states: Any) -> bool:
    """The last choice, packed, against itself alone and behind the choice before it."""
    head, leak = causal(model).get_output_embeddings(), LEAK[str(model.dtype).rpartition(".")[2]]
    first, last = question.answers.values()
    kept = len(last) - 1
    alone, plain = _read(model, (*question.prompt, *last[:-1]))
    behind, _ = _read(model, (*question.prompt, *first[:-1], *last[:-1]))
    packed = head(states[question.places[-1]]).float()[-kept:]
    alone, plain, behind = alone[-kept:], plain[-kept:], behind[-kept:]
    is_plain = torch.allclose(plain, alone, rtol=0, atol=0.01 * float(alone.abs().max()))
    return is_plain and bool((packed - alone).norm() <= leak * (behind - alone).norm())


def _read(model: Any, row: Tokens) -> tuple[Any, Any]:
    """A row's logits as the model gives them and as the head alone makes them, (tokens, vocabulary) each."""
    tokens = torch.tensor([row], device=model.device)
    states = causal(model).get_decoder()(input_ids=tokens).last_hidden_state
    said = causal(model)(input_ids=tokens).logits[0].float()
    return said, causal(model).get_output_embeddings()(states)[0].float()
