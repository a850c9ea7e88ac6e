"""Runs: what is being made now, how far it is, how fast, and what went before it.

A run's folder is losable and no record: what came of it stands in the ledger. Whether a process works on it now is
asked of the lock that it would hold.
"""

import fcntl
import json
from pathlib import Path
from typing import Any

from starlette.responses import JSONResponse, Response

from tunegate.console import plots
from tunegate.console.visit import Page, Visit
from tunegate.house import House

PROGRESS_FILE = "progress.jsonl"
STEP = 25
MOST_BYTES = 20_000_000
UNFINISHED = ("Planned", "Trained", "Sealed", "Examined")
LOG_LINES = 40


def runs(visit: Visit) -> Response:
    """Candidates that are not judged yet, the newest first."""
    entries = visit.desk.projection.now().registry.entries.values()
    found, first = [entry for entry in reversed(entries) if entry.state in UNFINISHED], visit.number("first")
    shown = found[first : first + STEP]
    return visit.page(
        "runs.html",
        rows=[(entry, is_held(visit.house, entry.subject), progress(visit.house, entry.subject)) for entry in shown],
        first=first,
        step=STEP,
        total=len(found),
        page_url=lambda at: visit.url("runs", first=at),
    )


def run(visit: Visit) -> Response:
    """One run: its loss, its speed, its stages."""
    entry = visit.desk.projection.now().entry(visit.part("subject"))
    return visit.page("run.html", entry=entry, **_now(visit, entry.subject))


def live(visit: Visit) -> Response:
    """The parts of that page which change, as JSON: the curve and the words beside it."""
    entry = visit.desk.projection.now().entry(visit.part("subject"))
    now = _now(visit, entry.subject)
    latest = now["latest"]
    return JSONResponse(
        {
            "curve": str(now["curve"]),
            "held": now["held"],
            "state": entry.state.lower(),
            "step": f"{latest['step']} of {now['steps']}" if latest else "none yet",
            "loss": f"{latest['loss']:.4f}" if latest else "none yet",
            "speed": f"{latest['tokens_per_s']:.0f} tokens/s" if latest else "none yet",
            "log": "\n".join(now["log"]),
        }
    )


def progress(house: House, subject: str) -> list[dict[str, Any]]:
    """What training wrote: step, loss and tokens/s, in order of the steps; a step done again counts once."""
    steps = {int(line["step"]): line for line in _lines(house.run_folder(subject) / PROGRESS_FILE) if "step" in line}
    return [steps[step] for step in sorted(steps)]


def is_held(house: House, subject: str) -> bool:
    """Whether a process works on it now."""
    try:
        with (house.home / "runs" / f"{subject}.lock").open() as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


def _now(visit: Visit, subject: str) -> dict[str, Any]:
    done, steps = progress(visit.house, subject), _steps(visit.house.run_folder(subject) / "job.json")
    points = [(float(line["step"]), float(line["loss"])) for line in done]
    stages = _lines(visit.house.journal(subject))
    return {
        "held": is_held(visit.house, subject),
        "latest": done[-1] if done else None,
        "steps": steps or (done[-1]["step"] if done else 0),
        "curve": plots.curve(points, float(steps or (points[-1][0] if points else 1)), "training loss"),
        "log": [_told(line) for line in stages[-LOG_LINES:] if {"at", "stage", "done", "total"} <= line.keys()],
    }


def _told(line: dict[str, Any]) -> str:
    """A line of the journal as people read it."""
    figures = [
        f", {name.replace('_', ' ')} {value:.4g}"
        for name, value in line.items()
        if name not in ("at", "stage", "done", "total") and isinstance(value, int | float)
    ]
    return f"{line['at']}  {line['stage']}: {line['done']:g} of {line['total']:g}{''.join(figures)}"


def _steps(job: Path) -> int:
    try:
        return int(json.loads(job.read_text(encoding="utf-8")).get("steps", 0))
    except (OSError, ValueError, AttributeError):
        return 0


def _lines(path: Path) -> list[dict[str, Any]]:
    """JSON lines; one that is being written is left out, as is a file that is too large to be one of ours."""
    try:
        text = path.read_text(encoding="utf-8") if path.stat().st_size <= MOST_BYTES else ""
    except OSError:
        return []
    found = []
    for line in text.split("\n")[:-1]:
        try:
            value = json.loads(line)
        except ValueError:
            continue
        if isinstance(value, dict):
            found.append(value)
    return found


PAGES = (Page("/runs", runs), Page("/runs/{subject}", run), Page("/runs/{subject}/live.json", live))
