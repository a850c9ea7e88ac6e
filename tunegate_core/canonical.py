"""Canonical bytes and digests: the one way a record becomes something that can be signed.

JSON is put in the canonical form of RFC 8785 (JCS); a digest is `sha256:` and 64 hex digits over bytes.
NaN and infinities have no canonical form and raise: a figure that was not measured is `null`, never a number.
"""

import hashlib
import re
from typing import Any, NewType

import rfc8785

from tunegate_core.errors import BadInput, IntegrityError

Digest = NewType("Digest", str)

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


def canonical_json(value: Any) -> bytes:
    """RFC 8785 form of a JSON value. Raises BadInput for what JSON or JCS can't say (NaN, sets, ints beyond 2^53)."""
    try:
        return rfc8785.dumps(value)
    except (rfc8785.CanonicalizationError, UnicodeEncodeError) as error:
        raise BadInput(f"this value has no canonical JSON form: {error}") from error
    except RecursionError as error:
        raise BadInput("this value has no canonical JSON form: it is nested too deeply") from error


def digest(data: bytes) -> Digest:
    """SHA-256 of bytes, written `sha256:<64 hex>`."""
    return Digest("sha256:" + hashlib.sha256(data).hexdigest())


def digest_json(value: Any) -> Digest:
    """Digest of the canonical form of a JSON value."""
    return digest(canonical_json(value))


def parse_digest(text: str) -> Digest:
    """`text` as a digest. Raises BadInput when it is not one."""
    if not _DIGEST.fullmatch(text):
        raise BadInput(f"'{text}' is not a digest; expected 'sha256:' and 64 hex digits")
    return Digest(text)


def verify_digest(data: bytes, expected: str, what: str) -> bytes:
    """`data` unchanged if its digest is `expected`; raises IntegrityError naming `what` otherwise."""
    found = digest(data)
    if found != expected:
        raise IntegrityError(f"{what} was changed: expected {expected}, found {found}")
    return data
