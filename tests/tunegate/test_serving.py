"""A released adapter answers through the `openai` client, on Ray Serve and vLLM, and only as long as it may."""

import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import httpx
import openai
import psutil
import pytest

pytestmark = [pytest.mark.slow, pytest.mark.vllm]
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

    def client(self, key: str | None = None) -> openai.OpenAI:
        return openai.OpenAI(base_url=f"{self.url}/v1", api_key=key or self.key, max_retries=0)

    def ask(self, model: str = "starter", **more: Any) -> Any:
        settings = {"max_tokens": 8, "temperature": 0, **more}
        return self.client().chat.completions.create(model=model, messages=ASKED, **settings)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def started(home: Path, log: Path, key: str) -> Endpoint:
    port, mark = free_port(), f"{home.parent.name}-{os.getpid()}"
    kept = {name: text for name, text in os.environ.items() if not name.startswith(("TUNEGATE_", "RAY_"))}
    with log.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "tunegate", "serve", "--port", str(port)],
            stdout=out, stderr=out, env={**kept, "TUNEGATE_HOME": str(home), "HF_HUB_OFFLINE": "1", MARK: mark},
        )  # fmt: skip
    return Endpoint(home, f"http://127.0.0.1:{port}", key, process, mark)


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
    """Processes that inherited the environment of a server."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if f"{MARK}={mark}".encode() in (entry / "environ").read_bytes().split(b"\0"):
                    found.append(int(entry.name))
            except OSError:
                continue
    return found


@pytest.fixture(scope="module")
def endpoint(
    released_home: Path, tmp_path_factory: pytest.TempPathFactory, value: Callable[..., Any]
) -> Iterator[Endpoint]:
    """One endpoint for all tests of this module, over a copy of the released home."""
    folder = tmp_path_factory.mktemp("serving")
    home = Path(shutil.copytree(released_home, folder / "home"))
    key = value(home, "keys", "create", "a test", "--scope", "infer")["key"]
    running = started(home, folder / "serve.log", key)
    try:
        wait_until_ready(running, folder / "serve.log")
        yield running
    finally:
        running.process.send_signal(signal.SIGTERM)
        status = running.process.wait(timeout=90)
    deadline = time.monotonic() + 20
    while marked(running.mark) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert not marked(running.mark), "it left processes behind"
    assert status == 0


def test_the_official_client_needs_a_url_and_a_key(endpoint: Endpoint) -> None:
    assert [model.id for model in endpoint.client().models.list()] == ["starter"]
    answer = endpoint.ask(max_tokens=24)
    assert answer.model == "starter@1"
    assert answer.choices[0].message.content
    assert answer.usage.completion_tokens <= 24


def test_a_stream_ends_with_its_usage(endpoint: Endpoint) -> None:
    chunks = list(endpoint.ask(stream=True, stream_options={"include_usage": True}))
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text == endpoint.ask().choices[0].message.content
    assert chunks[-1].usage.completion_tokens > 0


def test_completions_and_responses_answer_too(endpoint: Endpoint) -> None:
    client = endpoint.client()
    assert client.completions.create(model="starter", prompt="The library", max_tokens=4).choices[0].text
    assert client.responses.create(model="starter", input="Hello", max_output_tokens=16).output_text is not None


@pytest.mark.parametrize("name", ["nobody", "starter@2", "../etc/passwd", "starter:x", "x" * 300])
def test_no_other_name_answers(name: str, endpoint: Endpoint) -> None:
    with pytest.raises(openai.NotFoundError) as caught:
        endpoint.ask(name)
    assert name not in str(caught.value)


def test_no_key_no_answer(endpoint: Endpoint) -> None:
    with pytest.raises(openai.AuthenticationError):
        endpoint.client("tg_0000000000000000_wrong").models.list()


def test_nothing_listens_beyond_this_machine(endpoint: Endpoint) -> None:
    """Neither gateway nor Ray's processes nor the engine."""
    beyond = {
        (psutil.Process(pid).name(), connection.laddr.ip, connection.laddr.port)
        for pid in marked(endpoint.mark)
        for connection in psutil.Process(pid).net_connections("inet")
        if connection.status == psutil.CONN_LISTEN
        and not ip_address(connection.laddr.ip.removeprefix("::ffff:")).is_loopback
    }
    assert not beyond, beyond


