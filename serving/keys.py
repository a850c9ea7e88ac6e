"""Whose request this is: `Authorization: Bearer tg_<key_id>_<secret>` against the keys of the signed snapshot.

The secret has 256 random bits, so one SHA-256 is enough, and it is compared in constant time. An unknown key id costs
the same work as a wrong secret.
"""

import hashlib
import re
from collections.abc import Iterable, Mapping
from hmac import compare_digest

from serving.errors import forbidden, unauthenticated
from serving.view import Key
from tunegate_core.snapshot import Scope

_BEARER = re.compile(r"(?i:bearer) +tg_([0-9a-f]{16})_([A-Za-z0-9_-]{16,128})")
_NOBODY = "0" * 64


def authorization(headers: Iterable[tuple[bytes, bytes]]) -> str:
    """The Authorization header. One that is sent twice is joined, as HTTP says, and so opens nothing: else a proxy
    before us could have looked at the one and we at the other."""
    return ", ".join(value.decode("latin-1") for name, value in headers if name == b"authorization")


def authenticate(header: str | None, keys: Mapping[str, Key], now: float) -> Key:
    """The key of a request, valid at `now` (seconds since 1970). Raises Refusal (401), which says no more."""
    found = _BEARER.fullmatch(header or "")
    if found is None:
        raise unauthenticated()
    key = keys.get(found[1])
    secret = hashlib.sha256(found[2].encode()).hexdigest()
    is_right = compare_digest(secret, key.secret_sha256 if key else _NOBODY)
    if key is None or not is_right or not key.is_valid(now):
        raise unauthenticated()
    return key


def require(key: Key, *scopes: Scope) -> None:
    """The key has one of these scopes. Raises Refusal (403) otherwise."""
    if key.scopes.isdisjoint(scopes):
        raise forbidden(scopes[0])
