"""A running `tunegate serve`, to be asked by the official client."""

import os
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import openai

MARK = "TUNEGATE_TEST_MARK"
ASKED = [{"role": "user", "content": "When does the library open?"}]


@dataclass
class Endpoint:
    """A running `tunegate serve`."""

    home: Path
    url: str
    key: str
    process: "subprocess.Popen[bytes]"
    mark: str
    log: Path

    def client(self, key: str | None = None) -> openai.OpenAI:
        return openai.OpenAI(base_url=f"{self.url}/v1", api_key=key or self.key, max_retries=0)

    def complete(self, **changes: Any) -> Any:
        settings = {"prompt": "The library opens at", "max_tokens": 8, "temperature": 0, **changes}
        return self.client().completions.create(model="starter", **settings)

    def ask(self, model: str = "starter", **more: Any) -> Any:
        settings = {"messages": ASKED, "max_tokens": 8, "temperature": 0, **more}
        return self.client().chat.completions.create(model=model, **settings)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def started(home: Path, log: Path, key: str) -> Endpoint:
    port, mark = free_port(), f"{home.parent.name}-{os.getpid()}"
    kept = {name: text for name, text in os.environ.items() if not name.startswith(("TUNEGATE_", "RAY_"))}
    with log.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "tunegate", "serve", "--port", str(port), "--dev"],
            stdout=out, stderr=out, env={**kept, "TUNEGATE_HOME": str(home), "HF_HUB_OFFLINE": "1", MARK: mark},
            start_new_session=True,
        )  # fmt: skip
    return Endpoint(home, f"http://127.0.0.1:{port}", key, process, mark, log)


def wait_until_ready(endpoint: Endpoint, log: Path, seconds: float = 400) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and endpoint.process.poll() is None:
        try:
            if httpx.get(f"{endpoint.url}/readyz", timeout=2).status_code == 200:
                return
        except httpx.HTTPError:
            pass
        time.sleep(0.5)
    raise AssertionError(log.read_text(errors="replace")[-3000:])


def marked(mark: str) -> list[int]:
    """Processes that inherited the environment of a command: what it left behind, once it has ended."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if f"{MARK}={mark}".encode() in (entry / "environ").read_bytes().split(b"\0"):
                    found.append(int(entry.name))
            except OSError:  # it has gone, or is not ours
                continue
    return found


def wait_until_gone(endpoint: Endpoint, seconds: float = 20) -> None:
    """Wait until no process of it is there any more."""
    deadline = time.monotonic() + seconds
    while marked(endpoint.mark) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert not marked(endpoint.mark), "it left processes behind"
