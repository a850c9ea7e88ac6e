"""An engine's port answers nobody without the engine's key, whatever the path, and says only whether it lives."""

import asyncio
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from serving.door import SECRET, Door
from serving.engine import ENVIRONMENT, Engine, EngineSettings, command
from tests.serving.fake_upstream import FakeEngine, running

KEY = "engine-key"


@pytest.fixture
def url(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setenv(SECRET, KEY)
    with running(Door(FakeEngine(names={"bot"}, key=""))) as found:
        yield found


@pytest.mark.parametrize("path", ["/v1/models", "/invocations", "/tokenize", "/metrics", "/pause", "/", "//v1/models"])
@pytest.mark.parametrize(
    "given",
    [[], ["Bearer wrong"], [KEY], [f"bearer {KEY}"], [f"Bearer {KEY} "[:-2]], [f"Bearer {KEY}", "Bearer wrong"]],
    ids=["none", "wrong", "bare", "case", "cut", "two"],
)
def test_no_path_opens_without_the_key(url: str, path: str, given: list[str]) -> None:
    headers = [("Authorization", value) for value in given]
    for method in ("GET", "POST", "OPTIONS"):
        answer = httpx.request(method, url + path, headers=headers, content=b"{}")
        assert (answer.status_code, answer.content) == (401, b"")


def test_the_key_opens_and_health_needs_none(url: str) -> None:
    headers = {"Authorization": f"Bearer {KEY}"}
    assert httpx.get(f"{url}/v1/models", headers=headers).json()["data"][0]["id"] == "bot"
    body = {"model": "bot", "prompt": "a"}
    assert httpx.post(f"{url}/v1/completions", headers=headers, json=body).status_code == 200
    assert httpx.post(f"{url}/health", json=body).status_code != 401


def test_a_websocket_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SECRET, KEY)
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        return {}

    asyncio.run(Door(FakeEngine())({"type": "websocket", "path": "/v1/realtime", "headers": []}, receive, send))
    assert [message["type"] for message in sent] == ["websocket.close"]


def test_an_engine_is_started_behind_it_with_a_key_of_its_own() -> None:
    line = command(EngineSettings(folder="/base", name="b"), "127.0.0.1", 1)
    assert line[line.index("--middleware") + 1] == f"{Door.__module__}.{Door.__name__}"
    assert "--trust-remote-code" not in line and "--api-key" not in line  # a command line is read by everyone
    assert line[line.index("--host") + 1] == Engine(EngineSettings(), log=None).host == "127.0.0.1"  # type: ignore[arg-type]
    one, other = (Engine(EngineSettings(), log=None) for _ in range(2))  # type: ignore[arg-type]
    assert one.key != other.key and len(one.key) == 48 and one.key not in repr(one)
    assert ENVIRONMENT["VLLM_SERVER_DEV_MODE"] == "0"


def test_an_engine_fetches_from_listed_hosts_only() -> None:
    """To vLLM no list means every host, and a redirect may lead anywhere."""
    line = command(EngineSettings(), "127.0.0.1", 1)
    assert line[line.index("--allowed-media-domains") + 1] == "nowhere.invalid"
    line = command(EngineSettings(media_domains=("a.example", "b.example")), "127.0.0.1", 1)
    at = line.index("--allowed-media-domains")
    assert line[at + 1 : at + 3] == ["a.example", "b.example"] and "nowhere.invalid" not in line
    assert ENVIRONMENT["VLLM_MEDIA_URL_ALLOW_REDIRECTS"] == "0"
