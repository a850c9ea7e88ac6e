"""Three servers of the same base and adapters: bare vLLM, stock Ray Serve LLM, and ours."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import httpx

from benchmarks.load import Target
from serving.engine import EngineSettings, command, free_port
from tunegate import api_keys
from tunegate.house import House

READY_SECONDS = 300
OURS = ("--middleware", "--enable-prompt-tokens-details")


@contextmanager
def bare_vllm(base: Path, adapters: Mapping[str, Path], logs: Path) -> Iterator[Target]:
    """vLLM's own server, with the settings that our replicas give it and none of what we add."""
    port = free_port("127.0.0.1")
    line = command(EngineSettings(folder=str(base), name="base"), "127.0.0.1", port)
    at = line.index("--middleware")
    line = [part for number, part in enumerate(line) if number != at + 1 and part not in OURS]
    line += ["--lora-modules", *(f"{name}={folder}" for name, folder in adapters.items())]
    with running(line, logs / "vllm.log", {"VLLM_CPU_KVCACHE_SPACE": "2"}):
        url = f"http://127.0.0.1:{port}"
        wait_until_answers(f"{url}/health")
        yield Target(url, tuple(adapters))


@contextmanager
def stock_ray(base: Path, adapters: Mapping[str, Path], logs: Path) -> Iterator[Target]:
    """Ray Serve LLM as it comes."""
    port = free_port("127.0.0.1")
    named = [f"{name}={folder}" for name, folder in adapters.items()]
    line = [sys.executable, "-m", "benchmarks.stock_ray", str(base), str(port), *named]
    with running(line, logs / "ray.log", {"PYTHONPATH": str(Path.cwd())}):
        url = f"http://127.0.0.1:{port}"
        wait_until_answers(f"{url}/v1/models")
        yield Target(url, tuple(f"base:{name}" for name in adapters))


@contextmanager
def governed(house: House, routes: int, logs: Path) -> Iterator[Target]:
    """`tunegate serve`, as it is run: keys, routes, records, metrics, the ledger."""
    port = free_port("127.0.0.1")
    limits = ("requests-per-minute=1000000", "tokens-per-minute=1000000000", "budget-tokens=1000000000000")
    key = api_keys.create(house, "a benchmark", ("infer",), limits=limits)["key"]
    line = [sys.executable, "-m", "tunegate", "serve", "--port", str(port)]
    with running(line, logs / "tunegate.log", {"TUNEGATE_HOME": str(house.home)}):
        url = f"http://127.0.0.1:{port}"
        wait_until_answers(f"{url}/readyz")
        yield Target(url, tuple(f"bot-{number}" for number in range(routes)), key)


@contextmanager
def running(line: list[str], log: Path, settings: Mapping[str, str]) -> Iterator[None]:
    """A process and all that it starts, in a group of its own; gone after the block."""
    kept = {
        name: text
        for name, text in os.environ.items()
        if name != "OMP_NUM_THREADS" and not name.startswith(("RAY_", "TUNEGATE_"))
    }
    with log.open("ab") as out:
        process = subprocess.Popen(
            line, stdout=out, stderr=out, env={**kept, "HF_HUB_OFFLINE": "1", **settings}, start_new_session=True
        )
    try:
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def wait_until_answers(url: str) -> None:
    """Until it answers 200. Raises TimeoutError."""
    until = time.monotonic() + READY_SECONDS
    while time.monotonic() < until:
        try:
            if httpx.get(url, timeout=5).status_code == httpx.codes.OK:
                return
        except httpx.HTTPError:
            pass
        time.sleep(0.5)
    raise TimeoutError(f"{url} did not answer within {READY_SECONDS} s")
