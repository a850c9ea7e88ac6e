"""One stored row against itself: its bytes are a canonical event, and its columns say what the bytes say.

Canonical form is checked without making it again wherever that is enough, which is an order faster: ASCII JSON of
strings, small integers and everyday floats is canonical if a plain compact writer that sorts keys gives the same bytes.
"""

from collections.abc import Iterable
from contextlib import suppress
from typing import Any

import orjson
from pydantic_core import from_json

from tunegate_core.canonical import canonical_json
from tunegate_core.errors import BadInput

FIELDS = ["actor", "at", "body", "key", "kind", "seq", "subject", "v"]
LARGEST_INTEGER = 2**53 - 1
EVERYDAY = (1e-4, 1e15)  # here every writer of floats gives the same digits, if the value is no integer


def parse_row(data: bytes) -> dict[str, Any]:
    """The event in a row's bytes. Raises ValueError when they are no event of a known version."""
    event = orjson.loads(data)
    if type(event) is not dict or list(event) != FIELDS or event["v"] != 1:
        raise ValueError("the bytes are no event of a known version")
    if type(event["seq"]) is not int or type(event["body"]) is not dict:
        raise ValueError("the bytes are no event of a known version")
    return event


def column_fault(event: dict[str, Any], kind: str, subject: str | None, key: str | None, at: str) -> str | None:
    """Which columns differ from the bytes; None when all agree."""
    if event["kind"] == kind and event["subject"] == subject and event["key"] == key and event["at"] == at:
        return None
    columns = {"kind": kind, "subject": subject, "key": key, "at": at}
    return ", ".join(name for name, value in columns.items() if event[name] != value)


def is_canonical(data: bytes, event: dict[str, Any]) -> bool:
    """Whether `data`, which was read as `event`, is its RFC 8785 form.

    What the quick reader reads otherwise than it is written (integers beyond 64 bits) is read again by an exact one.
    """
    if data.isascii() and event["seq"] <= LARGEST_INTEGER and _is_plain(event["body"].values()):
        with suppress(orjson.JSONEncodeError):
            if orjson.dumps(event, option=orjson.OPT_SORT_KEYS) == data:
                return True
    try:
        return canonical_json(from_json(data, allow_inf_nan=False)) == data
    except (BadInput, ValueError):
        return False


def _is_plain(values: Iterable[Any]) -> bool:
    """Whether every number is one that every writer writes the same. Runs once an event: kept flat."""
    for inner in values:
        kind = type(inner)
        if kind is str:
            continue
        if kind is dict or kind is list:
            if not _is_plain(inner.values() if kind is dict else inner):
                return False
        elif kind is int:
            if not -LARGEST_INTEGER <= inner <= LARGEST_INTEGER:
                return False
        elif kind is float and not (EVERYDAY[0] <= abs(inner) < EVERYDAY[1] and not inner.is_integer()):
            return False
    return True
