"""Signed notes in the text form of C2SP `signed-note`: a text, an empty line, and one line per signature.

    <text, ending in a newline>
    <empty line>
    — <key name> <base64 of 4 bytes of key hash and the signature>

The key hash is the first four bytes of `SHA-256(name || 0x0A || 0x01 || public key)` for Ed25519. Lines by unknown keys
(witnesses) are ignored; a line that claims the expected key must verify. See https://c2sp.org/signed-note.
"""

import base64
import hashlib

from pydantic import Field

from tunegate_core.errors import BadInput, IntegrityError
from tunegate_core.proof.keys import key_id, verify_signature
from tunegate_core.records import Record

ED25519 = b"\x01"
MAX_NOTE_CHARACTERS = 100_000


class NoteSignature(Record):
    """One signature line: who claims it, the hash of the key (8 hex digits), and the signature, hex."""

    name: str = Field(pattern=r"^[^\s+]+$")
    key_hash: str = Field(pattern=r"^[0-9a-f]{8}$")
    signature: str = Field(pattern=r"^[0-9a-f]*$")


class Note(Record):
    """A note taken apart, not yet verified. `body` is exactly what was signed, its last newline included."""

    body: str
    signatures: tuple[NoteSignature, ...] = Field(min_length=1)


def key_hash(name: str, public_raw: bytes) -> bytes:
    """The 4 bytes by which a signature line names an Ed25519 key."""
    return hashlib.sha256(name.encode() + b"\n" + ED25519 + public_raw).digest()[:4]


def format_note(body: str, name: str, public_raw: bytes, signature: bytes) -> str:
    """The note over `body` (which ends in a newline) with one Ed25519 signature, made elsewhere."""
    if not body.endswith("\n") or not name or any(char.isspace() or char == "+" for char in name):
        raise BadInput("a note's text ends in a newline, and its key name has no space and no plus sign")
    line = base64.b64encode(key_hash(name, public_raw) + signature).decode()
    return f"{body}\n— {name} {line}\n"


def parse_note(text: str) -> Note:
    """A note taken apart. Raises IntegrityError when the form is wrong; says nothing about who signed it."""
    if len(text) > MAX_NOTE_CHARACTERS or any(_is_forbidden(char) for char in text):
        raise IntegrityError("this is no signed note: too long, or it holds control characters")
    head, separator, tail = text.rpartition("\n\n")
    if not separator or not head or not tail.endswith("\n"):
        raise IntegrityError("this is no signed note: expected a text, an empty line and signature lines")
    return Note(body=head + "\n", signatures=tuple(_signature(line) for line in tail[:-1].split("\n")))


def verify_note(text: str, public_raw: bytes, name: str) -> str:
    """The note's text after its signature by this key, under this name, was checked. Raises IntegrityError."""
    note = parse_note(text)
    expected = key_hash(name, public_raw).hex()
    claims = [line for line in note.signatures if line.name == name and line.key_hash == expected]
    if not claims:
        found = ", ".join(f"{line.name} ({line.key_hash})" for line in note.signatures)
        raise IntegrityError(f"the note is signed by another key: found {found}; expected {name} ({expected})")
    for line in claims:
        verify_signature(public_raw, note.body.encode(), bytes.fromhex(line.signature), f"the note of {name}")
    return note.body


def log_name(public_raw: bytes) -> str:
    """What a Tunegate log calls itself, as the origin of its checkpoints and the name of its key."""
    return f"tunegate/{key_id(public_raw)}"


def _is_forbidden(char: str) -> bool:
    """Control characters, and halves of characters that UTF-8 can't say."""
    return (char < " " and char != "\n") or "\ud800" <= char <= "\udfff"


def _signature(line: str) -> NoteSignature:
    parts = line.split(" ")
    if len(parts) != 3 or parts[0] != "—":
        raise IntegrityError(f"this is no signature line of a note: {line[:80]!r}")
    try:
        data = base64.b64decode(parts[2], validate=True)
    except ValueError as error:
        raise IntegrityError(f"a signature line of the note holds no base64: {line[:80]!r}") from error
    if len(data) < 5 or not parts[1] or "+" in parts[1] or any(char.isspace() for char in parts[1]):
        raise IntegrityError(f"this is no signature line of a note: {line[:80]!r}")
    return NoteSignature(name=parts[1], key_hash=data[:4].hex(), signature=data[4:].hex())
