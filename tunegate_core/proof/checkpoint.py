"""Signed tree heads in the text form of C2SP `tlog-checkpoint`: origin, size and root of a log, one line each.

Extension lines after the root are signed but mean nothing here. See https://c2sp.org/tlog-checkpoint.
"""

import base64
import re

from pydantic import Field

from tunegate_core.errors import IntegrityError
from tunegate_core.proof.note import log_name, verify_note
from tunegate_core.proof.paths import HASH
from tunegate_core.records import Record

_SIZE = re.compile(r"0|[1-9][0-9]{0,18}")


class Checkpoint(Record):
    """A tree head: the log's name, its number of events, and its root (hex)."""

    origin: str = Field(min_length=1)
    size: int = Field(ge=0)
    root: str = Field(pattern=HASH)

    @property
    def root_raw(self) -> bytes:
        """The root's 32 bytes."""
        return bytes.fromhex(self.root)

    def body(self) -> str:
        """The text that is signed."""
        return f"{self.origin}\n{self.size}\n{base64.b64encode(self.root_raw).decode()}\n"


def parse_checkpoint(body: str) -> Checkpoint:
    """The tree head in a note's text. Raises IntegrityError when the form is wrong."""
    lines = body.split("\n")
    if len(lines) < 4 or lines[-1] or not all(lines[:-1]):
        raise IntegrityError("this is no checkpoint: expected three lines with origin, size and root")
    if not _SIZE.fullmatch(lines[1]):
        raise IntegrityError(f"the checkpoint's size is {lines[1]!r}; expected a decimal number")
    try:
        root = base64.b64decode(lines[2], validate=True)
    except ValueError as error:
        raise IntegrityError("the checkpoint's root is no base64") from error
    if len(root) != 32 or base64.b64encode(root).decode() != lines[2]:
        raise IntegrityError("the checkpoint's root is not 32 bytes in base64")
    return Checkpoint(origin=lines[0], size=int(lines[1]), root=root.hex())


def verify_checkpoint(text: str, public_raw: bytes) -> Checkpoint:
    """The tree head in a note signed by this key for the log of this key. Raises IntegrityError."""
    name = log_name(public_raw)
    checkpoint = parse_checkpoint(verify_note(text, public_raw, name))
    if checkpoint.origin != name:
        raise IntegrityError(f"the checkpoint is of the log {checkpoint.origin!r}; expected {name!r}")
    return checkpoint
