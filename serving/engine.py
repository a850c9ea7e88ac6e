"""One vLLM server as a child process: started, asked, and ended with nothing left of it.

It is spoken to over its own HTTP API only, on a loopback port with a key that no one else knows, so that a vLLM of
another version, or for a GPU, is the same to us. Adapters come and go by name through vLLM's run-time LoRA routes; what
may be loaded is decided before (`serving.admission`).
"""

import contextlib
import os
import re
import secrets
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from serving.door import SECRET
from tunegate_core.errors import ResourcesUnavailable

READY_SECONDS = 600
POLL_SECONDS = 0.25
DRAIN_SECONDS = 15
# Between the parts of JSON a grammar allows any white space, and small models may write it for ever.
STRUCTURED = '{"backend": "xgrammar", "disable_any_whitespace": true}'
NOWHERE = "nowhere.invalid"  # no such name can be (RFC 6761); to vLLM an empty list means every host
COUNTED = re.compile(r"^vllm:num_requests_(?:running|waiting)(?:\{.*\})? (\S+)$", re.MULTILINE)
ENVIRONMENT = {
    "VLLM_ALLOW_RUNTIME_LORA_UPDATING": "1",
    "VLLM_SERVER_DEV_MODE": "0",
    "VLLM_MEDIA_URL_ALLOW_REDIRECTS": "0",
    "VLLM_NO_USAGE_STATS": "1",
    "DO_NOT_TRACK": "1",
    "HF_HUB_OFFLINE": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "VLLM_LOGGING_LEVEL": "ERROR",  # some of its warnings repeat what was asked
}


@dataclass(frozen=True)
class EngineSettings:
    """`folder` holds the base, `name` is what it is called inside: a replica fills both in.

    `kv_cache_gib` is used on CPU, `memory_share` on GPU. `media_domains`: hosts from which media may be fetched.
    """

    folder: str = ""
    name: str = ""
    max_length: int = 2048
    max_sequences: int = 64
    max_adapters: int = 8
    max_rank: int = 16
    dtype: str = "auto"
    tensor_parallel: int = 1
    memory_share: float = 0.9
    kv_cache_gib: int = 2
    compiled: bool = False
    tool_parser: str | None = None
    media_domains: tuple[str, ...] = ()
    extra: tuple[str, ...] = ()


