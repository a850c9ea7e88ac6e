"""One engine under Ray Serve: placed, watched and replaced by Ray, asked directly by the gateway.

Ray's own proxy and handles are not in the path of a request. Replicas take signed snapshots, verify them and each
adapter themselves, and bring the engine to what the newest one grants: load, probe, unload. An engine that dies fails
the health check, and Ray starts another replica.

A replica is announced when it has taken its first snapshot, so that no request meets one that is still loading. One
that is taken away leaves the board first, and ends when its engine has nothing to do any more.
"""

import threading
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from serving.admission import admit
from serving.board import NAME, NAMESPACE, Status
from serving.engine import Engine, EngineSettings
from serving.scaling import IN_FLIGHT
from tunegate_core.canonical import Digest
from tunegate_core.errors import TunegateError
from tunegate_core.snapshot import Grant, Snapshot, base_name, engine_name, verify_snapshot
from tunegate_core.store import Store

TURN_SECONDS = 0.2
LEAVING_SECONDS = 2.0  # until every gateway has noticed
SILENT_SECONDS = 20.0
DRAIN_SECONDS = 600.0  # as long as a gateway lets an answer take


@dataclass(frozen=True)
class ReplicaSettings:
    """What a replica is given when it is placed. `base` is the base's tree; `public` the ledger's raw public key.

    `host` is where its engine listens; None: at the address by which the machine is known to the cluster, so that a
    gateway on another machine reaches it.
    """

    store: str
    base: Digest
    public: bytes
    cache: str
    engine: EngineSettings
    host: str | None = "127.0.0.1"


class Replica:
    """The class that Ray Serve deploys."""

    def __init__(self, settings: ReplicaSettings):
        import ray
        from ray import serve

        keep_to_loopback()
        self._settings = settings
        self._id = serve.get_replica_context().replica_tag
        self._store = Store(settings.store)
        cache = Path(settings.cache) / "replicas" / self._id.replace("#", "-").replace("/", "-")
        self._adapters = cache / "adapters"
        folder = self._store.materialise(settings.base, Path(settings.cache) / "bases" / base_name(settings.base))
        chosen = replace(settings.engine, folder=str(folder), name=base_name(settings.base))
        host = settings.host or ray.util.get_node_ip_address()
        self._engine = Engine(chosen, cache / "engine.log", host)
        self._snapshot = Snapshot(epoch=0)
        self._loaded: set[str] = set()
        self._refused: dict[str, str] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._keep, daemon=True)
        self._engine.start()
        self._engine.wait()
        self._board: Any = ray.get_actor(NAME, NAMESPACE)
        self._thread.start()

    def check_health(self) -> None:
        """Called by Ray; raising replaces this replica."""
        if not self._engine.is_alive() or not self._thread.is_alive():
            raise RuntimeError("the engine has ended")

    def status(self) -> Status:
        """How it is now."""
        return Status(
            replica=self._id,
            url=self._engine.url,
            key=self._engine.key,
            epoch=self._snapshot.epoch,
            ready=frozenset({base_name(self._settings.base), *self._loaded}),
            refused=dict(self._refused),
        )

    def record_autoscaling_stats(self) -> dict[str, float]:
        """Called by Ray, which scales by it; nothing while the engine does not say."""
        found = self._engine.in_flight()
        return {} if found is None else {IN_FLIGHT: float(found)}

    def __del__(self) -> None:
        """Called by Ray when this replica is taken away: nothing new, then nothing under way, then nothing."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(10)
            drain(self._engine)
        self._engine.close()

    def _keep(self) -> None:
        import ray

        while not self._stop.is_set():
            try:
                told = self._board.report.remote(self.status()) if self._snapshot.epoch else self._board.newest.remote()
                if data := ray.get(told, timeout=5):
                    self._take(data)
            except ray.exceptions.RayError:
                pass  # the board is being started again; what was verified goes on answering
            self._stop.wait(TURN_SECONDS)
        ray.get(self._board.leave.remote(self._id), timeout=5)

    def _take(self, data: bytes) -> None:
        """Bring the engine to what a newer snapshot grants: what it withdraws first, then what it adds."""
        try:
            snapshot = verify_snapshot(data, self._settings.public, self._snapshot.epoch)
        except TunegateError as error:
            self._refused["snapshot"] = str(error)
            return
        self._refused.pop("snapshot", None)
        if snapshot.digest() == self._snapshot.digest():
            return
        self._snapshot = snapshot
        wanted = {engine_name(grant): grant for grant in routed(snapshot) if grant.base == self._settings.base}
        for name in self._loaded - wanted.keys():
            self._loaded.discard(name)
            self._engine.unload(name)
        for name, grant in wanted.items():
            self._add(name, grant)

    def _add(self, name: str, grant: Grant) -> None:
        if name in self._loaded:
            return
        try:
            folder = admit(grant, self._settings.base, self._store, self._settings.public, self._adapters)
            self._engine.load(name, folder)
        except TunegateError as error:
            self._refused[grant.subject] = str(error)
            return
        if self._engine.probe(name):
            self._loaded.add(name)
            self._refused.pop(grant.subject, None)


def drain(engine: Engine, leaving: float = LEAVING_SECONDS, most: float = DRAIN_SECONDS) -> None:
    """Wait until an engine that nobody is sent to any more has answered what it was asked.

    Silence is not idleness; but an engine that says nothing for a while has hung, and is not waited for.
    """
    if engine.is_alive():
        time.sleep(leaving)
    heard = time.monotonic()
    until = heard + most
    while engine.is_alive() and (left := engine.in_flight()) != 0 and time.monotonic() < until:
        heard = heard if left is None else time.monotonic()
        if time.monotonic() - heard > SILENT_SECONDS:
            return
        time.sleep(TURN_SECONDS)


def keep_to_loopback() -> None:
    """Ray Serve opens a port for calls between deployments, at every address of the machine, and unpickles what comes
    there. None are made here, so it opens at loopback. (Ray has no setting for it; a test looks at what listens.)
    """
    from ray.serve._private import replica

    bind: Any = replica.add_port_to_grpc_server

    def bind_loopback(server: Any, _: str) -> Any:
        return bind(server, "127.0.0.1:0")

    replica.add_port_to_grpc_server = bind_loopback


def routed(snapshot: Snapshot) -> list[Grant]:
    """The versions that a route names as champion, canary or shadow."""
    granted = snapshot.grant_by_subject()
    named = [part for route in snapshot.routes for part in (route.champion, route.canary, route.shadow) if part]
    return [granted[subject] for subject in dict.fromkeys(named)]
