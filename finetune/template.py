"""A chat template, distrusted: what it renders is compared with what it was given."""

import re
from collections.abc import Sequence
from functools import cached_property
from typing import Any

from tunegate_core.canonical import Digest, digest
from tunegate_core.errors import BadInput

Span = tuple[int, int]
Messages = Sequence[dict[str, str]]

_GENERATION = re.compile(r"\{%-?\s*generation\s*-?%\}")
_FIX = "give a template of your own in finetune.base.chat_template"
_PROBE = ("user", "assistant", "user", "assistant")


class Template:
    """The chat template of a base, with the tokens that end a turn."""

    def __init__(self, tokenizer: Any, end_ids: frozenset[int]):
        self._tokenizer = tokenizer
        self.text: str | None = None if tokenizer.chat_template is None else tokenizer.get_chat_template()
        self.end_ids = end_ids
        self.end_tokens = frozenset(tokenizer.convert_ids_to_tokens(token) for token in end_ids)
        self.digest: Digest = digest((self.text or "").encode())

    def render(self, messages: Messages, add_generation_prompt: bool) -> str:
        """The text of a conversation. Raises BadInput when there is no template or it fails on these messages."""
        return self._run(messages, add_generation_prompt)[0]

    def turns(self, messages: Messages) -> tuple[str, list[Span]]:
        """The text of a conversation and the span of each assistant turn, its end included.

        Raises BadInput when the template loses a message, or changes earlier turns when later ones are added.
        """
        if not self._keeps_roles:
            raise BadInput(f"the chat template loses roles: it renders a user's and an assistant's turn alike; {_FIX}")
        text, marked = self._run(messages, False)
        _require_all_said(text, messages)
        spans = self._marked_turns(text, marked, messages) if self._marks else self._added_turns(text, messages)
        return text, spans

    @cached_property
    def _marks(self) -> bool:
        return self.text is not None and _GENERATION.search(self.text) is not None

    @cached_property
    def _keeps_roles(self) -> bool:
        """Whether what stands before a user's words differs from what stands before an assistant's."""
        words = ["Alder", "Birch", "Cedar", "Dogwood"]
        probe = [{"role": role, "content": word} for role, word in zip(_PROBE, words, strict=True)]
        text = self.render(probe, False)
        _require_all_said(text, probe)
        places = [text.index(word) for word in words]
        before_answer = text[places[0] + len(words[0]) : places[1]]
        before_question = text[places[1] + len(words[1]) : places[2]]
        return before_answer != before_question

    def _run(self, messages: Messages, add_generation_prompt: bool) -> tuple[str, list[Span]]:
        from jinja2 import TemplateError
        from transformers.utils.chat_template_utils import render_jinja_template

        if self.text is None:
            raise BadInput(f"the base model has no chat template, and the rows are chats; {_FIX}")
        run: Any = render_jinja_template
        try:
            texts, marked = run(
                conversations=[list(messages)],
                chat_template=self.text,
                return_assistant_tokens_mask=self._marks,
                add_generation_prompt=add_generation_prompt,
                **self._tokenizer.special_tokens_map,
            )
        except (TemplateError, TypeError, ValueError) as error:
            roles = ", ".join(message["role"] for message in messages)
            raise BadInput(f"the chat template can't render the roles {roles}: {error}; {_FIX}") from error
        return texts[0], [(int(start), int(end)) for start, end in marked[0]] if self._marks else []

    def _marked_turns(self, text: str, marked: list[Span], messages: Messages) -> list[Span]:
        """The template's own marks, each widened by the end-of-turn token where that stands right behind it."""
        expected = sum(message["role"] == "assistant" for message in messages)
        if len(marked) != expected:
            raise BadInput(f"the chat template loses turns: {expected} are there, {len(marked)} are marked; {_FIX}")
        return [(start, self._with_end(text, end)) for start, end in marked]

    def _with_end(self, text: str, end: int) -> int:
        behind = text[end:]
        return next((end + len(token) for token in self.end_tokens if behind.startswith(token)), end)

    def _added_turns(self, text: str, messages: Messages) -> list[Span]:
        """What each assistant message adds to the rendered prompt before it (prefix rendering)."""
        spans = []
        for at, message in enumerate(messages):
            if message["role"] != "assistant":
                continue
            prompt = self.render(messages[:at], True)
            upto = self.render(messages[: at + 1], False) if at + 1 < len(messages) else text
            if not (upto.startswith(prompt) and text.startswith(upto)):
                raise BadInput(
                    f"the chat template loses or rewrites message {at + 1} of a conversation: what is served before it "
                    f"is no prefix of the whole; mark the assistant's turns with {{% generation %}}: {_FIX}"
                )
            spans.append((len(prompt), len(upto)))
        return spans


def _require_all_said(text: str, messages: Messages) -> None:
    """Every message's words must stand in the text, in order."""
    at = 0
    for number, message in enumerate(messages, 1):
        words = message["content"].strip()
        found = text.find(words, at)
        if found < 0:
            raise BadInput(
                f"the chat template loses message {number} (role {message['role']}) of a conversation: "
                f"its content is not in the rendered text; {_FIX}"
            )
        at = found + len(words)
