"""Answers of batches as they are finished, so that a killed evaluation loses one batch and no more.

One line a batch: the digest of the rest of the line, the batch's name, its answers. A line that is cut short, changed,
or written over by another process counts as not there. Whole lines are appended, so two evaluations may share a file.
"""

import json
import os
from pathlib import Path
from typing import Any

from tunegate_core.canonical import digest
from tunegate_core.errors import StoreFault


class Journal:
    """The finished batches of one task and arm; `path` names all that shapes an answer. Without a path, nothing is
    kept."""

    def __init__(self, path: Path | None = None):
        self._path = path
        self._known = {} if path is None else dict(_read(path))

    def recall(self, batch: str) -> Any | None:
        """The answers of a finished batch, or None."""
        return self._known.get(batch)

    def keep(self, batch: str, answers: Any) -> None:
        """Append a finished batch. Raises StoreFault when that fails."""
        if self._path is None:
            return
        body = json.dumps([batch, answers]).encode()
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            # A line break in front ends whatever a killed process left; empty lines are nothing.
            with self._path.open("ab", buffering=0) as out:
                out.write(b"\n" + digest(body).encode() + b" " + body + b"\n")
        except OSError as error:
            raise StoreFault(f"can't keep the answers of an evaluation in {self._path}: {error}") from error

    def close(self) -> None:
        """Forget the file: its answers are kept elsewhere now."""
        if self._path is not None:
            self._path.unlink(missing_ok=True)


def batch_name(*asked: Any) -> str:
    """The name of a batch: what is asked in it, in order."""
    return digest(repr(asked).encode()).removeprefix("sha256:")


def _read(path: Path) -> list[tuple[str, Any]]:
    try:
        lines = path.read_bytes().split(b"\n")
    except OSError:
        return []
    found = []
    for line in lines:
        name, _, body = line.partition(b" ")
        if body and os.fsencode(digest(body)) == name:
            batch, answers = json.loads(body)
            found.append((str(batch), answers))
    return found
