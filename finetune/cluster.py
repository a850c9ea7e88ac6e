"""The Ray cluster that training runs on: a private one that ends with the run, or one that is named.

A private cluster binds to loopback, has no dashboard, keeps its files in a folder of its own and is the only one that
is ever stopped; another Ray on the machine is neither used nor touched unless its address is given.
"""

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

from tunegate_core.config import ParallelBlock
from tunegate_core.errors import ResourcesUnavailable

OBJECT_STORE_BYTES = 150_000_000
START_ATTEMPTS = 3  # a busy machine may not start Ray within the time that Ray gives itself
SETTINGS = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_TRAIN_V2_ENABLED": "1",
    "RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S": "60",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_prestart_worker_first_driver": "0",  # idle workers that no training would use
    "RAY_worker_niceness": "0",  # Ray's default of 15 starves training beside anything else
}
# Ray takes 127.0.0.1 for "find out the outer address" and listens there too, unless there can be no second machine.
LOOPBACK = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}


@dataclass(frozen=True)
class Resources:
    """What a cluster has free."""

    cpus: float
    gpus: float


@dataclass(frozen=True)
class Placement:
    """What each worker gets."""

    workers: int
    gpu: bool
    cpus: int
    gpus: int


def available(address: str | None) -> Resources:
    """What the cluster at an address has, or this machine when there is none. Raises ResourcesUnavailable."""
    if address is None:
        return Resources(cpus=float(local_cpus()), gpus=float(local_gpus()))
    with running(address):
        import ray

        free = ray.available_resources()
        return Resources(cpus=float(free.get("CPU", 0)), gpus=float(free.get("GPU", 0)))


def place(block: ParallelBlock, resources: Resources, asking: str = "finetune.parallel") -> Placement:
    """What each worker gets; `asking`: the part of the config that wants it. Raises ResourcesUnavailable, at once, for
    what would otherwise be waited for in vain."""
    gpu = block.device == "gpu" or (block.device == "auto" and resources.gpus >= block.workers * block.gpus_per_worker)
    gpus = block.gpus_per_worker if gpu else 0
    shared = max(1, int(resources.cpus) // block.workers)
    cpus = shared if block.cpus_per_worker == "auto" else block.cpus_per_worker
    asked = f"{block.workers} workers with {cpus} CPUs" + (f" and {gpus} GPUs" if gpu else "")
    if block.workers * cpus > resources.cpus or block.workers * gpus > resources.gpus:
        raise ResourcesUnavailable(
            f"{asking} asks for {asked} each; the cluster has {resources.cpus:g} CPUs and "
            f"{resources.gpus:g} GPUs free; ask for fewer workers, or give the --address of a larger cluster"
        )
    return Placement(workers=block.workers, gpu=gpu, cpus=cpus, gpus=gpus)


@contextmanager
def running(address: str | None) -> Iterator[None]:
    """A Ray connection for the length of the block; a private cluster is gone after it, whatever happened inside."""
    chosen = SETTINGS if address else SETTINGS | LOOPBACK
    os.environ.update({key: value for key, value in chosen.items() if key not in os.environ})
    import ray

    handlers = current_handlers()
    # Unix sockets allow 107 characters, so the folder's name is short.
    folder = None if address else tempfile.mkdtemp(prefix="tg-", dir="/tmp" if os.path.isdir("/tmp") else None)
    try:
        connect(address, folder)
        restore(handlers)  # Ray's own would end this process without ending the cluster
        yield
    finally:
        ray.shutdown()
        restore(handlers)
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)


def connect(address: str | None, folder: str | None) -> None:
    """Attach to the cluster at an address, or start a private one in a folder. Raises ResourcesUnavailable."""
    import ray

    if address is not None:
        try:
            ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
        except ConnectionError as error:
            raise ResourcesUnavailable(f"no Ray cluster answers at {address}: {error}") from error
        return
    for attempt in range(START_ATTEMPTS):
        try:
            ray.init(
                address="local",
                num_cpus=local_cpus(),
                num_gpus=local_gpus(),
                include_dashboard=False,
                object_store_memory=OBJECT_STORE_BYTES,
                log_to_driver=False,
                logging_level=logging.ERROR,
                _temp_dir=folder,
                _node_ip_address="127.0.0.1",
            )
            return
        except Exception as error:  # Ray raises a bare Exception when it does not start in its 30 seconds
            ray.shutdown()
            if attempt + 1 == START_ATTEMPTS:
                raise ResourcesUnavailable(f"Ray did not start on this machine: {error}") from error


def current_handlers() -> dict[signal.Signals, Any]:
    """What happens on Ctrl-C and SIGTERM now, which Ray will change; empty outside the main thread, where it can't."""
    if threading.current_thread() is not threading.main_thread():
        return {}
    return {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}


def restore(handlers: dict[signal.Signals, Any]) -> None:
    """Put back what happens on a signal."""
    for number, handler in handlers.items():
        signal.signal(number, handler)


def local_cpus() -> int:
    """The CPUs this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def local_gpus() -> int:
    """The GPUs this machine has."""
    import torch

    return int(torch.cuda.device_count())
