"""Closed-loop load: so many callers, each asking again as soon as it has its answer."""

import asyncio
import json
import statistics
import time
from dataclasses import dataclass, field
from typing import Any

import aiohttp

TOKENS = 32


@dataclass
class Seen:
    """Seconds of each answer, and to its first piece; `tokens` of all, `failed` answers, `wall` seconds in all."""

    whole: list[float] = field(default_factory=list)
    first: list[float] = field(default_factory=list)
    tokens: int = 0
    failed: int = 0
    wall: float = 0.0

    def add(self, other: "Seen") -> None:
        """What was seen in another round."""
        self.whole += other.whole
        self.first += other.first
        self.tokens += other.tokens
        self.failed += other.failed
        self.wall += other.wall

    def figures(self) -> dict[str, float]:
        """What is reported."""
        return {
            "tokens_per_s": round(self.tokens / self.wall, 2),
            "whole_p50_s": round(statistics.median(self.whole), 4) if self.whole else -1.0,
            "first_p50_s": round(statistics.median(self.first), 4) if self.first else -1.0,
            "failed": self.failed,
        }


@dataclass(frozen=True)
class Target:
    """An OpenAI-compatible server; requests go round through `models`."""

    url: str
    models: tuple[str, ...]
    key: str = "none"


async def load(target: Target, callers: int, requests: int, stream: bool) -> Seen:
    """Ask; first one request of each caller that is not counted."""
    seen = Seen()
    timeout = aiohttp.ClientTimeout(total=300)
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), timeout=timeout) as session:
        await asyncio.gather(*(ask(session, target, -number - 1, stream, Seen()) for number in range(callers)))
        numbers = iter(range(requests))

        async def caller() -> None:
            for number in numbers:
                await ask(session, target, number, stream, seen)

        begun = time.perf_counter()
        await asyncio.gather(*(caller() for _ in range(callers)))
        seen.wall = time.perf_counter() - begun
    return seen


async def ask(session: aiohttp.ClientSession, target: Target, number: int, stream: bool, seen: Seen) -> None:
    """One chat of 32 tokens; every prompt is another, so that none is remembered whole."""
    body: dict[str, Any] = {
        "model": target.models[number % len(target.models)],
        "messages": [{"role": "user", "content": f"Number {number}: what is the capital of France, and why?"}],
        "max_tokens": TOKENS,
        "temperature": 0,
        "ignore_eos": True,
        "stream": stream,
    }
    if stream:
        body["stream_options"] = {"include_usage": True}
    headers = {"Authorization": f"Bearer {target.key}", "Content-Type": "application/json"}
    begun, pieces, first = time.perf_counter(), [], None
    url = f"{target.url}/v1/chat/completions"
    async with session.post(url, data=json.dumps(body), headers=headers) as answer:
        async for piece in answer.content.iter_any():
            first = first or time.perf_counter()
            pieces.append(piece)
    ended = time.perf_counter()
    tokens = told_tokens(b"".join(pieces)) if answer.status == 200 else None
    if tokens is None or first is None:
        seen.failed += 1
        return
    seen.tokens += tokens
    seen.whole.append(ended - begun)
    seen.first.append(first - begun)


def told_tokens(data: bytes) -> int | None:
    """The completion tokens that an answer tells of: whole, or a stream's last usage."""
    if not data.startswith(b"data:"):
        return int(json.loads(data)["usage"]["completion_tokens"])
    told = None
    for line in data.split(b"\n"):
        if line.startswith(b"data: {"):
            usage = json.loads(line[6:]).get("usage")
            told = usage["completion_tokens"] if usage else told
    return told
