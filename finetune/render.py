"""The rendered prompt is one artefact: training, evaluation and serving turn messages into the same tokens.

Chat rows go through the base's chat template and are tokenised without added special tokens, as an inference server
does it; completion and text rows are raw text, tokenised as a server tokenises a raw prompt, and end with the
end-of-sequence token. Only what the model must say itself is supervised: assistant turns up to and including the token
that ends them, completions and texts with their end-of-sequence token.

A template shows its assistant turns by `{% generation %}`; where it does not, a turn is what rendering one message
more adds, which is right only if each prompt is a prefix of the whole. A template for which that fails, or that loses
a message, a role or the end of a turn, is refused: training on it would teach something that is never served.
"""

import bisect
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from finetune.base import load_tokenizer
from finetune.data import Row, form
from finetune.template import Span, Template
from tunegate_core.canonical import Digest
from tunegate_core.errors import BadInput
from tunegate_core.records import Record

IGNORED = -100


@dataclass(frozen=True)
class Encoded:
    """One row as tokens. `labels_mask[i]` says whether predicting token i is learnt; `length` counts before a cut."""

    input_ids: list[int]
    labels_mask: list[bool]
    truncated: bool
    length: int

    @property
    def labels(self) -> list[int]:
        """The token where it is learnt, -100 (what torch ignores) elsewhere; nothing predicts the first token."""
        pairs = zip(self.input_ids[1:], self.labels_mask[1:], strict=True)
        return [IGNORED, *(token if learnt else IGNORED for token, learnt in pairs)]

    @property
    def supervised(self) -> int:
        """How many tokens are learnt. The first token has nothing before it and can't be predicted."""
        return sum(self.labels_mask[1:])


class Segment(Record):
    """A stretch of one row as the model sees it, for showing."""

    text: str
    supervised: bool


class Renderer:
    """Messages to text to tokens, for one materialised base."""

    def __init__(self, base_folder: Path):
        """Load the base's tokenizer and template. Raises BadInput when they can't be used."""
        self.tokenizer: Any = load_tokenizer(base_folder, "the base model")
        self.eos = self._eos()
        self.template = Template(self.tokenizer, self.end_ids(base_folder))

    @property
    def template_digest(self) -> Digest:
        """Digest of the chat template's text (of no bytes where the base has none)."""
        return self.template.digest

    def render(self, messages: Sequence[dict[str, str]], add_generation_prompt: bool) -> str:
        """The text of a conversation, as it is served. Raises BadInput when the template can't say it."""
        return self.template.render(messages, add_generation_prompt)

    def encode(self, row: Row, max_length: int) -> Encoded:
        """Tokens and mask of a row, cut after `max_length` tokens. Raises BadInput when the template fails the row."""
        text, spans = self.spans(row)
        templated = form(row.form).templated
        ids, offsets = self._as_served(text, spans, special=not templated)
        mask = _mask(offsets, spans)
        if templated:
            self._cut_after_end(ids, offsets, mask, spans)
        elif ids and ids[-1] == self.eos:
            mask[-1] = True
        else:
            ids.append(self.eos)
            mask.append(True)
        cut = len(ids) > max_length
        return Encoded(ids[:max_length], mask[:max_length], cut, len(ids))

    def spans(self, row: Row) -> tuple[str, list[Span]]:
        """The row's text, and which characters of it (from, to) are learnt."""
        plugin = form(row.form)
        if plugin.templated:
            return self.template.turns(row.messages)
        text, spans = "", []
        for part in row.parts:
            if part.role in plugin.learnt:
                spans.append((len(text), len(text) + len(part.text)))
            text += part.text
        return text, spans

    def segments(self, encoded: Encoded) -> list[Segment]:
        """The tokens of a row as text again, in stretches that are learnt or not."""
        stretches: list[tuple[list[int], bool]] = []
        for token, learnt in zip(encoded.input_ids, encoded.labels_mask, strict=True):
            if not stretches or stretches[-1][1] != learnt:
                stretches.append(([], learnt))
            stretches[-1][0].append(token)
        return [Segment(text=self._decoded(ids), supervised=learnt) for ids, learnt in stretches]

    def end_ids(self, base_folder: Path) -> frozenset[int]:
        """The tokens at which generation stops: the tokenizer's EOS and those of the generation config."""
        from transformers import GenerationConfig

        declared: Any = None
        if (base_folder / "generation_config.json").is_file():
            declared = GenerationConfig.from_pretrained(base_folder).eos_token_id
        listed = declared if isinstance(declared, list) else [] if declared is None else [declared]
        return frozenset([self.eos, *listed])

    def _as_served(self, text: str, spans: Sequence[Span], special: bool) -> tuple[list[int], list[Span]]:
        """Tokens and where each stands in the text, as they are when the text is served and answered.

        A server tokenises a prompt before there is an answer: of the prompt "def f():\\n" and four spaces behind it, a
        tokenizer that is given both at once may make one token, which then neither ends a prompt nor begins an answer.
        So each is tokenised by itself, unless that changes the text (some tokenizers begin every text with a space).
        """
        whole = self._tokenised(text, 0, special)
        cuts = [0, *(start for start, _ in spans if start), len(text)]
        parts = [self._tokenised(text[start:end], start, special and not start) for start, end in pairwise(cuts)]
        ids = [token for part, _ in parts for token in part]
        if ids == whole[0] or self._decoded(ids) != self._decoded(whole[0]):
            return whole
        return ids, [offset for _, part in parts for offset in part]

    def _tokenised(self, text: str, place: int, special: bool) -> tuple[list[int], list[Span]]:
        found = self.tokenizer(text, add_special_tokens=special, return_offsets_mapping=True, verbose=False)
        return list(found["input_ids"]), [(place + start, place + end) for start, end in found["offset_mapping"]]

    def _decoded(self, ids: list[int]) -> str:
        """Exactly what the tokens say: some tokenizers else take out spaces, as before a question mark."""
        return str(self.tokenizer.decode(ids, clean_up_tokenization_spaces=False))

    def _eos(self) -> int:
        if self.tokenizer.eos_token_id is None:
            raise BadInput("the base model's tokenizer names no end-of-sequence token; set eos_token in its config")
        return int(self.tokenizer.eos_token_id)

    def _cut_after_end(
        self, ids: list[int], offsets: Sequence[tuple[int, int]], mask: list[bool], spans: Sequence[Span]
    ) -> None:
        """Generation stops at the token that ends a turn: what the template writes after it is never generated."""
        starts = [start for start, _ in offsets]
        for start, end in spans:
            first, last = bisect.bisect_left(starts, start), bisect.bisect_left(starts, end)
            ends = [at for at in range(first, last) if ids[at] in self.template.end_ids]
            if not ends:
                raise BadInput(
                    "the chat template ends an assistant turn without a token at which generation stops "
                    f"({', '.join(sorted(map(repr, self.template.end_tokens)))}); "
                    "give finetune.base.chat_template one that does"
                )
            mask[ends[-1] + 1 : last] = [False] * (last - ends[-1] - 1)


def _mask(offsets: Sequence[tuple[int, int]], spans: Sequence[Span]) -> list[bool]:
    """Which tokens belong to a span. A token across a span's start counts, as it says its first character; one that
    ends where it starts does not, as a BOS that was added before the text."""
    mask = [False] * len(offsets)
    at = 0
    for start, end in spans:
        while at < len(offsets) and offsets[at][1] <= start:
            at += 1
        while at < len(offsets) and offsets[at][0] < end:
            mask[at] = True  # also without a character: some tokenizers count white space out of their tokens
            at += 1
    return mask
