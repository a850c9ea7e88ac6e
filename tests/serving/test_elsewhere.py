"""Replicas on a Ray cluster that somebody else runs: they answer there, and nothing but them is taken away after."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from serving import fleet as fleet_module
from serving.engine import EngineSettings
from serving.fleet import Scale, deployed
from serving.replica import ReplicaSettings
from tests.conftest import REPOSITORY
from tests.serving.conftest import World, wait_until
from tests.serving.fake_engine import FakedReplica
from tests.serving.test_fleet_faults import Adapters, text_of
from tunegate_core.snapshot import Route

pytestmark = [pytest.mark.fault, pytest.mark.timeout(180)]
CLUSTER = """
import ray, sys
there = ray.init(address="local", num_cpus=2, include_dashboard=False, object_store_memory=100_000_000,
                 logging_level="ERROR").address_info

@ray.remote(num_cpus=0)
class Theirs:
    def answer(self):
        return "still here"

theirs = Theirs.remote()
ray.get(theirs.answer.remote())
print(there["address"], there["node_ip_address"], flush=True)
for _ in sys.stdin:
    print(ray.get(theirs.answer.remote(), timeout=20), flush=True)
"""


class Cluster:
    """Somebody else's Ray, with an actor of theirs."""

    def __init__(self, process: "subprocess.Popen[str]"):
        self._process = process
        self.address, self.node = self._read().split()

    def lives(self) -> bool:
        """Whether their actor answers as before."""
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        return self._read() == "still here"

    def _read(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    monkeypatch.setenv("RAY_AUTH_MODE", "token")  # as Ray starts clusters; whoever joins one says so
    env = os.environ | {"PYTHONPATH": str(REPOSITORY)}
    command = [sys.executable, "-c", CLUSTER]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env) as running:
        yield Cluster(running)


def test_a_cluster_of_others_is_used_and_left_as_it_was(
    cluster: Cluster, tmp_path: Path, signer: Any, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    adapters = Adapters(tmp_path, signer)
    settings = ReplicaSettings(
        store=adapters.store.url,
        base=adapters.base,
        public=signer.public_raw,
        cache=str(tmp_path / "cache"),
        engine=EngineSettings(),
        host=None,
    )
    monkeypatch.setattr(fleet_module, "Replica", FakedReplica)
    world.publish(routes=(Route(alias="bot", champion="bot@1"),), grants=tuple(adapters.grants.values()))
    with deployed(settings, Scale(cpus=0.1), cluster.address) as fleet:
        with world.gateway(exchange=fleet.exchange, load_seconds=8.0) as gateway:
            wait_until(lambda: gateway.http.get("/readyz").status_code == 200, 60)
            assert text_of(gateway.chat(stream=True).text) == adapters.words["bot@1"]
            (engine,) = gateway.desk.replicas.known
            assert urlsplit(engine.url).hostname == cluster.node  # where a gateway on another machine can reach it
        assert cluster.lives()
    assert cluster.lives()
    wait_until(lambda: not is_there(engine.url), 30)


def is_there(url: str) -> bool:
    """Whether an engine answers."""
    try:
        return httpx.get(f"{url}/health", timeout=2).status_code == 200
    except httpx.HTTPError:
        return False