def engine_of(endpoint: Endpoint) -> str:
    """Where its engine listens: the one port of vLLM's server that says it is healthy."""
    servers = [psutil.Process(pid) for pid in marked(endpoint.mark)]
    ports = {
        connection.laddr.port
        for server in servers
        if "vllm.entrypoints.openai.api_server" in server.cmdline()
        for connection in server.net_connections("inet")
        if connection.status == psutil.CONN_LISTEN
    }
    for port in sorted(ports):
        with contextlib.suppress(httpx.HTTPError):
            url = f"http://127.0.0.1:{port}"
            if httpx.get(f"{url}/health", timeout=2).status_code == 200:
                return url
    raise AssertionError(ports)


def test_an_engines_port_is_closed_to_others(endpoint: Endpoint) -> None:
    url = engine_of(endpoint)
    body = {"model": "starter", "prompt": "a", "max_tokens": 1}
    for path in ("/v1/models", "/v1/load_lora_adapter", "/invocations", "/tokenize", "/metrics", "/version", "/docs"):
        for method in ("GET", "POST"):
            assert httpx.request(method, url + path, json=body, timeout=5).status_code == 401, path


def test_a_caller_that_goes_away_stops_the_engine(endpoint: Endpoint) -> None:
    """Nothing is computed any more, and its tokens are charged as far as it came."""
    with endpoint.ask(stream=True, max_tokens=1500, extra_body={"ignore_eos": True}) as stream:
        next(iter(stream))
    gone = time.monotonic()
    page = f"{endpoint.url}/metrics"
    while "tunegate_in_flight 0.0" not in httpx.get(page).text:
        assert time.monotonic() - gone < 5
        time.sleep(0.05)
    output = re.compile(r'gen_ai_client_token_usage_total{.*gen_ai_token_type="output".*')
    used = output.findall(httpx.get(page).text)
    assert used
    assert sum(float(line.split()[-1]) for line in used) < 1000
    busy = sum(psutil.Process(pid).cpu_times().user for pid in marked(endpoint.mark))
    time.sleep(2)
    assert sum(psutil.Process(pid).cpu_times().user for pid in marked(endpoint.mark)) - busy < 1.0


def test_a_killed_route_stops_within_a_second_and_can_answer_again(
    endpoint: Endpoint, command: Callable[..., Any]
) -> None:
    broken: list[Exception] = []
    began = threading.Event()

    def stream() -> None:
        try:
            for _ in endpoint.ask(stream=True, max_tokens=1000, extra_body={"ignore_eos": True}):
                began.set()
        except openai.APIError as error:
            broken.append(error)

    long = threading.Thread(target=stream)
    long.start()
    assert began.wait(60)
    assert command(endpoint.home, "kill", "starter").returncode == 0
    killed = time.monotonic()
    long.join(timeout=20)
    assert not long.is_alive(), "a stream went on"
    assert time.monotonic() - killed < 3  # a second, and what the busy machine of a test adds
    with pytest.raises(openai.InternalServerError):
        endpoint.ask()
    assert command(endpoint.home, "unkill", "starter").returncode == 0
    time.sleep(0.5)
    assert endpoint.ask().model == "starter@1"


def test_a_revoked_release_stops_answering(endpoint: Endpoint, command: Callable[..., Any]) -> None:
    """The last one: the endpoint has nothing to serve after it."""
    done = command(endpoint.home, "revoke", "starter@1", "--as", "reviewer", "--reason", "recalled")
    assert done.returncode == 0, done.stderr
    time.sleep(1)
    with pytest.raises((openai.InternalServerError, openai.NotFoundError)):
        endpoint.ask()
