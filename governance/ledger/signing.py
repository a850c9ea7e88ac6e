"""Signing tree heads: the law is that a head is signed only if it extends the one that was signed last.

So an honest signer never puts its name under a log that was cut or rewritten; it stops with an IntegrityError. The note
goes to the anchor first and to the table after: a process that dies in between leaves a note that the table lacks,
which the next call puts back.
"""

from pathlib import Path

from sqlalchemy import Connection, insert, select

from governance.keys import SigningKey
from governance.ledger.anchor import append_note, parse_line, read_tail
from governance.ledger.hashes import Head, range_roots
from governance.ledger.schema import checkpoints
from governance.ledger.succession import signers_line
from tunegate_core.errors import BadInput, IntegrityError
from tunegate_core.proof.checkpoint import Checkpoint, parse_checkpoint
from tunegate_core.proof.note import format_note, log_name, parse_note


def signed_head(connection: Connection, head: Head, signer: SigningKey, anchor: Path | None) -> str:
    """The note over `head`, recorded now or before. Raises IntegrityError when the log is not what was signed."""
    line = signers_line(connection, signer)
    last = last_signed(connection, anchor)
    if last is not None:
        before = line.verify_head(last)
        _verify_extends(connection, head, before)
        _record(connection, last, before)
        if before.size == head.size:
            return last
    note = sign_checkpoint(head, signer)
    if anchor is not None:
        append_note(anchor, note)
    _record(connection, note, line.verify_head(note))
    return note


def sign_checkpoint(head: Head, signer: SigningKey) -> str:
    """A C2SP checkpoint as a signed note."""
    name = log_name(signer.public_raw)
    body = Checkpoint(origin=name, size=head.size, root=head.root.hex()).body()
    return format_note(body, name, signer.public_raw, signer.sign(body.encode()))


def last_head(connection: Connection, head: Head, anchor: Path | None) -> str:
    """The note signed last, for who can't sign. Raises BadInput when there is none, IntegrityError as above."""
    last = last_signed(connection, anchor)
    if last is None:
        raise BadInput("no tree head is signed yet, and this ledger was opened without its private key")
    _verify_extends(connection, head, parse_checkpoint(parse_note(last).body))
    return last


def last_signed(connection: Connection, anchor: Path | None) -> str | None:
    """The anchor's last note, or the table's where there is no anchor."""
    lines = read_tail(anchor).lines if anchor is not None else ()
    if lines:
        return parse_line(lines[-1])
    query = select(checkpoints.c.note).order_by(checkpoints.c.size.desc()).limit(1)
    return connection.execute(query).scalar()


def _verify_extends(connection: Connection, head: Head, last: Checkpoint) -> None:
    if last.size > head.size:
        raise IntegrityError(
            f"the ledger has {head.size} events, but {last.size} were signed; its tail was cut; restore a backup"
        )
    if range_roots(connection, [(0, last.size)])[0] != last.root_raw:
        raise IntegrityError(
            f"the first {last.size} events are not those that were signed; 'tunegate ledger verify' says where; "
            "restore a backup"
        )


def _record(connection: Connection, note: str, head: Checkpoint) -> None:
    """Put a verified note into the table unless its size is there."""
    if connection.execute(select(checkpoints.c.size).where(checkpoints.c.size == head.size)).first() is None:
        connection.execute(insert(checkpoints), {"size": head.size, "root": head.root_raw, "note": note})
