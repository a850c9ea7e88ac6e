"""Everything a gateway is given when it is built. The roof fills it; nothing here reads a file or a variable."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path

from serving.canary.stage import Steering
from serving.rates import RateCard
from serving.redaction import Redact
from serving.replicas import Exchange
from serving.sanitise import Caps
from serving.sealing import Retention
from serving.told import TelemetrySettings
from tunegate_core.ports import Recorder
from tunegate_core.redact import redact


@dataclass(frozen=True)
class ShadowBudget:
    """What shadow requests may take of the engines."""

    tokens_per_minute: int = 20_000
    at_once: int = 2


Judge = Callable[[str, str], float | None]  # question and answer; a score from 0 to 1, None where there is none


@dataclass(frozen=True)
class JudgeSettings:
    """How answers are judged. `open` gives each of `parallel` threads its judge; `share`, of 1, is of the arm that has
    fewer answers."""

    open: Callable[[], AbstractContextManager[Judge]]
    share: float = 0.1
    per_minute: int = 30
    parallel: int = 2


@dataclass(frozen=True)
class CanarySettings:
    """`status` is the file that shows people how far each canary is; losing it loses nothing."""

    steering: Steering
    status: Path
    seconds: float = 5.0  # from one look to the next


@dataclass(frozen=True)
class GatewaySettings:
    """`snapshot` is the signed file, `public_raw` the ledger's raw public key, `records` the records' SQLite file,
    `pseudonyms` a folder for the secrets behind the names of callers in them.

    `exchange` gives the engines for the newest snapshot; `recorder` appends events to the ledger; without `canary`
    nobody watches canaries. With `is_vllm` the
    engines are sent two fields of vLLM's own: usage with each chunk, so that cut streams are charged exactly, and a
    cache salt for each key, so that nobody can learn another's prompts from how fast they are read.
    """

    snapshot: Path
    public_raw: bytes
    records: Path
    pseudonyms: Path
    exchange: Exchange
    recorder: Recorder
    caps: Caps = field(default_factory=Caps)
    rates: RateCard = field(default_factory=RateCard)
    shadows: ShadowBudget = field(default_factory=ShadowBudget)
    retention: Retention = field(default_factory=Retention)
    keeps_text: bool = False
    redact: Redact = redact
    telemetry: TelemetrySettings | None = None
    canary: CanarySettings | None = None
    judge: JudgeSettings | None = None
    webhook: str | None = None  # who is told of canaries that fail or wait
    is_vllm: bool = True
    most_in_flight: int = 256
    most_bytes: int = 1_073_741_824  # that requests in flight may hold together
    body_seconds: float = 15.0  # to read a request
    load_seconds: float = 30.0  # to wait for an engine that is loading a version
    stall_seconds: float = 30.0  # for which a caller may not take what it is sent
    deadline_seconds: float = 600.0
    seal_seconds: float = 60.0
