"""The four ways to ask a model, and which fields of each reach the engine. What is not named here is left out.

Left out on purpose: chat templates and their arguments, embeddings as prompts, media processor settings, priorities,
cache salts, transfer parameters, LoRA and tokenizer switches, and everything that a newer engine may add.
"""

from dataclasses import dataclass
from typing import Literal

SAMPLING = frozenset(
    {
        *("temperature", "top_p", "top_k", "min_p", "seed", "stop", "n", "logit_bias", "min_tokens", "ignore_eos"),
        *("frequency_penalty", "presence_penalty", "repetition_penalty", "stream", "stream_options", "response_format"),
    }
)


@dataclass(frozen=True)
class Endpoint:
    """`limits`: fields that bound the answer; the first one given counts. `prompt`: the field that asks."""

    path: str
    operation: Literal["chat", "text_completion", "embeddings"]  # gen_ai.operation.name
    prefix: str  # of the response's id
    prompt: str
    fields: frozenset[str]
    limits: tuple[str, ...] = ()
    events: Literal["none", "chunks", "typed"] = "chunks"  # how it streams

    @property
    def generates(self) -> bool:
        """Whether the answer costs tokens of its own."""
        return bool(self.limits)


CHAT = Endpoint(
    path="/v1/chat/completions",
    operation="chat",
    prefix="chatcmpl-",
    prompt="messages",
    fields=SAMPLING
    | {
        *("messages", "max_tokens", "max_completion_tokens", "logprobs", "top_logprobs"),
        *("tools", "tool_choice", "parallel_tool_calls", "reasoning_effort"),
    },
    limits=("max_completion_tokens", "max_tokens"),
)

COMPLETIONS = Endpoint(
    path="/v1/completions",
    operation="text_completion",
    prefix="cmpl-",
    prompt="prompt",
    # Without `echo`: log-probabilities of prompts with an adapter end the engine of vLLM 0.32 on CPU (docs/serving.md).
    fields=SAMPLING | {"prompt", "suffix", "logprobs", "max_tokens"},
    limits=("max_tokens",),
)

RESPONSES = Endpoint(
    path="/v1/responses",
    operation="chat",
    prefix="resp_",
    prompt="input",
    fields=frozenset(
        {
            *("input", "instructions", "max_output_tokens", "parallel_tool_calls", "reasoning", "text", "tools"),
            *("tool_choice", "include", "top_logprobs", "truncation", "temperature", "top_p", "top_k", "min_p"),
            *("seed", "stream", "frequency_penalty", "presence_penalty", "repetition_penalty", "stop", "logit_bias"),
            "ignore_eos",
        }
    ),
    limits=("max_output_tokens",),
    events="typed",
)

EMBEDDINGS = Endpoint(
    path="/v1/embeddings",
    operation="embeddings",
    prefix="embd-",
    prompt="input",
    fields=frozenset({"input", "encoding_format", "dimensions"}),
    events="none",
)

ENDPOINTS = (CHAT, COMPLETIONS, RESPONSES, EMBEDDINGS)
