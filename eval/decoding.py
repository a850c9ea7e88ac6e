"""Greedy answers to many prompts at once: what `generate` says, without what its generality costs.

What prompts have in common is read once. The rest of each is padded on its left, behind the common part. A row leaves
the batch, and the cache, as soon as its answer ends, instead of being fed until the longest answer is done. Room for
the whole answer is made in the cache once, instead of copying it for every token.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from transformers.cache_utils import DynamicCache, DynamicLayer

from eval.packing import causal, shared_length

Tokens = tuple[int, ...]
# Settings of a model's generation config that leave greedy decoding as it is.
HARMLESS = {
    *("bos_token_id", "eos_token_id", "pad_token_id", "max_length", "max_new_tokens", "do_sample"),
    *("temperature", "top_p", "top_k", "min_p", "typical_p", "use_cache", "transformers_version"),
    *("_from_model_config", "_commit_hash", "output_attentions", "output_hidden_states", "return_dict_in_generate"),
}


@dataclass(frozen=True)
class Ending:
    """When an answer ends: after `room` tokens, with a token of `tokens`, or when its text holds one of `texts`."""

    room: int
    tokens: frozenset[int]
    texts: tuple[str, ...]


def is_greedy(base: Any, settings: dict[str, Any]) -> bool:
    """Whether a request's settings and the base's own (`generation_config`) ask for plain greedy decoding."""
    own = getattr(base, "generation_config", None)
    changed = set(own.to_diff_dict()) if own is not None else set()
    asked = {key for key, value in settings.items() if value not in (None, False, 0, 0.0)}
    return changed <= HARMLESS and asked <= {"until", "max_gen_toks", "top_p", "top_k"}


def end_tokens(base: Any) -> frozenset[int]:
    """The tokens at which the base's own `generate` ends an answer."""
    own = getattr(getattr(base, "generation_config", None), "eos_token_id", None)
    return frozenset(own if isinstance(own, list | tuple) else [] if own is None else [own])


@torch.inference_mode()
def decode(model: Any, tokenizer: Any, prompts: Sequence[Tokens], ending: Ending) -> list[Tokens]:
    """The answer's tokens to each prompt, the ending among them.

    Shapes: B rows still open, L tokens of a row so far, V the vocabulary.
    """
    answers: list[list[int]] = [[] for _ in prompts]
    rows = list(range(len(prompts)))
    shared = shared_length(prompts) if len(prompts) > 1 else 0
    logits_B_V, cache, mask_B_L = _read(model, prompts, shared, ending.room)
    window = max((len(tokenizer.encode(text, add_special_tokens=False)) for text in ending.texts), default=0) + 2
    for _ in range(ending.room):
        chosen = logits_B_V.argmax(dim=-1).tolist()
        for row, token in zip(rows, chosen, strict=True):
            answers[row].append(token)
        still = [at for at, row in enumerate(rows) if not _ended(tokenizer, answers[row], ending, window)]
        if not still or len(answers[rows[0]]) == ending.room:
            break
        if len(still) < len(rows):
            kept = torch.tensor(still, device=model.device)
            cache.batch_select_indices(kept)
            mask_B_L, rows = mask_B_L[kept], [rows[at] for at in still]
        mask_B_L = torch.cat([mask_B_L, mask_B_L.new_ones(len(rows), 1)], dim=1)
        tokens = torch.tensor([[chosen[at]] for at in still], device=model.device)
        logits_B_V = _step(model, tokens, mask_B_L, cache)
    return [tuple(answer) for answer in answers]


def _read(model: Any, prompts: Sequence[Tokens], shared: int, room: int) -> tuple[Any, Any, Any]:
    """The logits behind every prompt, the cache with room for the answers, and which of its places hold tokens."""
    rests = [prompt[shared:] for prompt in prompts]
    width = max(len(rest) for rest in rests)
    cache = DynamicCache()
    if shared:
        first = torch.tensor([list(prompts[0][:shared])], device=model.device)
        causal(model).get_decoder()(input_ids=first, past_key_values=cache, use_cache=True)
        cache.batch_select_indices(torch.zeros(len(prompts), dtype=torch.long, device=model.device))
    padded = torch.tensor([[0] * (width - len(rest)) + list(rest) for rest in rests], device=model.device)
    mask_B_L = torch.ones(len(prompts), shared + width, dtype=torch.long, device=model.device)
    for row, rest in enumerate(rests):
        mask_B_L[row, shared : shared + width - len(rest)] = 0
    logits_B_V = _step(model, padded, mask_B_L, cache)
    cache.layers = [_Roomy.of(layer, room) for layer in cache.layers]
    return logits_B_V, cache, mask_B_L


def _step(model: Any, tokens_B_T: Any, mask_B_L: Any, cache: Any) -> Any:
    length = tokens_B_T.shape[1]
    places = (mask_B_L.cumsum(dim=1) - 1).clamp(min=0)[:, -length:]
    is_full = bool(mask_B_L.all())
    said = causal(model).get_decoder()(
        input_ids=tokens_B_T,
        attention_mask=None if is_full else mask_B_L,
        position_ids=places,
        past_key_values=cache,
        use_cache=True,
    )
    last_B_D = said.last_hidden_state[:, -1]  # a slice (B, 1, D) would have the head copied B times
    return causal(model).get_output_embeddings()(last_B_D)


def _ended(tokenizer: Any, answer: Sequence[int], ending: Ending, window: int) -> bool:
    if answer[-1] in ending.tokens:
        return True
    if not ending.texts:
        return False
    tail = tokenizer.decode(answer[-window:])
    if not any(text in tail for text in ending.texts):
        return False
    whole = tokenizer.decode(answer)  # a tail by itself may be spelled otherwise
    return any(text in whole for text in ending.texts)


class _Roomy(DynamicLayer):
    """A layer of the cache with room for the tokens to come; `keys` and `values` are what is filled of it."""

    _rooms: tuple[Any, Any]

    @classmethod
    def of(cls, layer: Any, room: int) -> "_Roomy":
        """The layer, its content copied once."""
        made = cls()
        made.lazy_initialization(layer.keys, layer.values)
        length = layer.keys.shape[-2]
        made._rooms = tuple(  # type: ignore[assignment]
            torch.cat([part, part.new_empty(*part.shape[:-2], room, part.shape[-1])], dim=-2)
            for part in (layer.keys, layer.values)
        )
        made._show(length)
        return made

    def update(self, key_states: Any, value_states: Any, *args: Any, **kwargs: Any) -> tuple[Any, Any]:
        """Write the new states into the room."""
        start, length = self.get_seq_length(), key_states.shape[-2]
        for room, states in zip(self._rooms, (key_states, value_states), strict=True):
            room[..., start : start + length, :] = states
        self._show(start + length)
        return self.keys, self.values

    def batch_select_indices(self, indices: Any) -> None:
        """Only keep those rows."""
        length = self.get_seq_length()
        self._rooms = (self._rooms[0][indices], self._rooms[1][indices])
        self._show(length)

    def _show(self, length: int) -> None:
        self.keys, self.values = (room[..., :length, :] for room in self._rooms)
