"""What an engine's answer says about itself, and how it is made to speak of versions instead of engine names.

Two shapes: `chunks` (chat and plain completions, embeddings) and `typed` (responses). The same reader takes a whole
answer and the events of a stream, so that both are counted and judged alike. Where a request asks for several answers
(`n`, or several prompts), each is read by itself: in a stream their words come mixed.
"""

from dataclasses import dataclass, field
from typing import Any

from tunegate_core.errors import IntegrityError
from tunegate_core.refusal import OPENING_CHARACTERS, declines

MOST_TOKENS = 2**31 - 1  # of one request: more is no count of tokens, nor does it fit where it is added up


@dataclass
class Choice:
    """One of the answers to a request. `made`: its tokens, as a stream tells them."""

    finish: str | None = None
    said_no: bool = False
    called_tool: bool = False
    opening: str = ""
    text: list[str] = field(default_factory=list)
    made: int = 0

    @property
    def is_empty(self) -> bool:
        """Whether nothing was said, and no tool called."""
        return not self.opening.strip() and not self.called_tool

    @property
    def is_refusal(self) -> bool:
        """Whether it declines, by the engine's word or by how it opens."""
        return self.said_no or self.finish == "content_filter" or declines(self.opening)


@dataclass
class Reading:
    """What was seen of an answer so far. Times are the caller's clock, in seconds; tokens are None until told.

    `each`: answers that were asked for to each prompt. A request with several is a refusal, empty or truncated where
    one of them is.
    """

    each: int = 1
    prompt_tokens: int | None = None
    output_tokens: int | None = None
    first_at: float | None = None
    last_at: float | None = None
    is_complete: bool = False
    keeps_text: bool = False
    choices: dict[int, Choice] = field(default_factory=dict)
    _asked: dict[int, int] = field(default_factory=dict, repr=False)  # tokens by prompt, while a stream runs

    @property
    def is_empty(self) -> bool:
        """Whether nothing was said, and no tool called."""
        return not self.choices or any(choice.is_empty for choice in self.choices.values())

    @property
    def is_refusal(self) -> bool:
        """Whether it declines."""
        return any(choice.is_refusal for choice in self.choices.values())

    @property
    def is_truncated(self) -> bool:
        """Whether it ended at a limit of tokens."""
        return self.finish == "length"

    @property
    def called_tool(self) -> bool:
        """Whether a tool was called."""
        return any(choice.called_tool for choice in self.choices.values())

    @property
    def finish(self) -> str | None:
        """Why it ended; None until told."""
        told = [choice.finish for _, choice in sorted(self.choices.items()) if choice.finish is not None]
        return "length" if "length" in told else told[-1] if told else None

    @property
    def text(self) -> str:
        """What was said, where it is kept: one answer after another."""
        return "\n\n".join("".join(choice.text) for _, choice in sorted(self.choices.items()))

    def inter_token(self) -> float | None:
        """Mean seconds between the tokens of an answer; None for fewer than two. Several are made side by side."""
        tokens = (self.output_tokens or 0) / max(1, len(self.choices))
        if self.first_at is None or self.last_at is None or tokens < 2:
            return None
        return (self.last_at - self.first_at) / (tokens - 1)

    def take_chunk(self, body: dict[str, Any], now: float) -> None:
        """A chat or plain completion, or a chunk of one. Raises IntegrityError for numbers that are none."""
        told: list[dict[str, Any]] = body.get("choices") or []
        self._usage(body.get("usage"), "prompt_tokens", "completion_tokens")
        if self.output_tokens is not None and len(told) == 1 and "message" not in told[0]:
            self._add_up(_count(told[0].get("index")))
        for one in told:
            choice = self._choice(_count(one.get("index")))
            said = one.get("delta") or one.get("message") or one
            if isinstance(one.get("finish_reason"), str):
                choice.finish = one["finish_reason"]
            if said.get("refusal"):
                choice.said_no = True
            if said.get("tool_calls"):
                choice.called_tool = True
                self._seen(now)
            text = said.get("content") or said.get("text")
            if isinstance(text, str) and text:
                self._say(choice, text, now)

    def take_response(self, body: dict[str, Any], now: float) -> None:
        """A whole response object of the responses API. Raises IntegrityError for numbers that are none."""
        self._usage(body.get("usage"), "input_tokens", "output_tokens")
        was_streamed, choice = self.first_at is not None, self._choice(0)
        for item in body.get("output") or ():
            choice.called_tool = choice.called_tool or item.get("type") == "function_call"
            for part in item.get("content") or ():
                choice.said_no = choice.said_no or part.get("type") == "refusal"
                if not was_streamed and part.get("type") == "output_text":
                    self._say(choice, str(part.get("text") or ""), now)
        reason = (body.get("incomplete_details") or {}).get("reason")
        ends = {"max_output_tokens": "length", "max_tokens": "length"}
        finish = ends.get(reason, reason) if reason else "stop" if body.get("status") == "completed" else None
        choice.finish = finish if isinstance(finish, str) else choice.finish

    def take_event(self, kind: str, body: dict[str, Any], now: float) -> None:
        """One event of a response's stream."""
        if kind == "response.output_text.delta":
            self._say(self._choice(0), str(body.get("delta") or ""), now)
        elif kind in ("response.function_call_arguments.delta", "response.reasoning_text.delta"):
            choice = self._choice(0)
            choice.called_tool = choice.called_tool or "function_call" in kind
            self._seen(now)
        elif kind in ("response.completed", "response.incomplete"):
            self.is_complete = True
            self.take_response(body.get("response") or {}, now)

    def _usage(self, usage: Any, prompt: str, output: str) -> None:
        if isinstance(usage, dict):
            self.prompt_tokens = _count(usage.get(prompt))
            self.output_tokens = _count(usage.get(output))

    def _add_up(self, index: int) -> None:
        """A chunk of a stream tells of its own choice only, and of the prompt that this answers."""
        self._choice(index).made = self.output_tokens or 0
        self._asked[index // self.each] = self.prompt_tokens or 0
        self.output_tokens = sum(choice.made for choice in self.choices.values())
        self.prompt_tokens = sum(self._asked.values())

    def _choice(self, index: int) -> Choice:
        return self.choices.setdefault(index, Choice())

    def _say(self, choice: Choice, text: str, now: float) -> None:
        self._seen(now)
        if len(choice.opening) < OPENING_CHARACTERS:
            choice.opening = (choice.opening + text)[:OPENING_CHARACTERS]
        if self.keeps_text:
            choice.text.append(text)

    def _seen(self, now: float) -> None:
        self.first_at = now if self.first_at is None else self.first_at
        self.last_at = now


def _count(told: Any) -> int:
    """A number that an engine told, 0 for none. Raises IntegrityError for what can't be added up."""
    if told is None:
        return 0
    if type(told) is not int or not 0 <= told <= MOST_TOKENS:
        raise IntegrityError(f"the engine told {str(told)[:40]!r}; expected a whole number from 0 to {MOST_TOKENS}")
    return told


def rename(body: dict[str, Any], response_id: str, version: str) -> None:
    """Put our id and the version in the place of the engine's."""
    if "id" in body:
        body["id"] = response_id
    if "model" in body:
        body["model"] = version
