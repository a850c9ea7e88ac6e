"""One write: events are put at the end, in order, or not at all.

A key makes appending idempotent: the same event again is the one recorded; another event under a key that is taken
raises. Rows are kept until something is read or the transaction ends, and then written together.
"""

from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import Connection, Select, select

from governance.ledger.event import Event, format_time, new_event, verified_event
from governance.ledger.hashes import Head, grow
from governance.ledger.schema import BY_KEY, INSERT, LAST_ROW, events, in_dialect
from tunegate_core.canonical import canonical_json
from tunegate_core.errors import BadInput, IntegrityError
from tunegate_core.ports import Clock
from tunegate_core.proof.tree import leaf_hash

EVENT_COLUMNS = (events.c.seq, events.c.kind, events.c.subject, events.c.key, events.c.leaf, events.c.bytes)


class Transaction:
    """What `Ledger.write()` gives. Not to be kept beyond its block."""

    def __init__(self, connection: Connection, head: Head, clock: Clock, actor: str | None):
        self._connection, self._clock, self._actor = connection, clock, actor
        self._size, self._last_leaf, self._edge = head.size, head.last_leaf, list(head.edge)
        self._pending: list[tuple[Any, ...]] = []
        self._pending_keys: dict[str, Event] = {}

    def append(
        self,
        kind: str,
        body: dict[str, Any],
        subject: str | None = None,
        key: str | None = None,
        actor: str | None = None,
    ) -> Event:
        """Record an event, or return the one recorded under `key` if kind, subject and body are the same.

        `actor` is the ledger's key unless said. Raises IntegrityError when the key belongs to another event, BadInput
        when the event can't be recorded as it is.
        """
        found = self.by_key(key) if key is not None else None
        if found is not None:
            return _same(found, kind, subject, body)
        if (actor or self._actor) is None:
            raise BadInput("an event needs an actor: give one, or open the ledger with its signing key")
        event, data = new_event(
            {
                "seq": self._size,
                "at": format_time(self._clock()),
                "kind": kind,
                "subject": subject,
                "key": key,
                "actor": actor or self._actor,
                "body": body,
            }
        )
        self._put(event, data)
        return event

    def by_key(self, key: str) -> Event | None:
        """The event recorded under a key, in this transaction or before it."""
        return self._pending_keys.get(key) or find_by_key(self._connection, key)

    def events(self, kind: str | Collection[str] | None = None, subject: str | None = None) -> list[Event]:
        """Events in order, of one kind or several, those of this transaction included."""
        self.flush()
        return find(self._connection, kind, subject)

    def size(self) -> int:
        """How many events there are, those of this transaction included."""
        return self._size

    def head(self) -> Head:
        """The tree's state after this transaction."""
        return Head(self._size, self._last_leaf, tuple(self._edge))

    def flush(self) -> None:
        """Write what is kept; durable only when the transaction ends."""
        if self._pending:
            self._connection.exec_driver_sql(in_dialect(INSERT, self._connection.dialect.paramstyle), self._pending)
            self._pending = []
            self._pending_keys = {}

    def verify_kept(self) -> None:
        """Raises IntegrityError unless the table now ends with the last event: a trigger may drop or add rows."""
        last = self._connection.exec_driver_sql(LAST_ROW).first()
        found = (0, None) if last is None else (last[0] + 1, last[1])
        if found != (self._size, self._last_leaf):
            raise IntegrityError(
                f"the database did not keep what was recorded: it has {found[0]} events, expected {self._size}; "
                "nothing was recorded; 'tunegate ledger verify' looks for triggers"
            )

    def _put(self, event: Event, data: bytes) -> None:
        leaf = leaf_hash(data)
        nodes = grow(self._edge, event.seq, leaf)
        self._pending.append((event.seq, event.kind, event.subject, event.key, event.at, leaf, nodes, data))
        if event.key is not None:
            self._pending_keys[event.key] = event
        self._size, self._last_leaf = event.seq + 1, leaf


def find_by_key(connection: Connection, key: str) -> Event | None:
    """The event recorded under a key, checked against its bytes."""
    row = connection.exec_driver_sql(in_dialect(BY_KEY, connection.dialect.paramstyle), (key,)).first()
    return verified_event(row) if row is not None else None


def find(
    connection: Connection,
    kind: str | Collection[str] | None = None,
    subject: str | None = None,
    start: int = 0,
    limit: int | None = None,
    before: int | None = None,
) -> list[Event]:
    """Events from `start` on, in order, at most `limit`, each checked against its bytes; those `before` a number, the
    newest first, when one is given."""
    query: Select[Any] = select(*EVENT_COLUMNS).where(events.c.seq >= start).limit(limit)
    query = query.order_by(events.c.seq) if before is None else query.order_by(events.c.seq.desc())
    if before is not None:
        query = query.where(events.c.seq < before)
    if kind is not None:
        query = query.where(events.c.kind.in_([kind] if isinstance(kind, str) else list(kind)))
    if subject is not None:
        query = query.where(events.c.subject == subject)
    rows: Sequence[Sequence[Any]] = connection.execute(query).all()
    return [verified_event(row) for row in rows]


def _same(found: Event, kind: str, subject: str | None, body: dict[str, Any]) -> Event:
    pairs = (("kind", found.kind, kind), ("subject", found.subject, subject), ("body", found.body, body))
    different = [name for name, old, new in pairs if canonical_json(old) != canonical_json(new)]
    if different:
        raise IntegrityError(
            f"the key {found.key!r} is taken by event {found.seq} with another {' and '.join(different)}; "
            "what is recorded can't be changed; use another key for another event"
        )
    return found
