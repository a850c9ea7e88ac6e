"""A checkpoint: one safetensors file that holds everything a run needs to continue to the same bytes, and no pickle.

It holds the adapter, the optimizer's moments, the losses so far and the digest of the job and its rows. The schedule,
the place in the data and the random numbers are functions of the step and the seed, so the step is enough for them.
The file appears under its name only when it is whole and on the disk; one of another job is never continued.
"""

import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tunegate_core.errors import IntegrityError

KEPT = 2
MOMENTS = ("exp_avg", "exp_avg_sq", "step")
WEIGHT = "weight"


@dataclass(frozen=True)
class Reached:
    """How far a run came: optimizer steps done and the loss of each; `guard` is the digest of the job and its rows."""

    guard: str
    step: int
    losses: tuple[float, ...]


def save(folder: Path, reached: Reached, tensors: dict[str, Any]) -> Path:
    """Write a checkpoint, whole or not at all, and drop all but the newest. Rank 0 only."""
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"step-{reached.step:07d}.safetensors"
    draft = folder / f".{path.name}.{os.getpid()}"
    save_file(tensors, draft, metadata={"reached": json.dumps(asdict(reached))})
    with draft.open("rb+") as written:
        os.fsync(written.fileno())
    draft.replace(path)
    for old in _newest_first(folder)[KEPT:]:
        old.unlink(missing_ok=True)
    return path


def newest(folder: Path, guard: str) -> tuple[Path, Reached] | None:
    """The newest whole checkpoint of this job, or None. Raises IntegrityError for one of another job."""
    from safetensors import SafetensorError, safe_open

    for path in _newest_first(folder):
        try:
            with safe_open(path, framework="pt") as tensors:
                told = json.loads(tensors.metadata()["reached"])
        except (SafetensorError, OSError, KeyError, TypeError, ValueError):
            continue  # damaged after it was written: the one before it will do
        reached = Reached(told["guard"], told["step"], tuple(told["losses"]))
        if reached.guard != guard:
            raise IntegrityError(
                f"{path} belongs to another config or other rows: expected {guard}, found {reached.guard}; remove it"
            )
        return path, reached
    return None


def collect(model: Any, optimizer: Any) -> dict[str, Any]:
    """Trained weights and their moments by name, whole and on the CPU. Every worker must take part."""
    found = {}
    for name, parameter in trained(model):
        found[f"{WEIGHT}/{name}"] = _whole(parameter.detach())
        found.update({f"{key}/{name}": _whole(optimizer.state[parameter][key]) for key in MOMENTS})
    return found


def restore(path: Path, model: Any, optimizer: Any) -> None:
    """Put a checkpoint's weights and moments in place; the exact reverse of `collect`. Every worker reads the file."""
    import torch
    from safetensors.torch import load_file

    tensors = load_file(path)
    with torch.no_grad():
        for name, parameter in trained(model):
            parameter.copy_(_like(tensors[f"{WEIGHT}/{name}"], parameter))
            moments = {key: _like(tensors[f"{key}/{name}"], parameter) for key in MOMENTS if key != "step"}
            optimizer.state[parameter] = {**moments, "step": tensors[f"step/{name}"].to(parameter.device)}


def weights(path: Path) -> dict[str, Any]:
    """The adapter's tensors in a checkpoint."""
    from safetensors.torch import load_file

    start = f"{WEIGHT}/"
    return {name.removeprefix(start): value for name, value in load_file(path).items() if name.startswith(start)}


def trained(model: Any) -> Iterator[tuple[str, Any]]:
    """The parameters that are learnt, by name."""
    return ((name, parameter) for name, parameter in model.named_parameters() if parameter.requires_grad)


def _whole(tensor: Any) -> Any:
    """A plain contiguous copy on the CPU; a tensor split over workers is gathered."""
    full = tensor.full_tensor() if hasattr(tensor, "full_tensor") else tensor
    return full.detach().to("cpu", copy=True).contiguous()


def _like(tensor: Any, parameter: Any) -> Any:
    """The tensor where and as the parameter lies: on its device, split as it is split."""
    moved = tensor.to(parameter.device)
    if not hasattr(parameter, "placements"):
        return moved
    from torch.distributed.tensor import distribute_tensor

    return distribute_tensor(moved, parameter.device_mesh, parameter.placements)


def _newest_first(folder: Path) -> list[Path]:
    return sorted(folder.glob("step-*.safetensors"), reverse=True)
