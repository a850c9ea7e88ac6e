"""Engines that somebody else started are ready for what they have answered, and gone when they are gone."""

import httpx
import pytest

from serving.static import StaticUpstreams
from tests.serving.conftest import World, grant, wait_until
from tests.serving.fake_upstream import FakeEngine, running
from tunegate_core.errors import BadInput
from tunegate_core.snapshot import engine_name

NAME = engine_name(grant("bot@1"))


def test_only_routed_versions_that_answered_are_ready(world: World) -> None:
    world.publish()
    now = 0.0
    upstreams = StaticUpstreams([world.url], "engine-key", world.signer.public_raw, clock=lambda: now)
    world.engine.fault = "status"
    assert upstreams.exchange(world.snapshot.read_bytes())[0].ready == frozenset()
    world.engine.fault, now = "", 3.0
    found = upstreams.exchange(world.snapshot.read_bytes())
    assert [(status.url, status.key, status.ready) for status in found] == [
        (world.url, "engine-key", frozenset({NAME}))
    ]
    asked = len(world.engine.seen)
    assert upstreams.exchange(world.snapshot.read_bytes()) is found
    now = 6.0
    assert upstreams.exchange(world.snapshot.read_bytes())[0].ready == {NAME}
    assert len(world.engine.seen) == asked  # one probe is enough while it is listed
    world.engine.names.clear()
    now = 9.0
    assert upstreams.exchange(world.snapshot.read_bytes())[0].ready == frozenset()


def test_a_url_may_end_with_a_slash(world: World) -> None:
    world.publish()
    upstreams = StaticUpstreams([f"{world.url}/"], "engine-key", world.signer.public_raw)
    with world.gateway(exchange=upstreams.exchange) as gateway:
        assert gateway.chat().status_code == 200
    assert world.engine.seen[-1]["path"] == "/v1/chat/completions"


@pytest.mark.parametrize(
    "url",
    ["", "127.0.0.1:8100", "localhost:8100", "ftp://a", "http://", "http://a:b", "http://[::1", "http://a/v1",
     "http://a/v1/", "http://a?b"],
)  # fmt: skip
def test_what_is_no_url_of_a_server(url: str) -> None:
    with pytest.raises(BadInput, match="expected http://HOST:PORT, without /v1"):
        StaticUpstreams([url], "", b"")


def test_one_that_does_not_answer_is_not_ready_and_the_others_answer(world: World) -> None:
    world.publish()
    upstreams = StaticUpstreams([world.url, "http://127.0.0.1:9"], "engine-key", world.signer.public_raw)
    found = upstreams.exchange(world.snapshot.read_bytes())
    assert [(status.is_there, status.ready) for status in found] == [(True, {NAME}), (False, frozenset())]
    with world.gateway(exchange=upstreams.exchange) as gateway:
        ready = httpx.get(f"{gateway.url}/readyz")
        assert (ready.status_code, ready.json()["lacking"]) == (503, ["engine 2 of 2 does not answer"])
        assert gateway.chat().status_code == 200
        assert "tunegate_engines 1.0" in gateway.http.get("/metrics").text


def test_a_gateway_is_ready_again_when_the_one_that_was_down_answers(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("serving.static.LOOK_SECONDS", 0.05)
    world.publish()
    other = FakeEngine(names={NAME})
    with running(other) as url:
        upstreams = StaticUpstreams([world.url, url], "engine-key", world.signer.public_raw)
        with world.gateway(exchange=upstreams.exchange) as gateway:
            ready = lambda: httpx.get(f"{gateway.url}/readyz").json()["lacking"]  # noqa: E731
            assert ready() == []
            for lacks, told in (("/v1/models", ["engine 2 of 2 does not answer"]), ("", [])):
                other.lacks = lacks
                wait_until(lambda told=told: ready() == told)
            other.names.clear()
            wait_until(lambda: ready() == ["engine 2 of 2 lacks 1 of the 1 routed versions"])


def test_without_a_verified_snapshot_nothing_is_ready(world: World) -> None:
    upstreams = StaticUpstreams([world.url], "engine-key", world.signer.public_raw)
    assert upstreams.exchange(b"")[0].ready == frozenset()
    assert not world.engine.seen


def test_a_whole_gateway_before_one(world: World) -> None:
    world.publish()
    upstreams = StaticUpstreams([world.url], "engine-key", world.signer.public_raw)
    with world.gateway(exchange=upstreams.exchange) as gateway:
        assert gateway.chat().json()["model"] == "bot@1"
        assert httpx.get(f"{gateway.url}/readyz").status_code == 200
