"""DSSE envelopes: a payload, its type, and signatures over both (https://github.com/secure-systems-lab/dsse).

The signed bytes are `PAE(type, payload) = "DSSEv1 " len(type) " " type " " len(payload) " " payload`, so a signature
can't be carried over to a payload of another type.
"""

import base64

from pydantic import Field

from tunegate_core.errors import IntegrityError
from tunegate_core.proof.keys import is_signed, key_id
from tunegate_core.records import Record

IN_TOTO = "application/vnd.in-toto+json"


class EnvelopeSignature(Record):
    """One signature, base64. `keyid` is a hint that is never trusted."""

    keyid: str = ""
    sig: str


class Envelope(Record):
    """The JSON form of DSSE; `payload` is base64."""

    payload: str
    payloadType: str  # the standard's spelling
    signatures: tuple[EnvelopeSignature, ...] = Field(min_length=1)


def pae(payload_type: str, payload: bytes) -> bytes:
    """The bytes that are signed (DSSE v1, pre-authentication encoding)."""
    kind = payload_type.encode()
    return b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(payload), payload)


def format_envelope(payload: bytes, keyid: str, signature: bytes, payload_type: str = IN_TOTO) -> bytes:
    """Canonical JSON of an envelope with one signature over `pae(payload_type, payload)`, made elsewhere."""
    sig = EnvelopeSignature(keyid=keyid, sig=base64.b64encode(signature).decode())
    payload64 = base64.b64encode(payload).decode()
    return Envelope(payload=payload64, payloadType=payload_type, signatures=(sig,)).canonical()


def verify_envelope(data: bytes, public_raw: bytes, payload_type: str = IN_TOTO) -> bytes:
    """The payload of an envelope that this key signed. Raises IntegrityError for anything else."""
    envelope = Envelope.parse(data)
    if envelope.payloadType != payload_type:
        raise IntegrityError(f"the envelope holds {envelope.payloadType!r}; expected {payload_type!r}")
    payload = _decode(envelope.payload)
    signed = pae(envelope.payloadType, payload)
    if not any(is_signed(public_raw, signed, _decode(line.sig)) for line in envelope.signatures):
        found = ", ".join(line.keyid or "unnamed" for line in envelope.signatures)
        raise IntegrityError(
            f"the envelope is not signed by the key {key_id(public_raw)} (found: {found}), or was changed after signing"
        )
    return payload


def _decode(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except ValueError as error:
        raise IntegrityError("the envelope holds something that is no base64") from error
