"""What an engine's answer says about itself, and how it is made to speak of versions instead of engine names.

Two shapes: `chunks` (chat and plain completions, embeddings) and `typed` (responses). The same reader takes a whole
answer and the events of a stream, so that both are counted and judged alike.
"""

from dataclasses import dataclass, field
from typing import Any

from tunegate_core.refusal import OPENING_CHARACTERS, declines


@dataclass
class Reading:
    """What was seen of an answer so far. Times are the caller's clock, in seconds; tokens are None until told."""

    prompt_tokens: int | None = None
    output_tokens: int | None = None
    finish: str | None = None
    first_at: float | None = None
    last_at: float | None = None
    is_complete: bool = False
    said_no: bool = False
    called_tool: bool = False
    keeps_text: bool = False
    opening: str = ""
    text: list[str] = field(default_factory=list)
    _made: dict[int, int] = field(default_factory=dict, repr=False)  # tokens by choice, while a stream runs

    @property
    def is_empty(self) -> bool:
        """Whether nothing was said, and no tool called."""
        return not self.opening.strip() and not self.called_tool

    @property
    def is_refusal(self) -> bool:
        """Whether the answer declines, by the engine's word or by how it opens."""
        return self.said_no or self.finish == "content_filter" or declines(self.opening)

    @property
    def is_truncated(self) -> bool:
        """Whether the answer ended at a limit of tokens."""
        return self.finish == "length"

    def inter_token(self) -> float | None:
        """Mean seconds between tokens; None for fewer than two."""
        if self.first_at is None or self.last_at is None or (self.output_tokens or 0) < 2:
            return None
        return (self.last_at - self.first_at) / ((self.output_tokens or 0) - 1)

    def take_chunk(self, body: dict[str, Any], now: float) -> None:
        """A chat or plain completion, or a chunk of one."""
        choices: list[dict[str, Any]] = body.get("choices") or []
        self._usage(body.get("usage"), "prompt_tokens", "completion_tokens")
        if self.output_tokens is not None and len(choices) == 1 and "message" not in choices[0]:
            self._made[choices[0].get("index") or 0] = self.output_tokens  # a chunk tells of its own choice only
            self.output_tokens = sum(self._made.values())
        for choice in choices:
            said = choice.get("delta") or choice.get("message") or choice
            self._finish(choice.get("finish_reason"))
            if said.get("refusal"):
                self.said_no = True
            if said.get("tool_calls"):
                self.called_tool = True
                self._seen(now)
            text = said.get("content") or said.get("text")
            if isinstance(text, str) and text:
                self._say(text, now)

    def take_response(self, body: dict[str, Any], now: float) -> None:
        """A whole response object of the responses API."""
        self._usage(body.get("usage"), "input_tokens", "output_tokens")
        was_streamed = self.first_at is not None
        for item in body.get("output") or ():
            self.called_tool = self.called_tool or item.get("type") == "function_call"
            for part in item.get("content") or ():
                self.said_no = self.said_no or part.get("type") == "refusal"
                if not was_streamed and part.get("type") == "output_text":
                    self._say(str(part.get("text") or ""), now)
        reason = (body.get("incomplete_details") or {}).get("reason")
        ends = {"max_output_tokens": "length", "max_tokens": "length"}
        self._finish(ends.get(reason, reason) if reason else "stop" if body.get("status") == "completed" else None)

    def take_event(self, kind: str, body: dict[str, Any], now: float) -> None:
        """One event of a response's stream."""
        if kind == "response.output_text.delta":
            self._say(str(body.get("delta") or ""), now)
        elif kind in ("response.function_call_arguments.delta", "response.reasoning_text.delta"):
            self.called_tool = self.called_tool or "function_call" in kind
            self._seen(now)
        elif kind in ("response.completed", "response.incomplete"):
            self.is_complete = True
            self.take_response(body.get("response") or {}, now)

    def _usage(self, usage: Any, prompt: str, output: str) -> None:
        if isinstance(usage, dict):
            self.prompt_tokens = usage.get(prompt) or 0
            self.output_tokens = usage.get(output) or 0

    def _finish(self, reason: Any) -> None:
        if isinstance(reason, str):
            self.finish = reason

    def _say(self, text: str, now: float) -> None:
        self._seen(now)
        if len(self.opening) < OPENING_CHARACTERS:
            self.opening = (self.opening + text)[:OPENING_CHARACTERS]
        if self.keeps_text:
            self.text.append(text)

    def _seen(self, now: float) -> None:
        self.first_at = now if self.first_at is None else self.first_at
        self.last_at = now


def rename(body: dict[str, Any], response_id: str, version: str) -> None:
    """Put our id and the version in the place of the engine's."""
    if "id" in body:
        body["id"] = response_id
    if "model" in body:
        body["model"] = version
