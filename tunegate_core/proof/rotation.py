"""One signing key in place of another, said by both: trust in either end reaches the other, and each has its time.

A log's keys form one line. Key i signs the tree heads of more than `size` events of the rotation that made it, and of
no more than that of the rotation that ended it; a statement belongs to the key in whose time its event was recorded.
A rotation by a key whose time is over is none.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from pydantic import Field

from tunegate_core.canonical import canonical_json
from tunegate_core.errors import BadInput, IntegrityError
from tunegate_core.proof.checkpoint import Checkpoint, verify_checkpoint
from tunegate_core.proof.keys import key_id, parse_public_key, verify_signature
from tunegate_core.proof.note import log_name, parse_note
from tunegate_core.records import Record


class Rotation(Record):
    """`new` (PEM) takes the place of `old` (PEM) when the log has `size` events. Signatures are hex."""

    old: str
    new: str
    size: int = Field(ge=0)
    old_signature: str = Field(default="", pattern=r"^[0-9a-f]*$")
    new_signature: str = Field(default="", pattern=r"^[0-9a-f]*$")

    def payload(self) -> bytes:
        """What both keys sign."""
        return canonical_json({"tunegate": "key-rotation/v1", "old": self.old, "new": self.new, "size": self.size})


def verify_rotation(rotation: Rotation) -> tuple[bytes, bytes]:
    """The old and the new public key (32 raw bytes), if both signed. Raises IntegrityError."""
    try:
        old, new = parse_public_key(rotation.old.encode()), parse_public_key(rotation.new.encode())
        signed = bytes.fromhex(rotation.old_signature), bytes.fromhex(rotation.new_signature)
    except (BadInput, ValueError) as error:
        raise IntegrityError(f"a rotation does not hold two keys and their signatures: {error}") from error
    verify_signature(old, rotation.payload(), signed[0], f"the rotation from {key_id(old)} to {key_id(new)}")
    verify_signature(new, rotation.payload(), signed[1], f"the rotation from {key_id(old)} to {key_id(new)}")
    return old, new


@dataclass(frozen=True)
class KeyLine:
    """The keys of one log in order, and at which size each took over; `sizes` is one shorter than `keys`."""

    keys: tuple[bytes, ...]
    sizes: tuple[int, ...] = ()

    def of_event(self, seq: int) -> bytes:
        """The key in whose time an event was recorded."""
        return self.keys[sum(size <= seq for size in self.sizes)]

    def verify_head(self, note: str) -> Checkpoint:
        """The tree head in a note, if the key whose time it was signed it. Raises IntegrityError."""
        names = [line.name for line in parse_note(note).signatures]
        known = [key for key in self.keys if log_name(key) in names]
        if not known:
            expected = ", ".join(map(log_name, self.keys))
            raise IntegrityError(f"signed by another key: found {', '.join(names)}; expected {expected}")
        head = verify_checkpoint(note, known[0])
        if known[0] != self.keys[sum(size < head.size for size in self.sizes)]:
            raise IntegrityError(f"a tree head of {head.size} events is signed by {key_id(known[0])}, outside its time")
        return head


def verify_trusted_head(note: str, trusted: Sequence[KeyLine]) -> Checkpoint:
    """The tree head in a note, if one of the trusted keys signed it in its time. Raises IntegrityError."""
    errors = []
    for line in trusted:
        try:
            return line.verify_head(note)
        except IntegrityError as error:
            errors.append(str(error))
    raise IntegrityError("; ".join(errors))


def verify_line(rotations: Sequence[Rotation], trusted: bytes) -> KeyLine:
    """The line of keys that a trusted one (32 raw bytes) is in. Raises IntegrityError unless these are one line, in
    order, every change signed by both, and the trusted key among them."""
    if not rotations:
        return KeyLine((trusted,))
    pairs = [verify_rotation(rotation) for rotation in rotations]
    keys, sizes = (pairs[0][0], *(new for _, new in pairs)), tuple(rotation.size for rotation in rotations)
    if any(new != old for (_, new), (old, _) in pairwise(pairs)) or len(set(keys)) != len(keys):
        raise IntegrityError("the rotations do not follow one another: a key that was replaced signed another change")
    if sizes != tuple(sorted(set(sizes))):
        raise IntegrityError("the rotations are not in the order of the log")
    if trusted not in keys:
        raise IntegrityError(
            f"the log's keys are {', '.join(map(key_id, keys))}; expected {key_id(trusted)} among them"
        )
    return KeyLine(keys, sizes)
