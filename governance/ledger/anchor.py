"""The anchor: every signed tree head once more, in a file outside the database, one JSON string a line.

Whoever cuts or rewrites the log must also rewrite this file; kept on another disk or host it is out of reach of the
database's writer. One ledger has one anchor, shared by all that sign for it. `jq -r . FILE` prints the notes.
"""

import json
import os
from dataclasses import dataclass
from pathlib import Path

from tunegate_core.errors import IntegrityError, StoreFault

TAIL_BYTES = 1_000_000  # more than twice the longest note


@dataclass(frozen=True)
class AnchorLines:
    """The file's lines, undecoded; `unfinished` is what stands after the last newline (a process died in writing)."""

    lines: tuple[str, ...] = ()
    unfinished: str = ""
    exists: bool = False


def read_anchor(path: Path) -> AnchorLines:
    """The file as it is; no lines where there is none."""
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return AnchorLines()
    except OSError as error:
        raise StoreFault(f"can't read the signed tree heads in {path}: {error.strerror}") from error
    *lines, unfinished = text.split("\n")
    return AnchorLines(tuple(lines), unfinished, exists=True)


def read_tail(path: Path) -> AnchorLines:
    """The file's last lines alone, for who signs next: that takes the same time however long the file is."""
    try:
        with path.open("rb") as file:
            start = max(0, file.seek(0, os.SEEK_END) - TAIL_BYTES)
            file.seek(start)
            text = file.read().decode(errors="replace")
    except FileNotFoundError:
        return AnchorLines()
    except OSError as error:
        raise StoreFault(f"can't read the signed tree heads in {path}: {error.strerror}") from error
    *lines, unfinished = text.split("\n")
    return AnchorLines(tuple(lines[1:] if start else lines), unfinished, exists=True)


def parse_line(line: str) -> str:
    """The note in a line. Raises IntegrityError when the line holds none."""
    try:
        note = json.loads(line)
    except ValueError as error:
        raise IntegrityError("the line is damaged: it is no JSON string") from error
    if not isinstance(note, str):
        raise IntegrityError("the line is damaged: it is no JSON string")
    return note


def append_note(path: Path, note: str) -> None:
    """Add a note; returns when it is on the disk. An unfinished line is taken away first."""
    try:
        found = read_tail(path)
        if found.unfinished:
            os.truncate(path, path.stat().st_size - len(path.read_bytes().rpartition(b"\n")[2]))
        with path.open("ab") as out:
            out.write(json.dumps(note, ensure_ascii=False).encode() + b"\n")
            out.flush()
            os.fsync(out.fileno())
        if not found.exists:
            sync_folder(path.parent)
    except OSError as error:
        raise StoreFault(f"can't write the signed tree head to {path}: {error.strerror}; nothing was signed") from error


def sync_folder(folder: Path) -> None:
    """Make a new name in a folder survive a power failure."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
