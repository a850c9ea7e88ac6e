"""Replicas come with what there is to do and go without it, and one that goes finishes what it has begun."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from serving import fleet as fleet_module
from serving.board import Status
from serving.engine import COUNTED, EngineSettings
from serving.fleet import Fleet, Scale, _size, deployed
from serving.replica import ReplicaSettings, drain
from serving.scaling import IN_FLIGHT, InFlightPolicy, replicas_for
from tests.serving.conftest import World, wait_until
from tunegate_core.config.endpoint import ScaleBlock
from tunegate_core.snapshot import base_name
from tunegate_core.store import Store

METRICS = """# HELP vllm:num_requests_running Number of requests in model execution batches.
# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{engine="0",model_name="base"} 3.0
vllm:num_requests_waiting{engine="0",model_name="base"} 4.0
vllm:num_requests_waiting_by_reason{engine="0",model_name="base",reason="capacity"} 4.0
vllm:num_requests_running{engine="1",model_name="base"} 1.0
"""


@pytest.mark.parametrize(
    ("in_flight", "running", "before", "expected"),
    [
        ([0.0], 1, 1, 1),
        ([8.0], 1, 1, 1),
        ([8.1], 1, 1, 2),
        ([20.0, 5.0], 2, 2, 4),
        ([1.0, 0.0], 2, 2, 1),
        ([1.0], 2, 2, 2),  # the other has not told
        ([30.0], 2, 2, 4),
        ([], 3, 3, 3),
        ([], 0, 2, 2),
    ],
)
def test_how_many(in_flight: list[float], running: int, before: int, expected: int) -> None:
    assert replicas_for(in_flight, running, before, 8) == expected


@given(st.lists(st.floats(0, 1000), max_size=9), st.integers(0, 9), st.integers(1, 9), st.integers(1, 64))
def test_each_has_its_share_and_silence_takes_none_away(
    told: list[float], silent: int, before: int, target: int
) -> None:
    found = replicas_for(told, len(told) + silent, before, target)
    assert found >= 1 and sum(told) <= found * target
    assert found >= before or (told and not silent)
    assert replicas_for([value + 1 for value in told], len(told) + silent, before, target) >= found


def test_the_policy_reads_what_replicas_told() -> None:
    told = {IN_FLIGHT: {"a": 9.0, "gone": 90.0}, "other": {"a": 1.0}}
    context = SimpleNamespace(aggregated_metrics=told, running_replicas=["a", "b"], target_num_replicas=2)
    assert InFlightPolicy(target=8)(context) == (2, {})
    context.running_replicas = ["a"]
    assert InFlightPolicy(target=3)(context) == (3, {})
    context.aggregated_metrics = None
    assert InFlightPolicy(target=3)(context) == (2, {})


def test_requests_are_counted_by_the_engines_own_metrics() -> None:
    assert [float(value) for value in COUNTED.findall(METRICS)] == [3.0, 4.0, 1.0]


@dataclass
class Busy:
    """An engine that says this, one after the other."""

    says: list[int | None] = field(default_factory=list)
    alive: bool = True

    def is_alive(self) -> bool:
        return self.alive

    def in_flight(self) -> int | None:
        return self.says.pop(0)


def test_a_replica_that_leaves_waits_until_its_engine_is_idle(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("serving.replica.TURN_SECONDS", 0.001)
    engine: Any = Busy([2, None, 1, 0, 7])
    drain(engine, leaving=0.0)
    assert engine.says == [7]  # silence is not idleness
    monkeypatch.setattr("serving.replica.SILENT_SECONDS", 0.005)
    hung: Any = Busy([1] + [None] * 10_000)
    drain(hung, leaving=0.0)
    assert len(hung.says) > 1000  # not waited for till the end
    dead: Any = Busy([1], alive=False)
    drain(dead, leaving=0.0)
    assert dead.says == [1]
    endless: Any = Busy([1] * 10_000)
    drain(endless, leaving=0.0, most=0.01)
    assert endless.says


def test_a_fixed_number_needs_no_policy() -> None:
    assert _size(Scale(replicas=3)) == {"num_replicas": 3}
    bounds = _size(Scale(replicas=2, most=5, target=7))["autoscaling_config"]
    assert (bounds.min_replicas, bounds.max_replicas, bounds.policy.policy_kwargs) == (2, 5, {"target": 7})


def test_bounds_are_in_order() -> None:
    assert ScaleBlock(replicas=2, max_replicas=4).target_in_flight == 32
    with pytest.raises(ValidationError, match="must not be below"):
        ScaleBlock(replicas=3, max_replicas=2)


@contextmanager
def fleet(tmp_path: Path, public: bytes) -> Iterator[tuple[Fleet, str]]:
    """One replica, two when each has more than two requests; and the name of its base."""
    from tests.serving.busy_engine import BusyReplica

    (tmp_path / "base").mkdir()
    (tmp_path / "base" / "config.json").write_text("{}")
    store = Store(tmp_path / "store")
    settings = ReplicaSettings(
        store=store.url, base=store.put_tree(tmp_path / "base"), public=public, cache=str(tmp_path / "cache"),
        engine=EngineSettings(),
    )  # fmt: skip
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(fleet_module, "Replica", BusyReplica)
        scale = Scale(replicas=1, cpus=0.1, most=2, target=2, up_seconds=1.0, down_seconds=2.0)
        with deployed(settings, scale, None) as running:
            yield running, base_name(settings.base)


class Stream(threading.Thread):
    """A request that an engine answers for as many tenths of a second as `words`."""

    def __init__(self, engine: Status, name: str, words: int):
        super().__init__(daemon=True)
        self.engine, self.text, self.left = engine, "", False
        self._body = {"model": name, "prompt": "?", "max_tokens": words, "stream": True}
        self.start()

    def run(self) -> None:
        headers = {"Authorization": f"Bearer {self.engine.key}"}
        url = f"{self.engine.url}/v1/completions"
        with httpx.stream("POST", url, json=self._body, headers=headers, timeout=30) as answer:
            for piece in answer.iter_text():
                self.text += piece
                if self.left:
                    return


@pytest.mark.fault
def test_replicas_come_with_load_and_leave_when_their_streams_have_ended(tmp_path: Path, world: World) -> None:
    world.publish(routes=(), grants=())
    with fleet(tmp_path, world.signer.public_raw) as (running, name):

        def there() -> list[Status]:
            return running.exchange(world.signed(), seconds=10)

        def took(is_so: Callable[[], bool], seconds: float) -> float:
            begun = time.monotonic()
            wait_until(is_so, seconds)
            return time.monotonic() - begun

        print(f"\nmeasured: the first replica: {took(lambda: len(there()) == 1, 60):.1f} s")
        first = there()[0]
        load = [Stream(first, name, 3000) for _ in range(6)]
        print(f"measured: a second replica under load: {took(lambda: len(there()) == 2, 60):.1f} s")
        engines = there()
        last = [Stream(engine, name, 250) for engine in engines]
        for stream in load:
            stream.left = True
        print(f"measured: one leaves when there is little to do: {took(lambda: len(there()) == 1, 60):.1f} s")
        (kept,) = there()
        (leaving,) = [stream for stream in last if stream.engine.url != kept.url]
        assert leaving.is_alive(), "the stream of the one that leaves had ended too soon to tell"
        for stream in last:
            stream.join(60)
            assert stream.text.endswith("data: [DONE]\n\n")
        print(f"measured: and ends when its stream has: {took(lambda: not answers(leaving.engine), 30):.1f} s")
        assert answers(kept)


def answers(engine: Status) -> bool:
    """Whether the engine's process is there."""
    try:
        return httpx.get(f"{engine.url}/health", timeout=2).status_code == 200
    except httpx.HTTPError:
        return False
