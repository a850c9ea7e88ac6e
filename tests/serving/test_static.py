"""Engines that somebody else started are ready for what they have answered, and gone when they are gone."""

import httpx

from serving.static import StaticUpstreams
from tests.serving.conftest import World, grant
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


def test_a_server_that_does_not_answer_is_not_there(world: World) -> None:
    world.publish()
    upstreams = StaticUpstreams(["http://127.0.0.1:9", world.url], "engine-key", world.signer.public_raw)
    assert [status.url for status in upstreams.exchange(world.snapshot.read_bytes())] == [world.url]


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
