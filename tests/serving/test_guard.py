"""A guarded command does not outlive its parent, whatever ends the parent, nor leave its own children."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

# Starts a child of its own, writes both ids, and ignores a polite request to end.
STUBBORN = (
    "import os, signal, subprocess, sys, time\n"
    "signal.signal(signal.SIGTERM, signal.SIG_IGN) if sys.argv[2] == 'stubborn' else None\n"
    "child = subprocess.Popen(['sleep', '600'])\n"
    "open(sys.argv[1], 'w').write(f'{os.getpid()} {child.pid}')\n"
    "time.sleep(600)\n"
)


def started(path: Path) -> list[int]:
    deadline = time.monotonic() + 30
    while not (path.exists() and len(path.read_text().split()) == 2):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return [int(pid) for pid in path.read_text().split()]


def is_running(pid: int) -> bool:
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[:1]
    except FileNotFoundError:
        return False


@pytest.mark.parametrize("manner", ["polite", "stubborn"])
def test_it_ends_with_its_parent(manner: str, tmp_path: Path) -> None:
    command = [sys.executable, "-c", STUBBORN, str(tmp_path / "pids"), manner]
    guard = subprocess.Popen(
        [sys.executable, "-c", f"import serving.guard as g, sys; g.DRAIN_SECONDS = 1; sys.exit(g.main({command!r}))"],
        stdin=subprocess.PIPE,
        start_new_session=True,
        cwd=Path(__file__).parents[2],
    )
    pids = started(tmp_path / "pids")
    assert guard.stdin is not None
    guard.stdin.close()  # what the kernel does when the parent dies
    guard.wait(timeout=30)
    deadline = time.monotonic() + 10
    while any(is_running(pid) for pid in pids) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(is_running(pid) for pid in pids)


def test_it_returns_the_status_of_its_command() -> None:
    command = [sys.executable, "-m", "serving.guard", sys.executable, "-c", "raise SystemExit(7)"]
    guard = subprocess.Popen(command, stdin=subprocess.PIPE, cwd=Path(__file__).parents[2])
    with guard:
        assert guard.wait(timeout=30) == 7
