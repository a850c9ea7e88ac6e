"""An event: what happened to what, when, by whom. It is what its bytes say; the table's columns only find it.

The body is plain JSON without personal text: names, digests, figures. `v` is the version of this form; a form that was
ever written can be read for ever.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Literal

from pydantic import Field, ValidationError

from governance.ledger.rows import is_canonical, parse_row
from tunegate_core.canonical import canonical_json
from tunegate_core.errors import BadInput, IntegrityError
from tunegate_core.proof.tree import leaf_hash
from tunegate_core.records import Record

KIND = r"^[A-Za-z][A-Za-z0-9._-]{0,63}$"
ACTOR = r"^[A-Za-z0-9][A-Za-z0-9._:-]{0,63}$"  # a key id or a handle; no address fits
WORD = r"^[^\x00-\x1f\x7f]+$"
TIME = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{6}Z$"


class Event(Record):
    """One entry of the log. `seq` counts from 0; `at` is RFC 3339 in UTC; `key` makes appending it idempotent."""

    v: Literal[1] = 1
    seq: int = Field(ge=0)
    at: str = Field(pattern=TIME)
    kind: str = Field(pattern=KIND)
    subject: str | None = Field(default=None, pattern=WORD, max_length=200)
    key: str | None = Field(default=None, pattern=WORD, max_length=300)
    actor: str = Field(pattern=ACTOR)
    body: dict[str, Any]

    @property
    def leaf(self) -> bytes:
        """The RFC 6962 leaf hash of the canonical bytes."""
        return leaf_hash(self.canonical())


def new_event(fields: dict[str, Any]) -> tuple[Event, bytes]:
    """An event and its canonical bytes; the event is what those bytes say. Raises BadInput.

    What does not read back to the same bytes is refused: JCS writes a float of 2^53 and more like an integer, which is
    then none it may write.
    """
    data = canonical_json({"v": 1, **fields})
    try:
        event = Event.model_validate_json(data)
        if not is_canonical(data, parse_row(data)):
            raise BadInput("an event can't hold whole numbers of 2^53 and more; write them as text")
        return event, data
    except ValidationError as error:
        found = "; ".join(f"{'.'.join(map(str, line['loc']))}: {line['msg']}" for line in error.errors())
        raise BadInput(f"this can't be recorded as an event: {found}") from error


def format_time(moment: datetime) -> str:
    """RFC 3339 in UTC with microseconds. Raises BadInput for a time without a zone."""
    if moment.tzinfo is None:
        raise BadInput("the clock gave a time without a zone; expected UTC")
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


def verified_event(row: Sequence[Any]) -> Event:
    """The event in a row (seq, kind, subject, key, leaf, bytes), if bytes and columns agree. Raises IntegrityError."""
    seq, kind, subject, key, leaf, data = row
    if type(data) is not bytes or leaf_hash(data) != leaf:  # SQLite keeps a text in any column
        raise IntegrityError(f"event {seq} was changed after it was recorded; run 'tunegate ledger verify'")
    event = Event.parse(data)
    if (event.seq, event.kind, event.subject, event.key) != (seq, kind, subject, key):
        raise IntegrityError(f"the row of event {seq} does not say what its bytes say; run 'tunegate ledger verify'")
    return event
