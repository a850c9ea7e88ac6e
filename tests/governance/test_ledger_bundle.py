"""A bundle proves a release by itself, and nothing in it can be changed, left out or taken from elsewhere."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from governance.keys import SigningKey, load_or_create
from governance.ledger import Event, Ledger
from governance.ledger.bundling import make_bundle
from governance.lifecycle import Planned, Released, replay
from governance.policy import ApprovalRule
from governance.statement import sign_statement
from tunegate_core.canonical import canonical_json, digest
from tunegate_core.errors import IntegrityError, TunegateError
from tunegate_core.proof.approval import Decided, SignedDecision
from tunegate_core.proof.bundle import verify_bundle
from tunegate_core.records import AdapterRecord, BaseModelRecord, TrainingRecord
from tunegate_core.store import Tree, TreeFile

DIGEST = "sha256:" + "1a" * 32
MANIFEST = Tree(files=(TreeFile(path="adapter_model.safetensors", sha256=DIGEST, size=7),)).canonical()
ADAPTER = AdapterRecord(
    tree=digest(MANIFEST),
    base=DIGEST,
    template=DIGEST,
    config=DIGEST,
    rank=4,
    target_modules=("q_proj",),
    parameters=10,
)
TRAINING = TrainingRecord(
    steps=1,
    rows_per_step=1,
    supervised_tokens=1,
    first_loss=2.5,
    final_loss=1.5,
    packing=False,
    precision="float32",
    workers=1,
    strategy="none",
    trained_parameters=10,
)
BASE = BaseModelRecord(
    source="folder", tree=DIGEST, template=DIGEST, architecture="x", parameters=1, vocabulary=1, hidden_size=1
)
PLANNED = Planned(
    name="bot",
    version=1,
    route="bot",
    run=DIGEST,
    starter="starter",
    config=DIGEST,
    base=BASE,
    data=None,
    policy=DIGEST,
    margins={"facts": 0.05},
    approvals=ApprovalRule(required=1, expires_days=None),
    items={},
    champion=None,
    source_adapter=None,
    attempt=1,
)


@dataclass
class Release:
    """One release in a ledger, with hooks to tell another story."""

    ledger: Ledger
    people: dict[str, SigningKey]
    bodies: dict[str, Any] = field(default_factory=dict)
    statement_signer: SigningKey | None = None
    subject_digest: str = ADAPTER.tree
    signed: dict[str, Any] = field(default_factory=dict)

    def approval(self, person: str) -> dict[str, Any]:
        """A decision by a person, over what `signed` says instead of the truth."""
        key = self.people[person]
        about: dict[str, Any] = {
            "subject": "bot@1",
            "adapter": ADAPTER.tree,
            "evidence": (DIGEST,),
            "policy": DIGEST,
            "verdict": DIGEST,
            "outcome": "PASS",
        }
        draft = SignedDecision(
            approver=key.key_id,
            public_key=key.public_pem.decode(),
            decision=self.bodies.get("decision", "approve"),
            reason="rows:00",
            expires=self.bodies.get("expires"),
            signature="",
        )
        signature = key.sign(Decided(**{**about, **self.signed}).payload(draft)).hex()
        return draft.model_copy(update={"signature": signature}).model_dump(mode="json")

    def tell(self, approvers: tuple[str, ...] = ("alice",), leave_out: tuple[str, ...] = ()) -> bytes:
        """Record the story; return its bundle."""
        signer = self.statement_signer or self.people["ledger"]
        statement = {
            "_type": "https://in-toto.io/Statement/v1",
            "subject": [{"name": "bot@1", "digest": {"sha256": self.subject_digest.removeprefix("sha256:")}}],
            "predicateType": "urn:tunegate:release:v1",
            "predicate": {},
        }
        envelope = sign_statement(statement, signer.sign, signer.key_id)
        story: list[tuple[str, dict[str, Any]]] = [
            ("planned", PLANNED.model_dump(mode="json")),
            ("trained", {"training": TRAINING.model_dump(mode="json"), "output": DIGEST, "environment": DIGEST}),
            ("sealed", {"adapter": ADAPTER.model_dump(mode="json")}),
            ("examined", {"evidence": [DIGEST]}),
            ("judged", {"verdict": DIGEST, "outcome": "PASS"}),
            *[("approval", self.approval(person)) for person in approvers],
            ("approved", {}),
            ("released", {"statement": digest(envelope), "route": "bot"}),
        ]
        events = [
            self.ledger.append(kind, self.bodies.get(kind, body), subject="bot@1", actor="operator")
            for kind, body in story
        ]
        self.ledger.append("other", {}, subject="other@1", actor="operator")
        shown = [event for event in events if event.kind not in leave_out]
        return make_bundle(self.ledger, envelope, MANIFEST, shown)


@pytest.fixture
def release(
    sqlite_url: str, signer: SigningKey, anchor: Path, tmp_path: Path, clock: Callable[[], datetime]
) -> Release:
    ledger = Ledger.open(sqlite_url, signer, anchor, clock)
    ledger.append("before", {})
    people = {name: load_or_create(tmp_path / "keys", name) for name in ("alice", "bob", "stranger")}
    return Release(ledger, {**people, "ledger": signer})


def test_a_release_is_proved(release: Release, signer: SigningKey) -> None:
    found = verify_bundle(release.tell(("alice", "bob")), signer.public_pem)
    assert (found.subject, found.adapter, found.files, found.approvals) == ("bot@1", ADAPTER.tree, 1, 2)
    assert (found.size, bytes.fromhex(found.root)) == release.ledger.head()
    assert found.log == f"tunegate/{signer.key_id}"


def test_the_lifecycle_agrees_with_what_a_bundle_asks_for(release: Release, signer: SigningKey) -> None:
    release.tell()
    assert isinstance(replay(release.ledger.events(subject="bot@1")), Released)


def test_another_log_s_key_is_refused(release: Release) -> None:
    with pytest.raises(IntegrityError, match="signed by another key"):
        verify_bundle(release.tell(), release.people["stranger"].public_pem)


@pytest.mark.parametrize("kind", ["planned", "sealed", "examined", "judged", "approval", "approved", "released"])
def test_nothing_may_be_left_out(release: Release, signer: SigningKey, kind: str) -> None:
    with pytest.raises(IntegrityError):
        verify_bundle(release.tell(leave_out=(kind,)), signer.public_pem)


@pytest.mark.parametrize(
    ("kind", "body", "words"),
    [
        ("judged", {"verdict": DIGEST, "outcome": "FAIL"}, "the verdict was FAIL"),
        ("judged", {"verdict": DIGEST, "outcome": "UNDECIDED"}, "the verdict was UNDECIDED"),
        ("judged", {}, "do not name adapter, evidence, policy and verdict"),
        ("released", {"statement": DIGEST, "route": "bot"}, "the statement that the released event names"),
        ("sealed", {"adapter": {"tree": DIGEST}}, "the approval by"),
        ("sealed", {}, "do not name adapter"),
        ("planned", {"policy": DIGEST, "starter": "x"}, "how many approvals"),
        ("decision", "refuse", "was refused by"),
        ("expires", "2026-01-01T00:00:00+00:00", "0 approvals that count; its plan asks for 1"),
        ("expires", "soon", "times can't be compared"),
    ],
)
def test_another_story_is_refused(release: Release, signer: SigningKey, kind: str, body: Any, words: str) -> None:
    release.bodies[kind] = body
    with pytest.raises(IntegrityError, match=words):
        verify_bundle(release.tell(), signer.public_pem)


@pytest.mark.parametrize("name", ["subject", "adapter", "policy", "verdict", "outcome"])
def test_an_approval_of_something_else_is_void(release: Release, signer: SigningKey, name: str) -> None:
    release.signed = {name: "other"}
    with pytest.raises(IntegrityError, match="is not signed by the key"):
        verify_bundle(release.tell(), signer.public_pem)


def test_who_started_it_can_not_approve_it(release: Release, signer: SigningKey) -> None:
    starter = release.people["alice"].key_id
    release.bodies["planned"] = {**PLANNED.model_dump(mode="json"), "starter": starter}
    with pytest.raises(IntegrityError, match="0 approvals that count"):
        verify_bundle(release.tell(("alice",)), signer.public_pem)


def test_one_person_counts_once(release: Release, signer: SigningKey) -> None:
    rule = {"required": 2, "four_eyes": True, "expires_days": None}
    release.bodies["planned"] = {**PLANNED.model_dump(mode="json"), "approvals": rule}
    with pytest.raises(IntegrityError, match="is there twice"):
        verify_bundle(release.tell(("alice", "alice")), signer.public_pem)


def test_the_statement_is_of_this_adapter_by_this_log(release: Release, signer: SigningKey) -> None:
    release.subject_digest = DIGEST
    with pytest.raises(IntegrityError, match="the statement's subject"):
        verify_bundle(release.tell(), signer.public_pem)


def test_a_statement_signed_by_another_is_refused(release: Release, signer: SigningKey) -> None:
    release.statement_signer = release.people["stranger"]
    with pytest.raises(IntegrityError, match="the envelope is not signed by the key"):
        verify_bundle(release.tell(), signer.public_pem)


def test_any_changed_byte_is_found(release: Release, signer: SigningKey) -> None:
    whole = release.tell()
    verified = verify_bundle(whole, signer.public_pem)
    for at in range(0, len(whole), 13):
        changed = whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :]
        try:
            found = verify_bundle(changed, signer.public_pem)
        except TunegateError:
            continue
        assert found == verified  # such as the padding bits of a base64 signature


@pytest.mark.parametrize(
    "change",
    [
        {"type": "other"},
        {"v": 2},
        {"more": 1},
        {"events": []},
        {"checkpoint": ""},
        {"manifest": "{}"},
        {"statement": "{}"},
    ],
)
def test_a_bundle_of_another_form_is_refused(release: Release, signer: SigningKey, change: dict[str, Any]) -> None:
    with pytest.raises(IntegrityError):
        verify_bundle(canonical_json({**json.loads(release.tell()), **change}), signer.public_pem)


def test_events_of_another_release_do_not_help(release: Release, signer: SigningKey) -> None:
    release.tell()
    envelope = sign_statement({}, signer.sign, signer.key_id)
    mixed: list[Event] = release.ledger.events()[1:]
    with pytest.raises(IntegrityError, match="not of one release"):
        verify_bundle(make_bundle(release.ledger, envelope, MANIFEST, mixed), signer.public_pem)
