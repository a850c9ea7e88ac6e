"""The newest verified snapshot holds, within a moment; forged, older and damaged ones never do."""

import logging
import os
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from governance.keys import load_or_create
from serving.live import Live
from tests.serving.conftest import World, api_key, grant
from tunegate_core.snapshot import Route, Staleness


@pytest.fixture
def live(world: World) -> Live:
    world.publish()
    return Live(world.snapshot, world.signer.public_raw)


def epoch(live: Live) -> int | None:
    live.look()
    return live.view.epoch if live.view else None


def test_a_newer_snapshot_is_taken(world: World, live: Live) -> None:
    told: list[int] = []
    live.on_change(lambda view: told.append(view.epoch))
    assert epoch(live) == 1
    world.publish(keys=())
    assert epoch(live) == 2
    assert live.view and not live.view.keys
    assert epoch(live) == 2
    assert told == [1, 2]
    assert live.data == world.snapshot.read_bytes()


def test_an_older_one_is_not_even_by_a_later_process(world: World, live: Live) -> None:
    old = world.snapshot.read_bytes()
    world.publish(routes=())
    assert epoch(live) == 2
    world.snapshot.write_bytes(old)
    assert epoch(live) == 2
    assert live.refused == 1
    assert epoch(Live(world.snapshot, world.signer.public_raw)) is None


def test_a_forged_one_is_not(world: World, live: Live, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert epoch(live) == 1
    right = world.signer
    world.signer = load_or_create(tmp_path / "forger", "ledger")
    world.publish(routes=(Route(alias="bot", champion="bot@2"),))
    assert epoch(live) == 1
    assert "is not signed by the key" in caplog.text
    world.signer = right
    world.publish()
    assert epoch(live) == 3


@pytest.mark.parametrize("data", [b"", b"{}", b"\0" * 100, b"[1]"])
def test_a_damaged_one_is_not(world: World, live: Live, data: bytes) -> None:
    assert epoch(live) == 1
    world.snapshot.write_bytes(data)
    assert epoch(live) == 1


def test_a_route_without_its_grant_is_not(world: World, live: Live) -> None:
    assert epoch(live) == 1
    world.publish(routes=(Route(alias="bot", champion="bot@9"),))
    assert epoch(live) == 1
    world.publish(grants=(*world.grants, grant("bot@9")))
    assert epoch(live) == 3


def test_nothing_answers_before_the_first(world: World) -> None:
    live = Live(world.snapshot, world.signer.public_raw)
    assert epoch(live) is None
    assert live.is_too_old()


def test_a_file_that_is_gone_leaves_the_last_one(world: World, live: Live) -> None:
    assert epoch(live) == 1
    world.snapshot.unlink()
    assert epoch(live) == 1
    assert live.age() < 60


@pytest.mark.parametrize("then", ["serve", "refuse"])
def test_what_a_stale_one_means_is_its_own_to_say(world: World, then: str) -> None:
    now = time.time()
    live = Live(world.snapshot, world.signer.public_raw, clock=lambda: now)
    world.publish(staleness=Staleness(max_stale_s=100, then=then))
    assert epoch(live) == 1
    assert not live.is_too_old()
    now += 200
    assert live.is_too_old() == (then == "refuse")
    os.utime(world.snapshot, (now, now))  # confirmed, though nothing is new
    assert epoch(live) == 1
    assert not live.is_too_old()


def test_a_clock_that_was_set_back_keeps_nothing_fresh(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    live = Live(world.snapshot, world.signer.public_raw)
    world.publish(staleness=Staleness(max_stale_s=100, then="refuse"))
    ahead = time.time() + 10_000
    os.utime(world.snapshot, (ahead, ahead))
    assert epoch(live) == 1
    assert not live.is_too_old()
    later = time.monotonic() + 200
    monkeypatch.setattr("serving.live.time", SimpleNamespace(monotonic=lambda: later))
    assert epoch(live) == 1
    assert live.is_too_old()
    os.utime(world.snapshot, (ahead + 1, ahead + 1))
    assert epoch(live) == 1
    assert not live.is_too_old()


def test_a_full_disk_keeps_no_snapshot_out(
    world: World, live: Live, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    with caplog.at_level(logging.WARNING):
        assert epoch(live) == 1
    assert "could not be kept" in caplog.text


def test_keys_are_read_with_their_expiry(world: World, live: Live) -> None:
    world.publish(keys=(api_key(expires="1970-01-01T00:01:00Z", models=("bot",)),))
    assert epoch(live) == 2
    assert live.view
    key = live.view.keys[api_key().key_id]
    assert (key.expires, key.may_call("bot"), key.may_call("other")) == (60.0, True, False)
