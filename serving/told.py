"""A request as a trace tells it: OpenTelemetry's GenAI attributes, and where they may be told."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

from serving.records import Text

PROVIDER = "tunegate"
PARAMETERS = (
    *("temperature", "top_p", "top_k", "seed", "frequency_penalty", "presence_penalty"),
    *("max_tokens", "max_completion_tokens", "max_output_tokens"),
)


@dataclass(frozen=True)
class LangfuseSettings:
    """A Langfuse project (self-hosted 4.59 or newer, or the cloud)."""

    url: str
    public_key: str
    secret_key: str = field(repr=False)


@dataclass(frozen=True)
class TelemetrySettings:
    """Where to tell: an OTLP/HTTP endpoint (`http://collector:4318/v1/traces`), a Langfuse project, or both."""

    otlp_url: str | None = None
    langfuse: LangfuseSettings | None = None


@dataclass(frozen=True)
class Told:
    """A request as it is told: its row in the records, what it asked for, and its text where that is kept."""

    row: Mapping[str, Any]
    parameters: Mapping[str, Any]
    text: Text | None


def attributes(told: Told) -> dict[str, Any]:
    """A span's attributes: OpenTelemetry's GenAI conventions, and ours below `governance.`."""
    row = told.row
    found: dict[str, Any] = {
        "gen_ai.operation.name": row["operation"],
        "gen_ai.provider.name": PROVIDER,
        "gen_ai.request.model": row["alias"],
        "gen_ai.request.stream": row["stream"],
        "gen_ai.response.id": row["id"],
        "gen_ai.response.model": row["version"],
        "gen_ai.usage.input_tokens": row["prompt_tokens"],
        "gen_ai.usage.output_tokens": row["output_tokens"],
        "governance.alias": row["alias"],
        "governance.version": row["version"],
        "governance.arm": row["arm"],
        "governance.epoch": row["epoch"],
        "governance.cost_micros": row["micros"],
        "http.response.status_code": row["status"],
    }
    for name, value in told.parameters.items():
        found[f"gen_ai.request.{'max_tokens' if name.startswith('max_') else name}"] = value
    if row["finish"] is not None:
        found["gen_ai.response.finish_reasons"] = [row["finish"]]
    if row["ttft_us"] is not None:
        found["gen_ai.response.time_to_first_chunk"] = row["ttft_us"] / 1e6
    if row["code"] is not None:
        found["error.type"] = row["code"]
    return found | _messages(told.text)


def _messages(text: Text | None) -> dict[str, str]:
    """What was said, as it is kept: after redaction a prompt may be no JSON any more, so it is one text."""
    kept = text.kept() if text is not None else None
    if kept is None:
        return {}
    said = orjson.loads(kept.body)
    roles = (("gen_ai.input.messages", "user", "prompt"), ("gen_ai.output.messages", "assistant", "answer"))
    return {
        name: orjson.dumps([{"role": role, "parts": [{"type": "text", "content": said[part]}]}]).decode()
        for name, role, part in roles
    }
