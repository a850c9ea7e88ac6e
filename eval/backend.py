"""The seam of `eval.backends`: what holds the base with its adapters and does the arithmetic. One file a backend.

What is asked, how it is encoded, cut into batches, kept and scored is the same for every backend (`eval.asking`). A
backend answers one batch for one arm at a time; where it runs, here, in a process of its own or on several workers, is
not its business (`eval.crew`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from tunegate_core import registry
from tunegate_core.errors import ConfigError
from tunegate_core.records import Arm

if TYPE_CHECKING:
    from eval.model import Precision
    from eval.packing import Question

BACKENDS = "eval.backends"
ROWS_PER_QUESTION = 4  # a question of the usual four choices is as many rows, or requests
Answer = tuple[float, bool]  # log-likelihood (nats), and whether greedy decoding would say just this
Words = tuple[str, bool]  # an answer's text, and whether it was cut off: it reached the most tokens without an end


@dataclass(frozen=True)
class Setup:
    """What a backend holds. `batch_size`: questions that are asked at once."""

    base_folder: Path
    adapters: Mapping[Arm, Path]
    precision: "Precision"
    batch_size: int


class Backend(Protocol):
    """The base and the adapters in memory."""

    def score(self, arm: Arm, batch: Sequence["Question"]) -> list[Answer]:
        """For every answer of every question, in order. What does not fit the model is never handed over."""
        ...

    def say(self, arm: Arm, prompts: Sequence[str], settings: dict[str, Any]) -> list[Words]:
        """What the arm says to rendered prompts; `settings` as the harness gives them. What does not fit: an empty
        text. Raises BadInput for settings that the backend has not."""
        ...


class Kind(Protocol):
    """A plug-in. `libraries`: for each, the names under which it is distributed; `apart`: wants its own process."""

    @property
    def libraries(self) -> tuple[tuple[str, ...], ...]:
        """For each library that shapes an answer, the names of the distributions that bring it."""
        ...

    @property
    def apart(self) -> bool:
        """Whether it changes its process so much that it gets one of its own."""
        ...

    def open(self, setup: Setup) -> Backend:
        """Load base and adapters. Raises BadInput or IntegrityError for what does not fit."""
        ...


def kind_of(name: str) -> Kind:
    """The backend of that name."""
    kind: Kind = registry.load(BACKENDS, name)
    return kind


def versions(name: str) -> dict[str, str]:
    """The versions of a backend's libraries, without importing them. Raises ConfigError for one that is missing."""
    return {names[0]: _version(name, names) for names in kind_of(name).libraries}


def _version(backend: str, names: tuple[str, ...]) -> str:
    for name in names:
        try:
            return version(name)
        except PackageNotFoundError:
            continue
    raise ConfigError(
        f"eval.backend: '{backend}' needs {' or '.join(names)}, which is not installed; install it "
        "(docs/evaluation.md, Backends), or take the backend 'transformers'"
    )