@dataclass
class Engine:
    """A running server. `url` has no path; `key` opens it."""

    settings: EngineSettings
    log: Path
    host: str = "127.0.0.1"
    key: str = field(default_factory=lambda: secrets.token_hex(24), repr=False)
    port: int = 0
    _child: "subprocess.Popen[bytes] | None" = field(default=None, repr=False)

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"http://{self.host}:{self.port}"

    def start(self) -> None:
        """Start the child; it answers after `wait`."""
        self.port = free_port(self.host)
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as out:
            self._child = subprocess.Popen(
                [sys.executable, "-m", "serving.guard", *command(self.settings, self.host, self.port)],
                stdout=out,
                stderr=out,
                stdin=subprocess.PIPE,
                env={**os.environ, **ENVIRONMENT, **_sizes(self.settings), SECRET: self.key},
                cwd=Path(__file__).resolve().parents[1],
                start_new_session=True,
            )

    def wait(self, seconds: float = READY_SECONDS) -> None:
        """Until it answers. Raises ResourcesUnavailable with the end of its log when it dies or takes too long."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline and self.is_alive():
            if self.is_healthy():
                return
            time.sleep(POLL_SECONDS)
        raise ResourcesUnavailable(f"the engine did not start; the end of {self.log}:\n{tail(self.log)}")

    def is_alive(self) -> bool:
        """Whether the process runs."""
        return self._child is not None and self._child.poll() is None

    def is_healthy(self) -> bool:
        """Whether the server answers and its engine lives."""
        with contextlib.suppress(httpx.HTTPError):
            return httpx.get(f"{self.url}/health", timeout=5).status_code == 200
        return False

    def load(self, name: str, folder: Path) -> None:
        """Make an adapter known. Raises ResourcesUnavailable with the server's words when it refuses."""
        told = self._post("load_lora_adapter", {"lora_name": name, "lora_path": str(folder)})
        if told.status_code != 200 and "already" not in told.text:
            raise ResourcesUnavailable(f"the engine refused the adapter {name}: {told.text[:500]}")

    def unload(self, name: str) -> None:
        """Forget an adapter; one that is not there is no error."""
        self._post("unload_lora_adapter", {"lora_name": name})

    def probe(self, name: str) -> bool:
        """Whether a model or adapter answers with one token."""
        body = {"model": name, "prompt": "a", "max_tokens": 1, "temperature": 0}
        with contextlib.suppress(httpx.HTTPError):
            return self._post("completions", body).status_code == 200
        return False

    def in_flight(self) -> int | None:
        """Requests that are computed or wait, by its own metrics; None when it does not say."""
        headers = {"Authorization": f"Bearer {self.key}"}
        with contextlib.suppress(httpx.HTTPError):
            told = httpx.get(f"{self.url}/metrics", headers=headers, timeout=5)
            found = [float(value) for value in COUNTED.findall(told.text)]
            return round(sum(found)) if found else None
        return None

    def close(self, drain_seconds: float = DRAIN_SECONDS) -> None:
        """End it, politely and then not, with every process it started."""
        child, self._child = self._child, None
        if child is None:
            return
        for number, seconds in ((signal.SIGTERM, drain_seconds), (signal.SIGKILL, 10.0)):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child.pid, number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.wait(seconds)
        with contextlib.suppress(ProcessLookupError):  # the server has gone, a worker of its may be there still
            os.killpg(child.pid, signal.SIGKILL)
        if child.stdin is not None:
            child.stdin.close()

    def _post(self, path: str, body: dict[str, object]) -> httpx.Response:
        headers = {"Authorization": f"Bearer {self.key}"}
        return httpx.post(f"{self.url}/v1/{path}", json=body, headers=headers, timeout=120)


def command(settings: EngineSettings, host: str, port: int) -> list[str]:
    """The child's command line."""
    return [
        *(sys.executable, "-m", "vllm.entrypoints.openai.api_server"),
        *("--model", settings.folder, "--served-model-name", settings.name),
        *("--host", host, "--port", str(port)),
        *("--max-model-len", str(settings.max_length), "--max-num-seqs", str(settings.max_sequences)),
        *("--enable-lora", "--max-loras", str(settings.max_adapters), "--max-cpu-loras", str(settings.max_adapters)),
        *("--max-lora-rank", str(settings.max_rank), "--dtype", settings.dtype),
        *("--tensor-parallel-size", str(settings.tensor_parallel)),
        *("--gpu-memory-utilization", str(settings.memory_share)),
        *("--disable-uvicorn-access-log", "--enable-prompt-tokens-details", "--middleware", "serving.door.Door"),
        *("--structured-outputs-config", STRUCTURED),
        *("--allowed-media-domains", *(settings.media_domains or (NOWHERE,))),
        *(() if settings.compiled else ("--enforce-eager",)),
        *(("--enable-auto-tool-choice", "--tool-call-parser", settings.tool_parser) if settings.tool_parser else ()),
        *settings.extra,
    ]


def free_port(host: str) -> int:
    """A port that nobody uses now."""
    with socket.socket() as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])


def tail(log: Path, lines: int = 15) -> str:
    """The end of a log."""
    return "\n".join(log.read_text(errors="replace").splitlines()[-lines:]) if log.exists() else "(no log)"


def _sizes(settings: EngineSettings) -> dict[str, str]:
    return {"VLLM_CPU_KVCACHE_SPACE": str(settings.kv_cache_gib)}
