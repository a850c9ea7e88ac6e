"""Who answers the batches of an examination: this process, one of its own, or several workers over Ray.

What a batch is depends on the requests alone, and each answer on its batch alone, so it is nothing to the result who
answered which, in what order, or how many there were (but for the last digits, where workers have fewer threads).
Batches are kept by who asks (`eval.asking`), so that workers that die, machines that go and a killed examination lose
the batches under way and no more.
"""

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import connection, get_context, parent_process
from typing import TYPE_CHECKING, Any

from eval.backend import Backend, Setup, kind_of
from tunegate_core.errors import ResourcesUnavailable
from tunegate_core.ports import Cluster
from tunegate_core.records import Arm

if TYPE_CHECKING:
    from eval.packing import Question

RESTARTS = 2  # of a worker that died


@dataclass(frozen=True)
class Scoring:
    """Questions with given answers, for one arm."""

    arm: Arm
    questions: "tuple[Question, ...]"

    def by(self, backend: Backend) -> list[Any]:
        """The likelihood of every answer."""
        return backend.score(self.arm, self.questions)


@dataclass(frozen=True)
class Saying:
    """Prompts to be answered in words, for one arm."""

    arm: Arm
    prompts: tuple[str, ...]
    settings: dict[str, Any]

    def by(self, backend: Backend) -> list[Any]:
        """The answers' texts, each with whether it was cut off."""
        return backend.say(self.arm, self.prompts, dict(self.settings))


Batch = Scoring | Saying
Crew = Callable[[Sequence[Batch]], Iterator[tuple[int, list[Any]]]]  # gives (which, answers) as they are finished


@dataclass(frozen=True)
class Spread:
    """Several workers, on the cluster that `cluster` gives."""

    workers: int
    cluster: Cluster


@contextmanager
def crew(backend: str, setup: Setup, spread: Spread | None) -> Iterator[Crew]:
    """Who answers, for the length of a block; base and adapters are loaded before it begins. Raises BadInput,
    IntegrityError or ResourcesUnavailable."""
    if spread is not None:
        with spread.cluster(spread.workers) as share:
            yield _over_ray(backend, setup, spread.workers, {"num_cpus": share.cpus, "num_gpus": share.gpus})
    elif kind_of(backend).apart:
        with _apart(backend, setup) as answer:
            yield answer
    else:
        worker = Worker(backend, setup)
        worker.open()
        yield lambda batches: (worker.answer(at, batch) for at, batch in enumerate(batches))


class Worker:
    """A backend, loaded when it is first needed: by this process, or by an actor that may be started again."""

    def __init__(self, backend: str, setup: Setup):
        self._name, self._setup = backend, setup
        self._backend: Backend | None = None

    def open(self) -> Backend:
        """Load base and adapters, once."""
        if self._backend is None:
            self._backend = kind_of(self._name).open(self._setup)
        return self._backend

    def ready(self) -> None:
        """Load base and adapters, and give nothing back."""
        self.open()

    def answer(self, at: int, batch: Batch) -> tuple[int, list[Any]]:
        """Answer one batch."""
        return at, batch.by(self.open())


def _over_ray(backend: str, setup: Setup, workers: int, share: dict[str, Any]) -> Crew:
    import ray
    from ray.util import ActorPool

    options = {**share, "max_restarts": RESTARTS, "max_task_retries": RESTARTS}
    remote: Any = ray.remote(Worker)
    actors = [remote.options(**options).remote(backend, setup) for _ in range(workers)]
    with _ray_errors():
        ray.get([actor.ready.remote() for actor in actors])

    def answer(batches: Sequence[Batch]) -> Iterator[tuple[int, list[Any]]]:
        pool = ActorPool(actors)
        with _ray_errors():
            yield from pool.map_unordered(lambda actor, asked: actor.answer.remote(*asked), list(enumerate(batches)))

    return answer


@contextmanager
def _ray_errors() -> Iterator[None]:
    """What a worker raised as it raised it, and a worker that is gone as our error."""
    from ray.exceptions import RayActorError, RayTaskError

    try:
        yield
    except RayTaskError as error:
        raise (error.cause if isinstance(error.cause, Exception) else error) from None
    except RayActorError as error:
        raise ResourcesUnavailable(
            f"a worker of the evaluation died more than {RESTARTS} times; what was answered is kept, and the same "
            f"command goes on; ask for fewer workers or a smaller eval.batch_size if memory ran out: {error}"
        ) from error


@contextmanager
def _apart(backend: str, setup: Setup) -> Iterator[Crew]:
    """One process beside this one, which ends when this one does, in whatever way."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn"), initializer=_begin, initargs=(backend, setup)) as pool:

        def answer(batches: Sequence[Batch]) -> Iterator[tuple[int, list[Any]]]:
            for at, batch in enumerate(batches):
                yield _result(pool, _answer, at, batch)

        _result(pool, _ready)
        yield answer


def _result(pool: ProcessPoolExecutor, work: Callable[..., Any], *arguments: Any) -> Any:
    try:
        return pool.submit(work, *arguments).result()
    except BrokenProcessPool as error:
        raise ResourcesUnavailable(
            "the engine's process ended without a word, as it does where memory runs out; what was answered is kept, "
            "and the same command goes on; a smaller eval.batch_size needs less"
        ) from error


_worker: list[Worker] = []  # of a process of its own


def _begin(backend: str, setup: Setup) -> None:
    parent = parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent.sentinel,), daemon=True).start()
    _worker.append(Worker(backend, setup))


def _end_with(parent: Any) -> None:
    connection.wait([parent])
    os._exit(1)


def _ready() -> None:
    _worker[0].ready()


def _answer(at: int, batch: Batch) -> tuple[int, list[Any]]:
    return _worker[0].answer(at, batch)
