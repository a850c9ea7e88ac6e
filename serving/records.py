"""What was answered, written down beside the answering: a queue, one thread, one transaction for many rows.

No request waits for a disk. When the disk is full or the file is away, rows wait in memory, up to a bound, and are
written when it is back; what is beyond the bound is lost, and counted (`lost`). A killed process loses what it had not
written for a quarter of a second.

Prompts and answers are kept only where the policy says so, each under a salted hash. They are redacted beside the
answering too, before anything is written. Those that wait are bounded by their bytes; beyond the bound a row is kept
without its text, and counted (`texts_lost`).
"""

import logging
import secrets
import sys
import threading
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import insert, select
from sqlalchemy.dialects.sqlite import insert as upsert

from serving.quota import Amount
from serving.redaction import Redact
from serving.tables import Tables, feedback, requests, spent, texts
from tunegate_core.canonical import canonical_json
from tunegate_core.errors import NotFound, StoreFault
from tunegate_core.proof.tree import leaf_hash

WRITE_SECONDS = 0.25
RETRY_SECONDS = 1.0
MOST_PENDING = 20_000
MOST_AT_ONCE = 2_000
MOST_TEXT_BYTES = 67_108_864
CLOSE_SECONDS = 5.0  # after which a text that is not redacted yet is left out

log = logging.getLogger(__name__)


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


class Text:
    """What was said in a request, to be kept: redacted once, by the thread that needs it first."""

    def __init__(self, at: int, said: Mapping[str, str], redact: Redact):
        self.bytes = sum(map(sys.getsizeof, said.values()))
        self._at, self._said, self._redact = at, said, redact
        self._kept: Kept | None = None
        self._lock = threading.Lock()

    def kept(self) -> Kept | None:
        """The text as it is kept; None, and nothing is kept, when it could not be redacted."""
        with self._lock:
            if self._kept is None and self._said:
                try:
                    self._kept = keep(self._at, self._said, self._redact)
                except Exception as error:  # whatever the way of redaction raises; its words may hold what was said
                    log.error("a text could not be redacted and is not kept: %s", type(error).__name__)
                self._said = {}
            return self._kept


class Records:
    """The queue and its thread. `put` and `score` never block and never fail."""

    def __init__(self, tables: Tables, most_pending: int = MOST_PENDING):
        self.lost = 0
        self.faults = 0
        self._tables = tables
        self._pending: deque[tuple[dict[str, Any], Text | None]] = deque()
        self._scores: deque[dict[str, Any]] = deque()
        self._taken = self._written = 0  # bytes of texts, each counted by one thread
        self._crowded = self._unredacted = 0  # texts left out, by the same two
        self._most = most_pending
        self._wake = threading.Event()
        self._is_closing = False
        self._closed = float("inf")  # when the end was asked for
        self._writing: list[tuple[dict[str, Any], Text | None]] = []
        self._thread = threading.Thread(target=self._write_for_ever, name="request-records", daemon=True)

    @property
    def pending(self) -> int:
        """Rows that wait to be written."""
        return len(self._pending) + len(self._writing)

    @property
    def texts_lost(self) -> int:
        """Texts that were to be kept and are not."""
        return self._crowded + self._unredacted

    def start(self) -> None:
        """Begin to write."""
        self._thread.start()

    def put(self, row: dict[str, Any], text: Text | None = None) -> None:
        """Note a request: the columns of `requests`, without its number and its text's hash."""
        if len(self._pending) >= self._most:
            _, oldest = self._pending.popleft()
            self._taken -= oldest.bytes if oldest is not None else 0
            self.lost += 1
        if text is not None and self._taken - self._written + text.bytes > MOST_TEXT_BYTES:
            text, self._crowded = None, self._crowded + 1
        self._taken += text.bytes if text is not None else 0
        self._pending.append((row, text))

    def score(self, row: dict[str, Any]) -> None:
        """Note a score of a request that was put before: the columns of `feedback`."""
        self._scores.append(row)

    def close(self) -> None:
        """Write what waits, and end."""
        self._closed, self._is_closing = time.monotonic(), True
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
        is_last = False
        while not is_last:
            self._wake.wait(WRITE_SECONDS)
            is_last = self._is_closing  # asked before writing: what is put before the end is asked for is written
            while (self.pending or self._scores) and self._write():
                pass
            if self.pending or self._scores:
                self._wake.wait(RETRY_SECONDS)

    def _write(self) -> bool:
        """One transaction; what could not be written is tried again first."""
        while self._pending and len(self._writing) < MOST_AT_ONCE:
            self._writing.append(self._pending.popleft())
        scores = [] if self._pending else list(self._scores)  # never before the requests that they are about
        try:
            self._unredacted += self._insert(self._writing, scores)
        except StoreFault as error:
            self.faults += 1
            log.error("request records wait: %s", type(error.__cause__).__name__)
            return False
        self._written += sum(text.bytes for _, text in self._writing if text is not None)
        self._writing = []
        for _ in scores:
            self._scores.popleft()
        return True

    def _kept(self, text: Text | None) -> Kept | None:
        """A slow way of redaction does not keep rows from being written at the end."""
        if text is None:
            return None
        return text.kept() if time.monotonic() <= self._closed + CLOSE_SECONDS else None

    def _insert(self, batch: list[tuple[dict[str, Any], Text | None]], scores: list[dict[str, Any]]) -> int:
        """How many texts were left out."""
        kept = [self._kept(text) for _, text in batch]
        rows = [row | {"text": text and text.hash} for (row, _), text in zip(batch, kept, strict=True)]
        used: dict[str, Amount] = {}
        for row in rows:
            before = used.get(row["key_id"], Amount())
            tokens = before.tokens + row["prompt_tokens"] + row["output_tokens"]
            used[row["key_id"]] = Amount(tokens, before.micros + row["micros"])
        added = [{"key_id": key, "tokens": amount.tokens, "micros": amount.micros} for key, amount in used.items()]
        statement = upsert(spent)
        more = {name: spent.c[name] + statement.excluded[name] for name in ("tokens", "micros")}
        with self._tables.writing() as connection:
            if rows:
                connection.execute(upsert(requests).on_conflict_do_nothing(), rows)
                connection.execute(statement.on_conflict_do_update(index_elements=["key_id"], set_=more), added)
            if any(kept):
                connection.execute(insert(texts), [vars(text) for text in kept if text is not None])
            if scores:
                connection.execute(insert(feedback), scores)
        return sum(text is not None and found is None for (_, text), found in zip(batch, kept, strict=True))
