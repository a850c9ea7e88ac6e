"""The release statement: what in-toto asks for, what made the adapter, and a signature over every byte."""

import base64
import json
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from governance.lifecycle import Approved, Planned
from governance.policy import ApprovalRule
from governance.statement import PREDICATE_TYPE, release_statement, sign_statement
from tunegate_core.canonical import canonical_json
from tunegate_core.errors import IntegrityError
from tunegate_core.proof.approval import SignedDecision
from tunegate_core.proof.dsse import verify_envelope
from tunegate_core.proof.keys import key_id
from tunegate_core.records import AdapterRecord, BaseModelRecord
from tunegate_core.store import Tree, TreeFile

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
PUBLIC = KEY.public_key().public_bytes_raw()
MANIFEST = Tree(
    files=(
        TreeFile(path="adapter_config.json", sha256="sha256:" + "1" * 64, size=3),
        TreeFile(path="adapter_model.safetensors", sha256="sha256:" + "2" * 64, size=5),
    )
)


def digest(letter: str) -> str:
    return "sha256:" + letter * 64


@pytest.fixture
def approved() -> Approved:
    base = BaseModelRecord(
        source="pkg://m@1", tree=digest("b"), template=digest("c"), architecture="A", parameters=1, vocabulary=1,
        hidden_size=1,
    )  # fmt: skip
    planned = Planned(
        name="bot", version=3, route="support", run=digest("d"), starter="s" * 16, config=digest("e"), base=base,
        data=None, policy=digest("f"), margins={"better": 0.0}, approvals=ApprovalRule(),
        items={"facts": {"digest": digest("0"), "n": 130}}, champion="bot@1", source_adapter="bot@2", attempt=2,
    )  # fmt: skip
    adapter = AdapterRecord(
        tree=MANIFEST.digest(), base=digest("b"), template=digest("c"), config=digest("e"), rank=8,
        target_modules=("q_proj",), parameters=10,
    )  # fmt: skip
    yes = SignedDecision(
        approver="r" * 16, public_key="PEM", decision="approve", reason="rows:1", expires=None, signature="00"
    )
    return Approved(
        planned=planned, before=digest("9"), adapter=adapter, evidence=(digest("7"), digest("8")), verdict=digest("6"),
            outcome="PASS",
        approvals=(yes,),
    )  # fmt: skip


def envelope_of(approved: Approved) -> bytes:
    return sign_statement(release_statement(approved, MANIFEST), KEY.sign, key_id(PUBLIC))


def test_it_is_an_in_toto_statement(approved: Approved) -> None:
    statement = release_statement(approved, MANIFEST)
    assert set(statement) == {"_type", "subject", "predicateType", "predicate"}
    assert statement["_type"] == "https://in-toto.io/Statement/v1"
    assert statement["predicateType"] == PREDICATE_TYPE
    assert ":" in PREDICATE_TYPE  # a URI, as the framework asks
    subject = {"name": "bot@3", "digest": {"sha256": MANIFEST.digest().removeprefix("sha256:")}}
    assert statement["subject"] == [subject]


def test_it_says_what_made_the_adapter_and_why_it_may_answer(approved: Approved) -> None:
    predicate: dict[str, Any] = release_statement(approved, MANIFEST)["predicate"]
    assert predicate["files"] == {"adapter_config.json": "1" * 64, "adapter_model.safetensors": "2" * 64}
    assert predicate["base"]["tree"] == digest("b")
    assert predicate["items"] == {"facts": digest("0")}
    assert predicate["evidence"] == [digest("7"), digest("8")]
    assert (predicate["verdict"], predicate["outcome"], predicate["policy"]) == (digest("6"), "PASS", digest("f"))
    assert (predicate["route"], predicate["champion"], predicate["sourceAdapter"]) == ("support", "bot@1", "bot@2")
    assert (predicate["attempt"], predicate["margins"], predicate["data"]) == (2, {"better": 0.0}, None)
    assert [approval["approver"] for approval in predicate["approvals"]] == ["r" * 16]


def test_the_envelope_verifies_and_repeats(approved: Approved) -> None:
    envelope = envelope_of(approved)
    payload = verify_envelope(envelope, PUBLIC)
    assert payload == canonical_json(release_statement(approved, MANIFEST))
    assert envelope_of(approved) == envelope  # Ed25519 signs the same bytes the same way
    assert json.loads(envelope)["payloadType"] == "application/vnd.in-toto+json"
    assert json.loads(envelope)["signatures"][0]["keyid"] == key_id(PUBLIC)


def test_no_byte_of_the_payload_or_the_signature_can_change(approved: Approved) -> None:
    envelope = json.loads(envelope_of(approved))
    payload, signature = (base64.b64decode(text) for text in (envelope["payload"], envelope["signatures"][0]["sig"]))

    def with_parts(payload: bytes, signature: bytes) -> bytes:
        sig = {**envelope["signatures"][0], "sig": base64.b64encode(signature).decode()}
        return json.dumps({**envelope, "payload": base64.b64encode(payload).decode(), "signatures": [sig]}).encode()

    assert verify_envelope(with_parts(payload, signature), PUBLIC) == payload
    for place in range(len(payload)):
        changed = payload[:place] + bytes([payload[place] ^ 1]) + payload[place + 1 :]
        with pytest.raises(IntegrityError):
            verify_envelope(with_parts(changed, signature), PUBLIC)
    for place in range(len(signature)):
        changed = signature[:place] + bytes([signature[place] ^ 1]) + signature[place + 1 :]
        with pytest.raises(IntegrityError):
            verify_envelope(with_parts(payload, changed), PUBLIC)


def test_no_byte_of_the_envelope_changes_what_is_said(approved: Approved) -> None:
    """A changed byte is refused, or (in the key's hint, which nobody trusts) leaves the payload as it was signed."""
    envelope = envelope_of(approved)
    payload = verify_envelope(envelope, PUBLIC)
    hint = range(envelope.index(b'"keyid":"') + 9, envelope.index(b'"keyid":"') + 9 + 16)
    for place in range(len(envelope)):
        changed = envelope[:place] + bytes([envelope[place] ^ 1]) + envelope[place + 1 :]
        if place in hint:
            assert verify_envelope(changed, PUBLIC) == payload
            continue
        with pytest.raises(IntegrityError):
            verify_envelope(changed, PUBLIC)


def test_another_key_does_not_verify(approved: Approved) -> None:
    other = Ed25519PrivateKey.from_private_bytes(bytes(32)).public_key().public_bytes_raw()
    with pytest.raises(IntegrityError, match="not signed by the key"):
        verify_envelope(envelope_of(approved), other)
