"""`tunegate report NAME@N --fairness` on told candidates: a page, from records alone."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

Run = Callable[..., Any]


def test_a_candidate_without_groups_says_so(told_home: Path, tmp_path: Path, verb: Run) -> None:
    out = tmp_path / "fairness.html"
    done = verb(told_home, "report", "bot@2", "--fairness", "-o", out)
    assert done.returncode == 0, done.stderr
    assert "nothing about groups was measured" in out.read_text()


def test_what_was_not_judged_has_no_report(told_home: Path, verb: Run) -> None:
    done = verb(told_home, "report", "bot@5", "--fairness")
    assert done.returncode == 2
