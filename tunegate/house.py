"""The only wiring: where the home, the store, the ledger and the keys are, and which clock and progress are used.

Everything is opened when first asked for, so that a light verb stays light.
"""

import copy
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from tunegate_core.errors import NotFound, StoreFault
from tunegate_core.ports import Clock, Progress
from tunegate_core.rows import Rows
from tunegate_core.store import Store

if TYPE_CHECKING:
    from governance.keys import SigningKey
    from governance.ledger import Event, Ledger
    from governance.registry import Registry

STARTER = "operator"
LEDGER_KEY = "ledger"
WRITABLE = "set TUNEGATE_HOME to a folder you can write"


def utc_now() -> datetime:
    """The clock of a real run."""
    return datetime.now(UTC)


def silent(stage: str, done: float, total: float, **figures: float) -> None:
    """Progress that nobody watches."""


@dataclass
class House:
    """One installation: a home folder and a database.

    `person` is the name of the key that starts runs here; `address` an existing Ray cluster, or None for a private one.
    """

    home: Path
    database: str
    person: str = STARTER
    address: str | None = None
    clock: Clock = utc_now
    progress: Progress = field(default=silent)

    @classmethod
    def from_environment(cls, **settings: object) -> "House":
        """The house that $TUNEGATE_HOME, $TUNEGATE_DATABASE and $TUNEGATE_USER name."""
        home = Path(os.environ.get("TUNEGATE_HOME", ".tunegate")).resolve()
        database = os.environ.get("TUNEGATE_DATABASE") or f"sqlite:///{home / 'ledger.sqlite'}"
        person = os.environ.get("TUNEGATE_USER") or STARTER
        return cls(home, database, person, **settings)  # type: ignore[arg-type]

    def acting_for(self, person: str) -> "House":
        """The same house, sharing what is open, where another person's key is the actor of what is recorded."""
        other = copy.copy(self)
        other.person = person
        return other

    @property
    def store_url(self) -> str:
        """Where bytes are kept: $TUNEGATE_STORE (any fsspec URL), or a folder of the home."""
        return os.environ.get("TUNEGATE_STORE") or str(self.home / "store")

    @cached_property
    def store(self) -> Store:
        """The content-addressed store."""
        return Store(self.store_url)

    @cached_property
    def rows(self) -> Rows:
        """Personal text, erasable row by row."""
        return Rows(self.store_url)

    @property
    def cache(self) -> Path:
        """Materialised trees and finished parts of evaluations; losable."""
        return self.home / "cache"

    @property
    def anchor(self) -> Path:
        """Signed tree heads, outside the database."""
        return self.home / "checkpoints.log"

    @property
    def keys(self) -> Path:
        """The folder of signing keys."""
        return self.home / "keys"

    @cached_property
    def signer(self) -> "SigningKey":
        """The key that signs tree heads and release statements; made at first use, never where one has signed."""
        from governance.keys import load_or_create

        return load_or_create(self.keys, LEDGER_KEY, in_use=self._opened.is_signed())

    @property
    def public_key(self) -> bytes:
        """That key's public half (PEM). Reading and verifying need no more. Raises NotFound without any."""
        from governance.keys import load_public

        return load_public(self.keys, LEDGER_KEY)

    def key_names(self) -> dict[str, str]:
        """The names under which this home keeps keys of people, by key id."""
        from tunegate_core.proof.keys import key_id, parse_public_key

        return {
            key_id(parse_public_key(path.read_bytes())): path.stem
            for path in sorted(self.keys.glob("*.pub"))
            if path.stem != "adapter-signing"
        }

    def person_key(self, name: str) -> "SigningKey":
        """The key of a person; the starter's is made at first use, others by `tunegate keys create`."""
        from governance.keys import load, load_or_create

        return load_or_create(self.keys, name) if name == STARTER else load(self.keys, name)

    @cached_property
    def _opened(self) -> "Ledger":
        from governance.ledger import Ledger

        make_folder(self.home)
        return Ledger.open(self.database, None, self.anchor, self.clock)

    @cached_property
    def ledger(self) -> "Ledger":
        """The ledger for writing, created at first use. Raises NotFound where its private key was left out of a copy,
        IntegrityError where another key has signed it."""
        return self._opened.signed_by(self.signer)

    @property
    def has_ledger(self) -> bool:
        """Whether there is something to read; a file is looked for, and what is not named plainly is asked."""
        file = self.database.removeprefix("sqlite:///")
        is_plain = file != self.database and "?" not in file and not file.startswith("file:")
        return not is_plain or Path(file).exists()

    @property
    def existing_ledger(self) -> "Ledger":
        """The ledger of a home where something has happened, for reading: no private key is read, nothing is made."""
        if not self.has_ledger:
            raise NotFound(f"nothing is recorded in {self.home} yet; expected a ledger; start with 'tunegate release'")
        return self._opened

    @property
    def proving_ledger(self) -> "Ledger":
        """The existing ledger; its newest events are signed for where the private key is here, and else the last signed
        tree head stands."""
        existing = self.existing_ledger
        return self.ledger if (self.keys / f"{LEDGER_KEY}.key").exists() else existing

    def registry(self) -> "Registry":
        """Candidates, releases and routes as the ledger tells them now."""
        from governance.registry import KINDS, Registry

        return Registry.from_events(self.existing_ledger.events(KINDS) if self.has_ledger else ())

    def events(self) -> "list[Event]":
        """Every event; none in a home where nothing has happened."""
        return self.existing_ledger.events() if self.has_ledger else []

    def run_folder(self, subject: str) -> Path:
        """The work folder of one candidate; losable once it is sealed."""
        return self.home / "runs" / subject

    def journal(self, subject: str) -> Path:
        """Where a candidate's stages are told to other processes; losable."""
        return self.home / "runs" / f"{subject}.stages.jsonl"

    @contextmanager
    def working_on(self, subject: str) -> Iterator[None]:
        """Hold the one lock on a candidate; a second process waits here and then finds the work done."""
        folder = make_folder(self.home / "runs")
        with (folder / f"{subject}.lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                self.progress("waiting for another run of the same config", 0, 1)
                fcntl.flock(lock, fcntl.LOCK_EX)
            with self._journalled(subject):
                yield

    @contextmanager
    def _journalled(self, subject: str) -> Iterator[None]:
        from tunegate.progress import Journal

        port = self.progress
        self.progress = Journal(port, self.journal(subject), self.clock)
        try:
            yield
        finally:
            self.progress = port


def make_folder(path: Path) -> Path:
    """The folder, made if need be. Raises StoreFault when it can't be written."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreFault(
            f"can't write {path}: {error.strerror}; set TUNEGATE_HOME to a folder you can write"
        ) from error
    if not os.access(path, os.W_OK):
        raise StoreFault(f"{path} can't be written; set TUNEGATE_HOME to a folder you can write")
    return path
