"""A checkpoint holds all that continues a run to the same bytes, is there whole or not at all, and never a pickle."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from finetune.checkpoint import KEPT, Reached, collect, newest, restore, save, weights
from tunegate_core.errors import IntegrityError

if TYPE_CHECKING:
    import torch


def model_and_optimizer() -> tuple[torch.nn.Module, torch.optim.Optimizer]:
    import torch

    torch.manual_seed(1)
    model = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.Linear(8, 2))
    model[0].requires_grad_(False)
    return model, torch.optim.AdamW([part for part in model.parameters() if part.requires_grad], lr=0.1)


def learn(model: torch.nn.Module, optimizer: torch.optim.Optimizer, steps: int) -> None:
    import torch

    for step in range(steps):
        optimizer.zero_grad()
        model(torch.full((3, 4), float(step + 1))).square().sum().backward()
        optimizer.step()


def reached(step: int, guard: str = "job") -> Reached:
    return Reached(guard, step, tuple(float(at) for at in range(step)))


def test_a_restored_run_goes_on_as_if_nothing_had_happened(tmp_path: Path) -> None:
    import torch

    model, optimizer = model_and_optimizer()
    learn(model, optimizer, 3)
    path = save(tmp_path, reached(3), collect(model, optimizer))
    learn(model, optimizer, 3)
    other, its_optimizer = model_and_optimizer()
    restore(path, other, its_optimizer)
    assert torch.equal(weights(path)["1.weight"], other[1].weight)
    learn(other, its_optimizer, 3)
    for one, two in zip(model.parameters(), other.parameters(), strict=True):
        assert torch.equal(one, two)


def test_the_newest_are_kept_and_the_newest_is_found(tmp_path: Path) -> None:
    import torch

    for step in (2, 10, 4, 8):
        save(tmp_path, reached(step), {"weight/a": torch.zeros(1)})
    found = newest(tmp_path, "job")
    assert found is not None
    assert found[1] == reached(10)
    assert len(list(tmp_path.iterdir())) == KEPT


def test_a_damaged_one_is_passed_over(tmp_path: Path) -> None:
    import torch

    save(tmp_path, reached(2), {"weight/a": torch.zeros(1)})
    save(tmp_path, reached(4), {"weight/a": torch.zeros(1)}).write_bytes(b"\x00" * 40)
    found = newest(tmp_path, "job")
    assert found is not None
    assert found[1].step == 2


def test_one_of_another_job_is_never_continued(tmp_path: Path) -> None:
    import torch

    save(tmp_path, reached(2, guard="other"), {"weight/a": torch.zeros(1)})
    with pytest.raises(IntegrityError, match="belongs to another config"):
        newest(tmp_path, "job")


def test_nothing_is_found_where_nothing_was_saved(tmp_path: Path) -> None:
    assert newest(tmp_path / "none", "job") is None
