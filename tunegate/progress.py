"""Progress that a person sees: one bar per stage, on the error stream, so that output stays clean for scripts."""

import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from tunegate_core.ports import Clock
from tunegate_core.ports import Progress as ProgressPort

LINE_SECONDS = 30
JOURNAL_SECONDS = 5


class _Bars:
    def __init__(self, bars: Progress):
        self._bars = bars
        self._tasks: dict[str, TaskID] = {}

    def __call__(self, stage: str, done: float, total: float, **figures: float) -> None:
        """Move the bar of `stage`; `figures` stand behind it."""
        if stage not in self._tasks:
            self._tasks[stage] = self._bars.add_task(stage, total=total, figures="")
        elif done < total and self._bars.tasks[self._tasks[stage]].finished:
            self._bars.reset(self._tasks[stage])  # the same stage of another run
        shown = "  ".join(f"{name.replace('_', ' ')} {value:,.4g}" for name, value in figures.items())
        self._bars.update(self._tasks[stage], completed=done, total=total, figures=shown)


class _Lines:
    """For logs: a line when a stage starts, every half minute, and when it ends."""

    def __init__(self) -> None:
        self._told: dict[str, tuple[bool, float]] = {}

    def __call__(self, stage: str, done: float, total: float, **figures: float) -> None:
        now, ended = time.monotonic(), done >= total
        known = self._told.get(stage)
        if known is not None and known[0] and not ended:
            known = None  # the same stage of another run
        if known is not None and (known[0] or (not ended and now - known[1] < LINE_SECONDS)):
            return
        self._told[stage] = (ended, now)
        how_far = "done" if ended else "started" if known is None else f"{done:g} of {total:g}"
        shown = "".join(f", {name} {value:.4g}" for name, value in figures.items())
        sys.stderr.write(f"{stage}: {how_far}{shown}\n")
        sys.stderr.flush()


class Journal:
    """Progress that goes on to another port and is also kept, for who looks from another process: a JSON line when a
    stage starts, every few seconds, and when it ends. The file is losable; a disk that is full stops no run."""

    def __init__(self, port: ProgressPort, path: Path, clock: Clock):
        self._port, self._path, self._clock = port, path, clock
        self._told: dict[str, float] = {}

    def __call__(self, stage: str, done: float, total: float, **figures: float) -> None:
        """Pass it on, and write a line if there is news."""
        self._port(stage, done, total, **figures)
        now = time.monotonic()
        if stage in self._told and done < total and now - self._told[stage] < JOURNAL_SECONDS:
            return
        self._told[stage] = now
        line = {
            "at": self._clock().isoformat(timespec="seconds"),
            "stage": stage,
            "done": done,
            "total": total,
            **figures,
        }
        with suppress(OSError), self._path.open("a", encoding="utf-8") as out:
            out.write(json.dumps(line) + "\n")


@contextmanager
def watched(quiet: bool = False) -> Iterator[ProgressPort]:
    """A progress port for the length of a command: bars on a terminal, lines in a log, nothing when quiet."""
    console = Console(stderr=True)
    if quiet:
        yield lambda stage, done, total, **figures: None
    elif not console.is_terminal:
        yield _Lines()
    else:
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.completed:g}/{task.total:g}"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            TextColumn("[dim]{task.fields[figures]}"),
        )
        with Progress(*columns, console=console) as bars:
            yield _Bars(bars)
