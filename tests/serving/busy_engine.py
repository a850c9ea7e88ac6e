"""An engine as a process that a real replica starts: `python -m tests.serving.busy_engine HOST PORT`.

It streams as many words as `max_tokens` says, ten a second, and tells in vLLM's words how many requests it answers.
"""

import os
import sys
from typing import Any

import uvicorn

from serving.replica import Replica, ReplicaSettings
from tests.serving.fake_upstream import FakeEngine, _bytes

GAP_SECONDS = 0.1


class BusyEngine(FakeEngine):
    """Knows every name."""

    def __init__(self) -> None:
        super().__init__(key=os.environ["VLLM_API_KEY"], gap_s=GAP_SECONDS)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http" and scope["path"] in ("/health", "/metrics"):
            counted = f'vllm:num_requests_running{{engine="0"}} {self.active}.0\nvllm:num_requests_waiting 0.0\n'
            return await _bytes(send, 200, counted.encode(), b"text/plain")
        await super().__call__(scope, receive, send)

    async def _answer(self, path: str, headers: dict[str, str], body: dict[str, Any], send: Any) -> None:
        self.names.add(body["model"])
        self.words = ("x",) * body["max_tokens"]
        await super()._answer(path, headers, body, send)


def command(settings: Any, host: str, port: int) -> list[str]:
    """In the place of vLLM's command line."""
    return [sys.executable, "-m", "tests.serving.busy_engine", host, str(port)]


class BusyReplica(Replica):
    """A real replica that starts this engine."""

    def __init__(self, settings: ReplicaSettings):
        from serving import engine

        engine.command = command
        super().__init__(settings)


if __name__ == "__main__":
    uvicorn.run(BusyEngine(), host=sys.argv[1], port=int(sys.argv[2]), log_level="critical", ws="none")
