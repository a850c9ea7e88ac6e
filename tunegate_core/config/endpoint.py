"""How an endpoint is run: engine, scale, limits and records. What may answer is said in the ledger, not here."""

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, StringConstraints, model_validator

from tunegate_core.config.loading import load_yaml, validate
from tunegate_core.config.schema import Block
from tunegate_core.errors import ConfigError

Host = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$")]


class EngineBlock(Block):
    """vLLM, the same for every replica."""

    max_length: int = Field(default=2048, ge=128, description="Tokens of prompt and answer together.")
    max_sequences: int = Field(default=64, ge=1, description="Requests that are computed at once.")
    max_adapters: int = Field(default=8, ge=1, description="Adapters that are in memory at once.")
    dtype: Literal["auto", "bfloat16", "float16", "float32"] = Field(
        default="auto", description="auto: the base's own."
    )
    tensor_parallel: int = Field(default=1, ge=1, description="GPUs that one replica's model is split over.")
    memory_share: float = Field(default=0.9, gt=0, lt=1, description="Share of a GPU's memory that is taken.")
    kv_cache_gib: int = Field(default=2, ge=1, description="Memory for keys and values on CPU.")
    tool_parser: str | None = Field(
        default="hermes", pattern=r"^[a-z0-9_]+$", description="How the model writes tool calls, by vLLM's name for it."
    )
    media_domains: tuple[Host, ...] = Field(
        default=(), description="Hosts from which it may fetch media, by https and without redirects."
    )
    compiled: bool = Field(default=False, description="Compile at start: a minute more to start, faster on a GPU.")


class ScaleBlock(Block):
    """How many replicas Ray places."""

    replicas: int = Field(default=1, ge=1, description="Replicas that are always there.")
    max_replicas: int | None = Field(
        default=None, ge=1, description="Replicas that there may be while there is much to do; no more when not given."
    )
    target_in_flight: int = Field(
        default=32, ge=1, description="Requests, computed or waiting, that each replica should have at most."
    )
    cpus_per_replica: float = Field(default=1, ge=0, description="CPUs that Ray reserves for each.")
    gpus_per_replica: float = Field(default=0, ge=0, description="GPUs that Ray reserves for each.")

    @model_validator(mode="after")
    def most_not_below_least(self) -> Self:
        """There is room between the two."""
        if self.max_replicas is not None and self.max_replicas < self.replicas:
            raise ValueError(f"max_replicas ({self.max_replicas}) must not be below replicas ({self.replicas})")
        return self


class RateBlock(Block):
    """What tokens cost, in the currency of the budgets, for a million."""

    prompt: float = Field(default=0, ge=0, description="For a million prompt tokens.")
    output: float = Field(default=0, ge=0, description="For a million tokens of answers.")


class RecordsBlock(Block):
    """What is kept of requests. Prompts and answers only where it is said so, redacted."""

    text: bool = Field(default=False, description="Keep prompts and answers, redacted.")
    redaction: str = Field(
        default="patterns",
        description="What takes personal and secret strings out of them: a file of serving/redactions.",
    )
    text_days: int = Field(default=30, ge=1, description="Days after which kept text is deleted.")
    days: int = Field(default=365, ge=1, description="Days after which records are deleted.")


class ShadowBlock(Block):
    """What requests to shadow versions may take of the engines. Which share of requests they see is the route's."""

    tokens_per_minute: int = Field(default=20_000, ge=0, description="Tokens of all shadow requests in a minute.")
    at_once: int = Field(default=2, ge=0, description="Shadow requests at once.")


class LangfuseBlock(Block):
    """A Langfuse project, self-hosted or the cloud."""

    url: str = Field(description="Where it is.")
    public_key: str = Field(description="The project's public key.")
    secret_key_variable: str = Field(default="LANGFUSE_SECRET_KEY", description="The variable with its secret key.")


class TelemetryBlock(Block):
    """Who else is told of requests; nobody, where nothing is said."""

    otlp_url: str | None = Field(default=None, description="An OpenTelemetry collector: http://HOST:4318/v1/traces.")
    langfuse: LangfuseBlock | None = None


class AlertsBlock(Block):
    """Who is told at once when a canary fails or waits for a person; nobody, where nothing is said."""

    webhook: str | None = Field(default=None, pattern=r"^https?://", description="A URL that takes JSON by POST.")


class CanaryJudgeBlock(Block):
    """A language model that scores a sample of answers while a route has a canary; see docs/canary.md."""

    url: str = Field(pattern=r"^https?://", description="An OpenAI-compatible endpoint, with its /v1.")
    model: str = Field(description="The model's name there.")
    rubric: str = Field(default="Correct, complete and clear.", description="What a good answer is.")
    key_env: str | None = Field(default=None, description="The environment variable that holds its API key.")
    percent: float = Field(
        default=10, gt=0, le=100, description="Share of answers that is judged, of the arm with fewer; as many of both."
    )
    per_minute: int = Field(default=30, ge=1, description="Answers that are judged in a minute at most.")
    timeout_s: float = Field(default=60, gt=0, description="Seconds for one reply.")
    parallel: int = Field(default=2, ge=1, le=64, description="Questions to the judge at once.")


class Endpoint(Block):
    """An endpoint config; every key may be left out."""

    engine: EngineBlock = EngineBlock()
    scale: ScaleBlock = ScaleBlock()
    records: RecordsBlock = RecordsBlock()
    shadow: ShadowBlock = ShadowBlock()
    telemetry: TelemetryBlock = TelemetryBlock()
    alerts: AlertsBlock = AlertsBlock()
    judge: CanaryJudgeBlock | None = None
    rates: dict[str, RateBlock] = Field(default={}, description="By route; `default` for all others.")
    most_in_flight: int = Field(default=256, ge=1, description="Requests at once; more are answered 503.")
    most_memory_mib: int = Field(
        default=1024, ge=16, description="Memory that they may hold together in the gateway; beyond it, 503."
    )


def load_endpoint(path: Path) -> Endpoint:
    """Read and check an endpoint config. Raises ConfigError."""
    raw, lines = load_yaml(path, ConfigError)
    return validate(Endpoint, raw or {}, lines, path, ConfigError)
