"""What scores: the engine a config names, and the workers that share its items on the cluster that training runs on."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from tunegate.house import House
from tunegate_core.config import EvalBlock, ParallelBlock
from tunegate_core.ports import Share

if TYPE_CHECKING:
    from eval.crew import Spread


def verify_scoring(house: House, block: EvalBlock) -> None:
    """Raise ConfigError for an engine that is not installed and ResourcesUnavailable for more workers than there is
    room for, before anything is trained."""
    from eval.backend import versions

    if block.backend != "transformers":  # which is always there
        versions(block.backend)
    if block.workers > 1:
        _share(house, block.workers)


def spread(house: House, block: dict[str, Any]) -> "Spread | None":
    """Who shares the items, by a planned `eval` block: None for this machine's one process."""
    from eval.crew import Spread

    workers = block.get("workers", 1)  # plans made before there was a choice lack it
    if workers == 1:
        return None

    @contextmanager
    def cluster(workers: int) -> Iterator[Share]:
        from finetune.cluster import running

        share = _share(house, workers)
        with running(house.address):
            yield share

    return Spread(workers, cluster)


def _share(house: House, workers: int) -> Share:
    from finetune.cluster import available, place

    placement = place(ParallelBlock(workers=workers), available(house.address), asking="eval.workers")
    return Share(cpus=placement.cpus, gpus=placement.gpus)
