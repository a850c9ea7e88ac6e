"""Passwords: argon2id hashes in an operational table of their own, never in the ledger.

The file may be lost: passwords are then set again, and nothing that was decided changes. After `FREE` wrong ones in a
row each further try must wait `PAUSE` after the last, whoever makes it and whatever is typed; a right one starts anew.
Parameters are argon2-cffi's own (RFC 9106, second recommended option: 64 MiB, 3 passes, 4 lanes); a hash made with
others is made anew when its password is next right.
"""

import os
import sqlite3
import unicodedata
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import datetime, timedelta
from pathlib import Path

from tunegate_core.errors import BadInput, StoreFault

LEAST, MOST = 12, 128  # characters; length is what counts (NIST SP 800-63B, 5.1.1)
FREE = 5
PAUSE = timedelta(seconds=30)
TABLE = """CREATE TABLE IF NOT EXISTS passwords (
  user_id TEXT PRIMARY KEY, hash TEXT NOT NULL, wrong INTEGER NOT NULL DEFAULT 0, wrong_at TEXT)"""
# Of no user: checking an unknown name takes as long as a known one.
NOBODY = "$argon2id$v=19$m=65536,t=3,p=4$U5Ba/8ld8KJ9bQuxWW4OOw$zIf7RkuO+LKdDcOZtQzqy1urwtbJiynphBc1tU49sfM"


class Passwords:
    """The table in one SQLite file of mode 0600."""

    def __init__(self, path: Path):
        self.path = path

    def set(self, user_id: str, password: str) -> None:
        """Keep the hash of a password. Raises BadInput for one that is too short, too long or one character only."""
        from argon2 import PasswordHasher

        text = _normal(password)
        if not LEAST <= len(text) <= MOST or len(set(text)) < 4:
            raise BadInput(f"a password has {LEAST} to {MOST} characters, at least four of them different")
        hashed = PasswordHasher().hash(text)
        with self._open() as table:
            table.execute("INSERT OR REPLACE INTO passwords (user_id, hash) VALUES (?, ?)", (user_id, hashed))

    def has(self, user_id: str) -> bool:
        """Whether a password is set."""
        with self._open() as table:
            return table.execute("SELECT 1 FROM passwords WHERE user_id = ?", (user_id,)).fetchone() is not None

    def wait(self, user_id: str, now: datetime) -> float:
        """Seconds until a password may be tried again; 0 when now."""
        with self._open() as table:
            row = table.execute("SELECT wrong, wrong_at FROM passwords WHERE user_id = ?", (user_id,)).fetchone()
        if row is None or row[0] < FREE or row[1] is None:
            return 0.0
        since = now - datetime.fromisoformat(row[1])
        return max(0.0, (PAUSE - since).total_seconds()) if since >= timedelta(0) else PAUSE.total_seconds()

    def verify(self, user_id: str | None, password: str, now: datetime) -> bool:
        """Whether this is the user's password; None is nobody's, and takes as long. Counts wrong ones."""
        from argon2 import PasswordHasher
        from argon2.exceptions import Argon2Error, InvalidHashError

        hasher = PasswordHasher()
        with self._open() as table:
            row = table.execute("SELECT hash FROM passwords WHERE user_id = ?", (user_id,)).fetchone()
            try:
                is_right = hasher.verify(row[0] if row else NOBODY, _normal(password)) and row is not None
            except (Argon2Error, InvalidHashError):
                is_right = False
            if row and is_right:
                table.execute("UPDATE passwords SET wrong = 0, wrong_at = NULL WHERE user_id = ?", (user_id,))
                if hasher.check_needs_rehash(row[0]):
                    anew = (hasher.hash(_normal(password)), user_id)
                    table.execute("UPDATE passwords SET hash = ? WHERE user_id = ?", anew)
            elif row:
                counted = (now.isoformat(), user_id)
                table.execute("UPDATE passwords SET wrong = wrong + 1, wrong_at = ? WHERE user_id = ?", counted)
        return is_right

    def forget(self, user_id: str) -> None:
        """Remove a user's hash."""
        with self._open() as table:
            table.execute("DELETE FROM passwords WHERE user_id = ?", (user_id,))

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        try:
            if not self.path.exists():
                self.path.parent.mkdir(parents=True, exist_ok=True)
                os.close(os.open(self.path, os.O_WRONLY | os.O_CREAT, 0o600))
            with closing(sqlite3.connect(self.path, timeout=30)) as table, table:
                table.execute(TABLE)
                yield table
        except (sqlite3.Error, OSError) as error:
            raise StoreFault(f"passwords in {self.path} can't be used: {error}; free space, or remove it") from error


def _normal(password: str) -> str:
    """One form for what looks the same; cut, so that a huge text costs nothing. Too long never verifies."""
    return unicodedata.normalize("NFKC", password[: MOST + 1])
