"""What scores is refused before training when it isn't there."""

from importlib import metadata
from pathlib import Path

import pytest

from tunegate.house import House
from tunegate.workers import spread, verify_scoring
from tunegate_core.config import EvalBlock, TaskBlock
from tunegate_core.errors import ConfigError, ResourcesUnavailable

TASK = TaskBlock(name="facts", questions="facts.jsonl")


def test_an_engine_that_is_not_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> str:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr("eval.backend.version", missing)
    verify_scoring(House(tmp_path, "sqlite://"), EvalBlock(tasks=(TASK,)))
    with pytest.raises(ConfigError, match=r"eval\.backend: 'vllm' needs vllm"):
        verify_scoring(House(tmp_path, "sqlite://"), EvalBlock(tasks=(TASK,), backend="vllm"))


def test_more_workers_than_there_is_room_for(tmp_path: Path) -> None:
    with pytest.raises(ResourcesUnavailable, match=r"eval\.workers asks for 1000 workers"):
        verify_scoring(House(tmp_path, "sqlite://"), EvalBlock(tasks=(TASK,), workers=1000))


def test_one_process_unless_told(tmp_path: Path) -> None:
    assert spread(House(tmp_path, "sqlite://"), {"batch_size": 16}) is None
    told = spread(House(tmp_path, "sqlite://"), {"workers": 2})
    assert told is not None
    assert told.workers == 2
