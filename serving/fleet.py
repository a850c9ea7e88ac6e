"""Replicas under Ray Serve, from the outside: started, told what is granted, listed, and ended with nothing left.

The only file besides `serving.replica` that knows Ray. A private cluster binds to loopback, keeps its files in a folder
of its own, and is the only one that is ever stopped; at a named address only this application is removed.
"""

import contextlib
import logging
import os
import shutil
import signal
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from serving.board import NAME, NAMESPACE, Board, Status
from serving.replica import DRAIN_SECONDS, Replica, ReplicaSettings
from tunegate_core.errors import ResourcesUnavailable

APPLICATION = "tunegate"
OBJECT_STORE_BYTES = 100_000_000
LOOK_BACK_SECONDS = 11.0  # Ray wants it above its default interval of 10
SETTINGS = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_prestart_worker_first_driver": "0",
    "RAY_worker_niceness": "0",
    "RAY_SERVE_REPLICA_AUTOSCALING_METRIC_PUSH_INTERVAL_S": "2",
}
# Ray takes 127.0.0.1 for "find out the outer address" and listens on that, and on all others, unless it is told that
# there will never be a second machine; its name for that is of the systems where that is the rule.
LOOPBACK = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}


@dataclass(frozen=True)
class Scale:
    """How many replicas, and what Ray reserves for each.

    With `most` above `replicas` there are more while each has over `target` requests to do: `up_seconds` after that
    began, and until `down_seconds` after it ended.
    """

    replicas: int = 1
    cpus: float = 1.0
    gpus: float = 0.0
    most: int = 1
    target: int = 32
    up_seconds: float = 10.0
    down_seconds: float = 300.0


class Fleet:
    """What is deployed. `exchange` is called by the gateway a few times a second."""

    def __init__(self, board: Any):
        self._board = board

    def exchange(self, snapshot: bytes, seconds: float = 2.0) -> list[Status]:
        """Leave the newest snapshot; get every replica that was heard of lately. Raises ResourcesUnavailable."""
        import ray

        try:
            found: list[Status] = ray.get(self._board.publish.remote(snapshot), timeout=seconds)
        except ray.exceptions.RayError as error:
            raise ResourcesUnavailable(f"the replicas can't be asked: {type(error).__name__}") from error
        return found


@contextmanager
def deployed(settings: ReplicaSettings, scale: Scale, address: str | None) -> Iterator[Fleet]:
    """Replicas for the length of the block. Raises ResourcesUnavailable when the cluster can't give them."""
    with connected(address):
        import ray
        from ray import serve

        logging.getLogger("ray.serve").setLevel(logging.WARNING)
        _refuse_what_is_not_there(scale, ray.cluster_resources())
        serve.start(proxy_location="Disabled", logging_config={"enable_access_log": False, "log_level": "WARNING"})
        board = _board()
        try:
            serve.run(application(settings, scale), name=APPLICATION, route_prefix=None, blocking=False)
            yield Fleet(board)
        finally:
            _remove(board)


def _board() -> Any:
    import ray

    options = {"name": NAME, "namespace": NAMESPACE, "get_if_exists": True, "num_cpus": 0}
    actor: Any = ray.remote(Board)
    return actor.options(**options, max_restarts=-1, max_task_retries=3).remote()


def _remove(board: Any) -> None:
    import ray
    from ray import serve

    with contextlib.suppress(Exception):  # a cluster that is gone has nothing to be removed from
        serve.delete(APPLICATION)
        ray.kill(board)


def application(settings: ReplicaSettings, scale: Scale) -> Any:
    """The Serve application: one deployment, without a proxy."""
    from ray import serve

    options = {"num_cpus": scale.cpus, "num_gpus": scale.gpus}
    deployment: Any = serve.deployment(
        name="engine",
        ray_actor_options=options,
        health_check_period_s=1.0,
        health_check_timeout_s=10.0,
        graceful_shutdown_timeout_s=DRAIN_SECONDS + 60,
        **_size(scale),
    )(Replica)
    return deployment.bind(settings)


def _size(scale: Scale) -> dict[str, Any]:
    """A fixed number of replicas, or bounds with our policy between them."""
    if scale.most <= scale.replicas:
        return {"num_replicas": scale.replicas}
    from ray.serve.config import AutoscalingConfig, AutoscalingPolicy

    policy = AutoscalingPolicy(policy_function="serving.scaling:InFlightPolicy", policy_kwargs={"target": scale.target})
    bounds = AutoscalingConfig(
        min_replicas=scale.replicas,
        max_replicas=scale.most,
        look_back_period_s=LOOK_BACK_SECONDS,
        aggregation_function="max",  # load is believed at once, idleness when it lasts
        upscale_delay_s=scale.up_seconds,
        downscale_delay_s=scale.down_seconds,
        policy=policy,
    )
    return {"autoscaling_config": bounds}


@contextmanager
def connected(address: str | None) -> Iterator[None]:
    """A Ray connection; a private cluster is gone after the block, whatever happened in it."""
    chosen = SETTINGS if address else SETTINGS | LOOPBACK
    os.environ.update({key: value for key, value in chosen.items() if key not in os.environ})
    import ray

    handlers = {}
    if threading.current_thread() is threading.main_thread():
        handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    # Unix sockets allow 107 characters, so the folder's name is short.
    folder = None if address else tempfile.mkdtemp(prefix="tg-", dir="/tmp" if os.path.isdir("/tmp") else None)
    try:
        _connect(address, folder)
        for number, handler in handlers.items():
            signal.signal(number, handler)
        yield
    finally:
        ray.shutdown()
        for number, handler in handlers.items():
            signal.signal(number, handler)
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)


def _connect(address: str | None, folder: str | None) -> None:
    import ray

    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR, "namespace": NAMESPACE}
    try:
        if address is not None:
            ray.init(address=address, **quiet)
        else:
            ray.init(
                address="local",
                include_dashboard=False,
                object_store_memory=OBJECT_STORE_BYTES,
                _temp_dir=folder,
                _node_ip_address="127.0.0.1",
                **quiet,
            )
    except Exception as error:  # Ray raises a bare Exception when it does not start in its 30 seconds
        where = f"at {address}" if address else "on this machine"
        raise ResourcesUnavailable(f"no Ray cluster {where}: {error}") from error


def _refuse_what_is_not_there(scale: Scale, there: dict[str, float]) -> None:
    for name, wanted in (("CPU", scale.cpus * scale.replicas), ("GPU", scale.gpus * scale.replicas)):
        if wanted > there.get(name, 0):
            raise ResourcesUnavailable(
                f"{scale.replicas} replicas take {wanted:g} {name}s; the cluster has {there.get(name, 0):g}; "
                "ask for fewer, or give the --address of a larger cluster"
            )
