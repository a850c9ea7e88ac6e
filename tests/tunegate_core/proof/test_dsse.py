"""DSSE envelopes: the standard's own example, and what must not pass."""

import base64
import json

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tunegate_core.errors import IntegrityError
from tunegate_core.proof.dsse import IN_TOTO, format_envelope, pae, verify_envelope

PRIVATE = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
PUBLIC = PRIVATE.public_key().public_bytes_raw()
OTHER = Ed25519PrivateKey.from_private_bytes(bytes(32)).public_key().public_bytes_raw()


def sign(payload: bytes, payload_type: str = IN_TOTO) -> bytes:
    return format_envelope(payload, "key", PRIVATE.sign(pae(payload_type, payload)), payload_type)


def test_the_encoding_of_the_standard() -> None:
    assert pae("http://example.com/HelloWorld", b"hello world") == (
        b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
    )


def test_what_is_signed_verifies() -> None:
    assert verify_envelope(sign(b'{"a":1}'), PUBLIC) == b'{"a":1}'


def test_one_good_signature_is_enough() -> None:
    envelope = json.loads(sign(b"{}"))
    envelope["signatures"].insert(0, {"keyid": "other", "sig": base64.b64encode(bytes(64)).decode()})
    assert verify_envelope(json.dumps(envelope).encode(), PUBLIC) == b"{}"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("payload", base64.b64encode(b'{"a":2}').decode()),
        ("payload", "no base64!"),
        ("payload", None),
        ("payloadType", "text/plain"),
        ("signatures", []),
        ("signatures", [{"keyid": "key", "sig": "é"}]),
        ("more", 1),
    ],
)
def test_a_changed_envelope_is_refused(field: str, value: object) -> None:
    envelope = {**json.loads(sign(b'{"a":1}')), field: value}
    with pytest.raises(IntegrityError):
        verify_envelope(json.dumps(envelope).encode(), PUBLIC)


def test_another_type_or_key_is_refused() -> None:
    with pytest.raises(IntegrityError, match="the envelope holds 'text/plain'"):
        verify_envelope(sign(b"{}", "text/plain"), PUBLIC)
    with pytest.raises(IntegrityError, match="not signed by the key"):
        verify_envelope(sign(b"{}"), OTHER)
    carried_over = json.loads(sign(b"{}", "text/plain")) | {"payloadType": IN_TOTO}
    with pytest.raises(IntegrityError, match="not signed by the key"):
        verify_envelope(json.dumps(carried_over).encode(), PUBLIC)
    with pytest.raises(IntegrityError):
        verify_envelope(b"no json", PUBLIC)
