"""A run's stages are told to other processes, now and then, and never at the price of the run."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tunegate import progress
from tunegate.house import House
from tunegate.progress import Journal, watched


def test_a_stage_is_told_when_it_starts_now_and_then_and_when_it_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    passed: list[Any] = []
    seconds = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: seconds[0])
    journal = Journal(
        lambda *args, **figures: passed.append((args, figures)), tmp_path / "j", lambda: datetime.now(UTC)
    )
    for done in range(101):
        seconds[0] += 0.125
        journal("training", done, 100, loss=1.5)
    told = [json.loads(line) for line in (tmp_path / "j").read_text().splitlines()]
    assert len(passed) == 101
    assert [line["done"] for line in told] == [0, 40, 80, 100]
    assert told[0].keys() == {"at", "stage", "done", "total", "loss"}


def test_a_journal_that_can_not_be_written_stops_nothing(tmp_path: Path) -> None:
    journal = Journal(lambda *args, **figures: None, tmp_path / "absent" / "j", lambda: datetime.now(UTC))
    journal("training", 0, 1)


def test_a_run_is_told_as_long_as_it_is_worked_on(home: Path) -> None:
    house = House(home, f"sqlite:///{home / 'ledger.sqlite'}")
    with house.working_on("bot@1"):
        house.progress("sealing", 1, 1)
    house.progress("later", 1, 1)
    assert [json.loads(line)["stage"] for line in house.journal("bot@1").read_text().splitlines()] == ["sealing"]


def test_a_log_tells_of_a_stage_once_in_every_run(capsys: pytest.CaptureFixture[str]) -> None:
    """Two releases one after another have stages of one name."""
    with watched() as port:
        for _ in range(2):
            for done in (0, 1, 2, 2):
                port("training", done, 2)
    assert capsys.readouterr().err.splitlines() == ["training: started", "training: done"] * 2
