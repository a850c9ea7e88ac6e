"""Equal values have equal bytes; what JSON can't say has none."""

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunegate_core.canonical import canonical_json, digest, digest_json, parse_digest, verify_digest
from tunegate_core.errors import BadInput, IntegrityError

EXACT = 2**53 - 1
TEXT = st.text(alphabet=st.characters(exclude_categories=["Cs"]))
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(min_value=-EXACT, max_value=EXACT)
    | st.floats(min_value=-EXACT, max_value=EXACT)
    | st.floats(min_value=1e21, max_value=1e300)  # from here on JSON numbers are written with an exponent
    | TEXT
)
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4))


@given(VALUES)
def test_round_trip(value: Any) -> None:
    assert same(json.loads(canonical_json(value)), value)


@given(VALUES)
def test_canonical_form_is_a_fixed_point(value: Any) -> None:
    once = canonical_json(value)
    assert canonical_json(json.loads(once)) == once


@given(st.dictionaries(TEXT, SCALARS, min_size=2))
def test_order_of_keys_does_not_matter(value: dict[str, Any]) -> None:
    assert digest_json(dict(reversed(value.items()))) == digest_json(value)


def test_the_example_of_rfc_8785() -> None:
    value = {
        "numbers": [333333333.33333329, 1e30, 4.50, 2e-3, 0.000000000000000000000000001],
        "string": "\u20ac$\u000f\u000aA'\u0042\u0022\u005c\\\"\u002f",
        "literals": [None, True, False],
    }
    assert canonical_json(value).decode() == (
        '{"literals":[null,true,false],"numbers":[333333333.3333333,1e+30,4.5,0.002,1e-27],'
        '"string":"€$\\u000f\\nA\'B\\"\\\\\\\\\\"/"}'
    )


def test_keys_are_sorted_by_utf_16_units() -> None:
    """The Deseret letter sorts before U+FB33 in UTF-16, after it by code point (RFC 8785, 3.2.3)."""
    assert list(json.loads(canonical_json({"\ufb33": 1, "\U00010400": 2}))) == ["\U00010400", "\ufb33"]


@pytest.mark.parametrize(
    "value",
    [
        math.nan,
        math.inf,
        -math.inf,
        2**53,
        -(2**53),
        {1: 2},
        {None: 1},
        {1, 2},
        b"bytes",
        object(),
        "\ud800",
        {"\ud800": 1},
    ],
    ids=lambda value: "object" if type(value) is object else repr(value),
)
def test_what_has_no_form_is_refused(value: object) -> None:
    with pytest.raises(BadInput, match="no canonical JSON form"):
        canonical_json({"inside": [value]})
    with pytest.raises(BadInput):
        digest_json(value)


def test_endless_nesting_is_refused() -> None:
    value: list[Any] = []
    for _ in range(20_000):
        value = [value]
    with pytest.raises(BadInput, match="nested too deeply"):
        canonical_json(value)


@pytest.mark.parametrize(
    "text", ["", "sha256:", "sha256:" + "0" * 63, "sha256:" + "0" * 65, "sha256:" + "G" * 64, "SHA256:" + "0" * 64,
             "sha256:" + "A" * 64, "sha256:" + "0" * 64 + "\n", " sha256:" + "0" * 64, "0" * 64, "../" * 21 + "x"]
)  # fmt: skip
def test_what_is_no_digest_is_refused(text: str) -> None:
    with pytest.raises(BadInput, match="is not a digest"):
        parse_digest(text)


@given(st.binary())
def test_a_digest_is_read_back(data: bytes) -> None:
    assert parse_digest(digest(data)) == digest(data)
    assert verify_digest(data, digest(data), "x") is data


@given(st.binary(min_size=1), st.data())
def test_one_changed_bit_is_found(data: bytes, draw: st.DataObject) -> None:
    bit = draw.draw(st.integers(0, len(data) * 8 - 1))
    changed = bytearray(data)
    changed[bit // 8] ^= 1 << bit % 8
    with pytest.raises(IntegrityError, match="the letter was changed"):
        verify_digest(bytes(changed), digest(data), "the letter")


def same(found: Any, value: Any) -> bool:
    """Equal as JSON: numbers by value (1.0 is written 1), booleans not as numbers, -0.0 as 0."""
    if isinstance(value, dict):
        return isinstance(found, dict) and found.keys() == value.keys() and all(same(found[k], value[k]) for k in value)
    if isinstance(value, list):
        return isinstance(found, list) and len(found) == len(value) and all(map(same, found, value))
    return bool(found == value) and isinstance(found, bool) == isinstance(value, bool)
