"""One request on its way: who asked, what was decided, what was seen of the answer, and what it used."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from serving.answers import Reading
from serving.decide import Decision
from serving.endpoints import Endpoint
from serving.quota import Account, Reservation
from serving.rates import RateCard
from serving.sanitise import Request

GONE = 499  # the caller left: nobody is told, it is only noted
SHADOW_KEY = "shadow"  # whom shadow requests are charged to


@dataclass(frozen=True)
class Used:
    """What a request is charged for."""

    prompt: int = 0
    output: int = 0
    micros: int = 0


@dataclass(eq=False)
class Call:
    """Times are `perf_counter` seconds, except `at`: milliseconds since 1970."""

    endpoint: Endpoint
    request: Request
    decision: Decision
    key_id: str
    unit: str
    account: Account
    reservation: Reservation
    request_id: str
    started: float
    at: int = field(default_factory=lambda: time.time_ns() // 1_000_000)
    hold: Callable[[int], None] = field(default=lambda size: None, repr=False)  # takes bytes while it is answered
    reading: Reading = field(default_factory=Reading)
    is_judged: bool = False  # its answer was drawn for the judge
    status: int = 0
    code: str | None = None
    asked: float | None = None  # when the engine was asked
    heard: float | None = None  # when its answer began
    begun: float | None = None  # when ours did
    ended: float = 0.0
    used: Used = Used()

    def __post_init__(self) -> None:
        """The reading knows how many answers to each prompt it will see."""
        self.reading.each = self.request.body.get("n", 1)

    @property
    def response_id(self) -> str:
        """The id that the answer carries, and that feedback names."""
        return self.endpoint.prefix + self.request_id

    def total(self) -> float:
        """Seconds from start to end."""
        return self.ended - self.started

    def to_first_token(self) -> float | None:
        """Seconds to the first token of a stream."""
        if not self.request.is_stream or self.reading.first_at is None:
            return None
        return self.reading.first_at - self.started

    def between_tokens(self) -> float | None:
        """Mean seconds between the tokens of a stream."""
        return self.reading.inter_token() if self.request.is_stream else None

    def added(self) -> float | None:
        """Seconds of our own before the answer began."""
        if self.asked is None or self.heard is None or self.begun is None:
            return None
        return self.asked - self.started + self.begun - self.heard

    def begin(self) -> list[tuple[bytes, bytes]]:
        """Note that our answer begins now; the headers that say what answered."""
        self.begun = time.perf_counter()
        return [
            (b"x-request-id", self.request_id.encode()),
            (b"x-served-model", self.decision.subject.encode()),
            (b"x-route-epoch", b"%d" % self.decision.epoch),
            (b"x-gateway-overhead-ms", b"%.2f" % (1000 * (self.added() or 0.0))),
        ]

    def charge(self, rates: RateCard) -> Used:
        """What it used: as the engine told; else all that was reserved, unless the fault is ours."""
        prompt, output = self.reading.prompt_tokens, self.reading.output_tokens
        if prompt is None or output is None:
            is_owed = self.asked is not None and self.status in (200, GONE)
            prompt, output = (self.request.most_prompt, self.request.most_output) if is_owed else (0, 0)
        return Used(prompt, output, rates.micros(self.decision.alias, prompt, output))

    def row(self, pseudonym: str) -> dict[str, Any]:
        """What is written down of it: the columns of `requests`, with the unit under another name."""
        reading, first, between = self.reading, self.to_first_token(), self.between_tokens()
        is_answer = self.endpoint.generates and self.status == 200
        return {
            "id": self.response_id,
            "at": self.at,
            "key_id": SHADOW_KEY if self.decision.arm == "shadow" else self.key_id,
            "unit": pseudonym,
            "alias": self.decision.alias,
            "version": self.decision.subject,
            "arm": self.decision.arm,
            "epoch": self.decision.epoch,
            "operation": self.endpoint.operation,
            "stream": self.request.is_stream,
            "status": self.status,
            "code": self.code,
            "finish": reading.finish,
            "prompt_tokens": self.used.prompt,
            "output_tokens": self.used.output,
            "micros": self.used.micros,
            "ttft_us": None if first is None else round(first * 1e6),
            "itl_us": None if between is None else round(between * 1e6),
            "total_us": round(self.total() * 1e6),
            "refused": is_answer and reading.is_refusal,
            "empty": is_answer and reading.is_empty,
            "truncated": is_answer and reading.is_truncated,
            "text": None,
        }
