"""The ledger as others see it: append, read, prove, sign, verify."""

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

from governance.keys import SigningKey
from governance.ledger.database import Database
from governance.ledger.event import Event
from governance.ledger.hashes import Head, range_roots, read_head
from governance.ledger.report import Problem, VerifyReport
from governance.ledger.signing import last_head, last_signed, signed_head
from governance.ledger.succession import rotations, signers_line
from governance.ledger.transaction import Transaction, find, find_by_key
from tunegate_core.ports import Clock
from tunegate_core.proof.paths import ConsistencyProof, InclusionProof, consistency_ranges, inclusion_ranges
from tunegate_core.proof.rotation import Rotation


class Ledger:
    """One log in one database, with its signer and its anchor. Threads and processes may share it; writes queue up."""

    def __init__(self, database: Database, signer: SigningKey | None, anchor: Path | None, clock: Clock):
        self.anchor = anchor
        self._database, self._signer, self._clock = database, signer, clock
        self._known: Head | None = None

    @classmethod
    def open(cls, database_url: str, signer: SigningKey | None, anchor: Path | None, clock: Clock) -> Self:
        """The ledger at an SQLAlchemy URL, its tables created or migrated if need be.

        Without a signer everything can be read and nothing signed; without an anchor a cut tail can't be noticed.
        Raises BadInput for a URL of another kind of database, StoreFault when it can't be used.
        """
        return cls(Database(database_url), signer, anchor, clock)

    def is_signed(self) -> bool:
        """Whether a tree head was signed: from then on only the key that signed it may go on."""
        with self._database.reading() as connection:
            return last_signed(connection, self.anchor) is not None

    def signed_by(self, signer: SigningKey) -> Self:
        """The same ledger with a signer. Raises IntegrityError when another key signed the last tree head, or took this
        one's place."""
        with self._database.reading() as connection:
            last, line = last_signed(connection, self.anchor), signers_line(connection, signer)
        if last is not None:
            line.verify_head(last)
        return type(self)(self._database, signer, self.anchor, self._clock)

    def rotations(self) -> list[Rotation]:
        """How the ledger's keys took over from one another, in order."""
        with self._database.reading() as connection:
            return rotations(connection)

    def close(self) -> None:
        """Give the connections back."""
        self._database.engine.dispose()

    @contextmanager
    def write(self) -> Iterator[Transaction]:
        """One serialised write. Recorded and durable when the block ends; nothing of it when the block raises."""
        actor = self._signer.key_id if self._signer else None
        with self._database.writing() as connection:
            tx = Transaction(connection, read_head(connection, self._known), self._clock, actor)
            yield tx
            tx.flush()
            tx.verify_kept()
        self._known = tx.head()

    def append(
        self,
        kind: str,
        body: dict[str, Any],
        subject: str | None = None,
        key: str | None = None,
        actor: str | None = None,
    ) -> Event:
        """Record one event; see `Transaction.append`."""
        with self.write() as tx:
            return tx.append(kind, body, subject, key, actor)

    def by_key(self, key: str) -> Event | None:
        """The event recorded under a key."""
        with self._database.reading() as connection:
            return find_by_key(connection, key)

    def events(
        self,
        kind: str | Collection[str] | None = None,
        subject: str | None = None,
        start: int = 0,
        limit: int | None = None,
        before: int | None = None,
    ) -> list[Event]:
        """Events from `start` on, of one kind or several, in order, at most `limit`, each checked against its bytes.

        With `before`, those before that number, the newest first.
        """
        with self._database.reading() as connection:
            return find(connection, kind, subject, start, limit, before)

    def size(self) -> int:
        """How many events there are."""
        return self.head()[0]

    def head(self) -> tuple[int, bytes]:
        """Size and root (32 bytes) of the tree."""
        with self._database.reading() as connection:
            self._known = read_head(connection, self._known)
            return self._known.size, self._known.root

    def root(self, size: int) -> bytes:
        """The root of the first `size` events. Raises BadInput beyond the end."""
        with self._database.reading() as connection:
            return range_roots(connection, [(0, size)])[0]

    def inclusion(self, seq: int, size: int) -> InclusionProof:
        """The proof that event `seq` is in the tree of `size` events. Raises BadInput outside the log."""
        return InclusionProof(seq=seq, size=size, path=self._hashes(inclusion_ranges(seq, size)))

    def consistency(self, first: int, second: int) -> ConsistencyProof:
        """The proof that `second` events begin with the `first`. Raises BadInput outside the log."""
        return ConsistencyProof(first=first, second=second, path=self._hashes(consistency_ranges(first, second)))

    def checkpoint(self) -> str:
        """The signed tree head (C2SP checkpoint in a signed note), kept in the table and in the anchor.

        The recorded one when nothing was appended since; without a signer the last one, which may lack the newest
        events. Raises IntegrityError when the log does not extend what was signed last, BadInput without a signer
        when nothing was signed yet.
        """
        if self._signer is None:
            with self._database.reading() as connection:
                return last_head(connection, read_head(connection, None), self.anchor)
        with self._database.writing() as connection:
            return signed_head(connection, read_head(connection, None), self._signer, self.anchor)

    def verify(
        self,
        public_keys: Iterable[bytes],
        blob_check: Callable[[Event], Iterable[Problem]] | None = None,
        cosigned: Sequence[str] = (),
        since: str | None = None,
    ) -> VerifyReport:
        """Re-derive the tree from the stored bytes and check every hash, column, note and line of the anchor.

        `public_keys` are the keys whose signatures count, 32 raw bytes or PEM each. `blob_check` is asked about every
        event, for what lies outside the ledger. `cosigned`: notes that witnesses cosigned. `since`: the note of a tree
        head that was verified before; only what came after is checked then, and the report says what was not.
        Says where a fault is as far as the signed tree heads allow.
        """
        from governance.ledger.verifying import verify_log

        return verify_log(self._database, self.anchor, list(public_keys), blob_check, cosigned, since)

    def _hashes(self, ranges: Sequence[tuple[int, int]]) -> tuple[str, ...]:
        with self._database.reading() as connection:
            return tuple(root.hex() for root in range_roots(connection, ranges))
