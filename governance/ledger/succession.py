"""The ledger's own keys as its events tell: which signed when, and which may sign now."""

from pydantic import ValidationError
from sqlalchemy import Connection

from governance.keys import SigningKey
from governance.ledger.transaction import find
from tunegate_core.errors import IntegrityError
from tunegate_core.proof.keys import key_id
from tunegate_core.proof.rotation import KeyLine, Rotation, verify_line

LEDGER_KEY_ROTATED = "ledger-key-rotated"


def rotations(connection: Connection) -> list[Rotation]:
    """Every rotation that is recorded, in order. Raises IntegrityError for one that is none, or stands elsewhere."""
    found = []
    for event in find(connection, LEDGER_KEY_ROTATED):
        try:
            rotation = Rotation.model_validate(event.body.get("rotation"))
        except ValidationError as error:
            raise IntegrityError(f"event {event.seq} is no rotation of the ledger's key: {error}") from error
        if rotation.size != event.seq:
            raise IntegrityError(f"event {event.seq} is a rotation for a log of {rotation.size} events; it was moved")
        found.append(rotation)
    return found


def key_line(connection: Connection, trusted: bytes) -> KeyLine:
    """The line of keys that this one is in. Raises IntegrityError when it is in none."""
    return verify_line(rotations(connection), trusted)


def signers_line(connection: Connection, signer: SigningKey) -> KeyLine:
    """The line of keys that a signer goes on with. Raises IntegrityError when another took its place."""
    line = key_line(connection, signer.public_raw)
    if line.keys[-1] != signer.public_raw:
        raise IntegrityError(
            f"the key {signer.key_id} was replaced by {key_id(line.keys[-1])} and signs nothing any more; put the new "
            "one in its place"
        )
    return line


def signed_rotation(old: SigningKey, new: SigningKey, size: int) -> Rotation:
    """A rotation signed by both keys."""
    draft = Rotation(old=old.public_pem.decode(), new=new.public_pem.decode(), size=size)
    signed = {"old_signature": old.sign(draft.payload()).hex(), "new_signature": new.sign(draft.payload()).hex()}
    return draft.model_copy(update=signed)
