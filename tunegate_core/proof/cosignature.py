"""Cosignatures of witnesses in the form of C2SP `tlog-cosignature` v1 (Ed25519): another party saw this tree head, at
this time, and it extended all that this party saw of the log before.

The line stands in the checkpoint's note beside the log's own. Key ID: `SHA-256(name || 0x0A || 0x04 || key)[:4]`;
signature: 8 bytes of big-endian POSIX time, then 64 bytes over `cosignature/v1`, the time line and the note's text.
A witness' key is told as a vkey: `<name>+<key ID, 8 hex digits>+<base64 of 0x04 and the public key>`.
"""

import base64
import hashlib

from pydantic import Field

from tunegate_core.errors import BadInput, IntegrityError
from tunegate_core.proof.keys import verify_signature
from tunegate_core.proof.note import parse_note
from tunegate_core.records import Record

COSIGNATURE = b"\x04"
TIME_BYTES, SIGNATURE_BYTES = 8, 64


class WitnessKey(Record):
    """A witness by name and public key (64 hex digits)."""

    name: str = Field(pattern=r"^[^\s+]{1,200}$")
    public: str = Field(pattern=r"^[0-9a-f]{64}$")

    @property
    def key_hash(self) -> bytes:
        """The 4 bytes by which a cosignature line names the key."""
        return hashlib.sha256(self.name.encode() + b"\n" + COSIGNATURE + bytes.fromhex(self.public)).digest()[:4]

    def vkey(self) -> str:
        """The key as text for others to configure."""
        encoded = base64.b64encode(COSIGNATURE + bytes.fromhex(self.public)).decode()
        return f"{self.name}+{self.key_hash.hex()}+{encoded}"


def parse_vkey(text: str) -> WitnessKey:
    """The key in a vkey. Raises BadInput for anything else."""
    name, _, rest = text.strip().partition("+")
    told, _, encoded = rest.partition("+")
    try:
        data = base64.b64decode(encoded, validate=True)
        key = WitnessKey(name=name, public=data[1:].hex())
    except ValueError as error:
        raise BadInput(
            f"this is no witness' key: {error}; expected NAME+8 hex digits+base64, as it was printed"
        ) from error
    if data[:1] != COSIGNATURE or key.key_hash.hex() != told:
        raise BadInput("this is no witness' key: its type or its key ID is wrong; expected it as it was printed")
    return key


def cosigned_bytes(body: str, time: int) -> bytes:
    """What a witness signs: `body` is the note's text, `time` in seconds since 1970."""
    return f"cosignature/v1\ntime {time}\n{body}".encode()


def format_cosignature(key: WitnessKey, time: int, signature: bytes) -> str:
    """The line that is added to the note."""
    data = key.key_hash + time.to_bytes(TIME_BYTES, "big") + signature
    return f"— {key.name} {base64.b64encode(data).decode()}\n"


def verify_cosignature(note: str, key: WitnessKey) -> int | None:
    """When this witness cosigned the note (seconds since 1970, the latest of several); None where it did not.

    Raises IntegrityError for a line that claims its key and does not verify.
    """
    parsed, times = parse_note(note), []
    for line in parsed.signatures:
        if (line.name, line.key_hash) != (key.name, key.key_hash.hex()):
            continue
        data = bytes.fromhex(line.signature)
        time = int.from_bytes(data[:TIME_BYTES], "big")
        if len(data) != TIME_BYTES + SIGNATURE_BYTES or time >= 1 << 63:
            raise IntegrityError(f"the cosignature of {key.name} has no time and signature")
        what = f"the cosignature of {key.name}"
        verify_signature(bytes.fromhex(key.public), cosigned_bytes(parsed.body, time), data[TIME_BYTES:], what)
        times.append(time)
    return max(times, default=None)
