"""Passwords: argon2id hashes in an operational table of their own, never in the ledger.

The file may be lost: passwords are then set again, and nothing that was decided changes. After `FREE` wrong ones in a
row for a name, each further try must wait `PAUSE` after the last, whoever makes it, whatever is typed, and whether or
not anybody has that name; a right one, and `FORGOTTEN` without a try, starts anew. A try counts as wrong from its
beginning until it was right, so that many at the same moment are as many tries.
Parameters are argon2-cffi's own (RFC 9106, second recommended option: 64 MiB, 3 passes, 4 lanes); a hash made with
others is made anew when its password is next right.
"""

import hashlib
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
PAUSE, FORGOTTEN = timedelta(seconds=30), timedelta(hours=1)
TABLES = (
    "CREATE TABLE IF NOT EXISTS passwords (user_id TEXT PRIMARY KEY, hash TEXT NOT NULL)",
    "CREATE TABLE IF NOT EXISTS tries (who TEXT PRIMARY KEY, wrong INTEGER NOT NULL, at TEXT NOT NULL)",
)
WHO_BYTES = 3  # of a digest: people type passwords where names belong, and 24 bits lead back to none
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

    def try_now(self, name: str, now: datetime) -> float:
        """Count a try for a name, which is wrong until `right`; or the seconds to wait until the next is allowed."""
        who, at = _who(name), now.isoformat()
        with self._open() as table:
            table.execute("BEGIN IMMEDIATE")
            # A clock that was set back opens nothing: times to come are kept, and waited for.
            table.execute("DELETE FROM tries WHERE at < ?", ((now - FORGOTTEN).isoformat(),))
            row = table.execute("SELECT wrong, at FROM tries WHERE who = ?", (who,)).fetchone()
            if row is not None and row[0] >= FREE:
                since = now - datetime.fromisoformat(row[1])
                left = PAUSE - since if since >= timedelta(0) else PAUSE
                if left > timedelta(0):
                    return left.total_seconds()
            table.execute(
                "INSERT INTO tries VALUES (?, 1, ?) ON CONFLICT (who) DO UPDATE SET wrong = wrong + 1, at = ?",
                (who, at, at),
            )
        return 0.0

    def right(self, name: str) -> None:
        """The password was right: earlier tries for the name count no more."""
        with self._open() as table:
            table.execute("DELETE FROM tries WHERE who = ?", (_who(name),))

    def verify(self, user_id: str | None, password: str) -> bool:
        """Whether this is the user's password; None is nobody's, and takes as long."""
        from argon2 import PasswordHasher
        from argon2.exceptions import Argon2Error, InvalidHashError

        hasher = PasswordHasher()
        with self._open() as table:
            row = table.execute("SELECT hash FROM passwords WHERE user_id = ?", (user_id,)).fetchone()
        try:
            is_right = hasher.verify(row[0] if row else NOBODY, _normal(password)) and row is not None
        except (Argon2Error, InvalidHashError):
            return False
        if is_right and hasher.check_needs_rehash(row[0]):
            anew = (hasher.hash(_normal(password)), user_id)
            with self._open() as table:
                table.execute("UPDATE passwords SET hash = ? WHERE user_id = ?", anew)
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
                for made in TABLES:
                    table.execute(made)
                yield table
        except (sqlite3.Error, OSError) as error:
            raise StoreFault(f"passwords in {self.path} can't be used: {error}; free space, or remove it") from error


def _who(name: str) -> str:
    return hashlib.sha256(name.encode("utf-8", "replace")).digest()[:WHO_BYTES].hex()


def _normal(password: str) -> str:
    """One form for what looks the same; cut, so that a huge text costs nothing. Too long never verifies."""
    return unicodedata.normalize("NFKC", password[: MOST + 1])
