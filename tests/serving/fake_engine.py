"""A fake engine as a process that a real replica starts: it loads and unloads adapters and answers with what it loaded.

`python -m tests.serving.fake_engine HOST PORT`. An answer is the hash of the weights that were loaded under the name it
was asked by, word by word, so that an answer by a wrong version can be told. `/stats` says what was loaded and runs.
"""

import asyncio
import hashlib
import json
import os
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import uvicorn

from serving.engine import EngineSettings
from serving.replica import Replica, ReplicaSettings
from tests.serving.fake_upstream import FakeEngine, _bytes, _json, _read

LOAD_SECONDS = 0.3
WORDS = 8
LONG = 400


def fingerprint(weights: bytes) -> tuple[str, ...]:
    """What a version answers: words that only these weights give."""
    told = hashlib.sha256(weights).hexdigest()
    return tuple(f" {told[at * 4 : at * 4 + 4]}" for at in range(WORDS))


class LoadingEngine(FakeEngine):
    """The fake engine with vLLM's run-time LoRA routes. `slow` in a prompt asks for a stream of twenty seconds."""

    def __init__(self) -> None:
        super().__init__(key=os.environ["VLLM_API_KEY"])
        self.loads: Counter[str] = Counter()
        self.weights: dict[str, tuple[str, ...]] = {}

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        path = scope.get("path", "")
        if path in ("/health", "/metrics"):
            return await _bytes(send, 200, f"vllm:num_requests_running {self.active}\n".encode(), b"text/plain")
        if path == "/stats":
            return await _json(
                send,
                200,
                {"pid": os.getpid(), "loads": self.loads, "names": sorted(self.names), "active": self.active},
            )
        if path.endswith("load_lora_adapter"):
            return await self._change(path, receive, send)
        await super().__call__(scope, receive, send)

    async def _change(self, path: str, receive: Any, send: Any) -> None:
        body = json.loads(await _read(receive))
        name = body["lora_name"]
        if path.endswith("unload_lora_adapter"):
            self.names.discard(name)
            return await _json(send, 200, {})
        self.loads[name] += 1
        await asyncio.sleep(LOAD_SECONDS)
        self.weights[name] = fingerprint((Path(body["lora_path"]) / "adapter_model.safetensors").read_bytes())
        self.names.add(name)
        await _json(send, 200, {})

    def _chunks(self, path: str, body: dict[str, Any]) -> list[bytes]:
        is_long = "slow" in str(body.get("messages"))
        self.words = ("x",) * LONG if is_long else self.weights[body["model"]]
        return super()._chunks(path, body)

    async def _stream(self, send: Any, events: list[bytes]) -> None:
        gap = 20 / LONG if len(events) > LONG else 0.01
        kind = (b"content-type", b"text/event-stream")
        await send({"type": "http.response.start", "status": 200, "headers": [kind]})
        for event in events:
            await asyncio.sleep(gap)
            await send({"type": "http.response.body", "body": event, "more_body": True})
        await send({"type": "http.response.body", "body": b""})


def command(settings: EngineSettings, host: str, port: int) -> list[str]:
    """In the place of vLLM's command line."""
    return [sys.executable, "-m", "tests.serving.fake_engine", host, str(port)]


class FakedReplica(Replica):
    """A real replica that starts the fake engine."""

    def __init__(self, settings: ReplicaSettings):
        from serving import engine

        engine.command = command
        super().__init__(settings)


if __name__ == "__main__":
    uvicorn.run(LoadingEngine(), host=sys.argv[1], port=int(sys.argv[2]), log_level="critical", ws="none")
