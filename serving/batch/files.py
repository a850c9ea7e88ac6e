"""Files that callers leave and fetch: each belongs to a key, lies on disk under its own id, and leaves in time."""

import secrets
import time
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from sqlalchemy import delete, func, select
from sqlalchemy.dialects.sqlite import insert as upsert

from serving.batch.tables import files
from serving.tables import Tables
from tunegate_core.errors import NotFound, StoreFault

PIECE = 1_048_576
NAME_CHARACTERS = 128
DAY_SECONDS = 86_400


@dataclass(frozen=True)
class File:
    """What is known of a file."""

    id: str
    key_id: str
    at: int
    name: str
    purpose: str
    bytes: int

    def card(self) -> dict[str, Any]:
        """As OpenAI shows it."""
        return {
            "id": self.id,
            "object": "file",
            "bytes": self.bytes,
            "created_at": self.at,
            "filename": self.name,
            "purpose": self.purpose,
            "status": "processed",
        }


class Files:
    """Files below a folder. Methods block; they raise NotFound, or StoreFault."""

    def __init__(self, folder: Path, tables: Tables):
        self._folder, self._tables = folder, tables

    def path(self, file_id: str) -> Path:
        """Where a file lies; its id is one of ours."""
        return self._folder / file_id

    def put(self, key_id: str, name: str, source: IO[bytes]) -> File:
        """Keep what a caller sent."""
        path = self.path(new_id())
        try:
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            with path.open("wb") as kept:
                while piece := source.read(PIECE):
                    kept.write(piece)
        except OSError as error:
            path.unlink(missing_ok=True)
            raise StoreFault(f"the file can't be kept: {error.strerror}") from error
        return self.register(path.name, key_id, name, "batch")

    def register(self, file_id: str, key_id: str, name: str, purpose: str) -> File:
        """Make a file known that lies here already. Again changes nothing: who was ended in between does it again."""
        size = self.path(file_id).stat().st_size
        file = File(file_id, key_id, int(time.time()), name[:NAME_CHARACTERS], purpose, size)
        with self._tables.writing() as connection:
            connection.execute(upsert(files).on_conflict_do_nothing(), vars(file))
        return file

    def get(self, file_id: str, key_id: str) -> File:
        """One of a key's own files."""
        with self._tables.reading() as connection:
            row = connection.execute(select(files).where(files.c.id == file_id, files.c.key_id == key_id)).first()
        if row is None:
            raise NotFound("there is no such file")
        return File(**row._mapping)

    def list(self, key_id: str) -> list[File]:
        """A key's files, the newest first."""
        with self._tables.reading() as connection:
            rows = connection.execute(select(files).where(files.c.key_id == key_id).order_by(files.c.at.desc()))
            return [File(**row._mapping) for row in rows]

    def count(self, key_id: str) -> int:
        """How many files a key has."""
        with self._tables.reading() as connection:
            wanted = select(func.count()).select_from(files).where(files.c.key_id == key_id)
            return int(connection.execute(wanted).scalar_one())

    def delete(self, file: File) -> None:
        """Forget a file."""
        with self._tables.writing() as connection:
            connection.execute(delete(files).where(files.c.id == file.id))
        self.path(file.id).unlink(missing_ok=True)

    def forget(self, days: int) -> None:
        """Delete every file that is older."""
        with self._tables.reading() as connection:
            rows = connection.execute(select(files).where(files.c.at < time.time() - days * DAY_SECONDS)).all()
        for row in rows:
            self.delete(File(**row._mapping))


def new_id() -> str:
    """An id that nobody can guess."""
    return f"file-{secrets.token_hex(16)}"
