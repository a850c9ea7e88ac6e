"""What was answered, written down beside the answering: a queue, one thread, one transaction for many rows.

No request waits for a disk. When the disk is full or the file is away, rows wait in memory, up to a bound, and are
written when it is back; what is beyond the bound is lost, and counted (`lost`). A killed process loses what it had not
written for a quarter of a second.

Prompts and answers are kept only where the policy says so, redacted before they are queued, each under a salted hash.
"""

import logging
import secrets
import threading
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import insert, select
from sqlalchemy.dialects.sqlite import insert as upsert

from serving.quota import Amount
from serving.tables import Tables, feedback, requests, spent, texts
from tunegate_core.canonical import canonical_json
from tunegate_core.errors import NotFound, StoreFault
from tunegate_core.proof.tree import leaf_hash

WRITE_SECONDS = 0.25
RETRY_SECONDS = 1.0
MOST_PENDING = 20_000
MOST_AT_ONCE = 2_000

log = logging.getLogger(__name__)

Redact = Callable[[str], str]


@dataclass(frozen=True)
class Kept:
    """A text to keep: what stands in the row, and what stands apart."""

    hash: str
    at: int
    body: bytes


def keep(at: int, said: Mapping[str, str], redact: Redact) -> Kept:
    """Texts by their names, redacted, under a salted hash (RFC 6962 leaf of their canonical JSON)."""
    body = canonical_json({"salt": secrets.token_hex(32), **{name: redact(text) for name, text in said.items()}})
    return Kept(leaf_hash(body).hex(), at, body)


class Records:
    """The queue and its thread. `put` never blocks and never fails."""

    def __init__(self, tables: Tables, most_pending: int = MOST_PENDING):
        self.lost = 0
        self.faults = 0
        self._tables = tables
        self._pending: deque[tuple[dict[str, Any], Kept | None]] = deque()
        self._most = most_pending
        self._wake = threading.Event()
        self._is_closing = False
        self._writing: list[tuple[dict[str, Any], Kept | None]] = []
        self._thread = threading.Thread(target=self._write_for_ever, name="request-records", daemon=True)

    @property
    def pending(self) -> int:
        """Rows that wait to be written."""
        return len(self._pending) + len(self._writing)

    def start(self) -> None:
        """Begin to write."""
        self._thread.start()

    def put(self, row: dict[str, Any], text: Kept | None = None) -> None:
        """Note a request: the columns of `requests`, without its number."""
        if len(self._pending) >= self._most:
            self._pending.popleft()
            self.lost += 1
        self._pending.append((row, text))

    def close(self) -> None:
        """Write what waits, and end."""
        self._is_closing = True
        self._wake.set()
        self._thread.join(timeout=10)

    def spent(self) -> dict[str, Amount]:
        """What each key has used over all time. Raises StoreFault."""
        with self._tables.reading() as connection:
            rows = connection.execute(select(spent.c.key_id, spent.c.tokens, spent.c.micros))
            return {row.key_id: Amount(row.tokens, row.micros) for row in rows}

    def key_of(self, response_id: str) -> str:
        """The key id that a response belongs to. Raises NotFound, or StoreFault."""
        for row, _ in [*self._pending, *self._writing]:
            if row["id"] == response_id:
                return str(row["key_id"])
        with self._tables.reading() as connection:
            found = connection.execute(select(requests.c.key_id).where(requests.c.id == response_id)).scalar()
        if found is None:
            raise NotFound("there is no such response")
        return str(found)

    def attach(self, row: dict[str, Any], text: Kept | None) -> None:
        """Note feedback, durably: the columns of `feedback`. Raises StoreFault."""
        with self._tables.writing() as connection:
            connection.execute(insert(feedback), row)
            if text is not None:
                connection.execute(insert(texts), vars(text))

    def _write_for_ever(self) -> None:
        while not self._is_closing:
            self._wake.wait(WRITE_SECONDS)
            while self.pending and self._write():
                pass
            if self.pending:
                self._wake.wait(RETRY_SECONDS)

    def _write(self) -> bool:
        """One transaction; what could not be written is tried again first."""
        while self._pending and len(self._writing) < MOST_AT_ONCE:
            self._writing.append(self._pending.popleft())
        try:
            self._insert(self._writing)
        except StoreFault as error:
            self.faults += 1
            log.error("request records wait: %s", type(error.__cause__).__name__)
            return False
        self._writing = []
        return True

    def _insert(self, batch: list[tuple[dict[str, Any], Kept | None]]) -> None:
        used: dict[str, Amount] = {}
        for row, _ in batch:
            before = used.get(row["key_id"], Amount())
            tokens = before.tokens + row["prompt_tokens"] + row["output_tokens"]
            used[row["key_id"]] = Amount(tokens, before.micros + row["micros"])
        added = [{"key_id": key, "tokens": amount.tokens, "micros": amount.micros} for key, amount in used.items()]
        statement = upsert(spent)
        more = {name: spent.c[name] + statement.excluded[name] for name in ("tokens", "micros")}
        with self._tables.writing() as connection:
            connection.execute(upsert(requests).on_conflict_do_nothing(), [row for row, _ in batch])
            connection.execute(statement.on_conflict_do_update(index_elements=["key_id"], set_=more), added)
            kept = [vars(text) for _, text in batch if text is not None]
            if kept:
                connection.execute(insert(texts), kept)
