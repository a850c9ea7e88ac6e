"""Only the arrows: no order of events but the lifecycle's, and no release without PASS and enough other people."""

from dataclasses import dataclass, field
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from governance.lifecycle import ARROWS, Judged, Released, decided, replay
from governance.policy import ApprovalRule
from governance.registry import Registry
from governance.statement import release_statement, sign_statement
from tunegate_core.errors import IntegrityError, TunegateError
from tunegate_core.proof.approval import SignedDecision
from tunegate_core.proof.dsse import verify_envelope
from tunegate_core.proof.keys import key_id
from tunegate_core.store import Tree, TreeFile

AT = "2026-01-01T00:00:00.000000Z"
DIGEST = "sha256:" + "1" * 64
BASE = {
    "source": "pkg://m@1", "tree": DIGEST, "template": DIGEST, "architecture": "A", "parameters": 1, "vocabulary": 1,
    "hidden_size": 1, "licence": None,
}  # fmt: skip
ADAPTER = {
    "tree": "sha256:" + "a" * 64, "base": DIGEST, "template": DIGEST, "config": DIGEST, "rank": 1,
    "target_modules": ["q"], "parameters": 1,
}  # fmt: skip
TRAINING = {
    "steps": 1, "rows_per_step": 1, "supervised_tokens": 1, "first_loss": 1.0, "final_loss": 0.5, "packing": True,
    "precision": "float32", "workers": 1, "strategy": "none", "trained_parameters": 1,
}  # fmt: skip


@dataclass(frozen=True)
class Happened:
    """An event without a ledger."""

    kind: str
    body: dict[str, Any]
    subject: str = "bot@1"
    at: str = AT
    seq: int = field(default=0)


class Person:
    """A key that decides."""

    def __init__(self) -> None:
        self.key = Ed25519PrivateKey.generate()
        self.raw = self.key.public_key().public_bytes_raw()
        self.id = key_id(self.raw)

    def decides(self, state: Judged, decision: str = "approve", expires: str | None = None) -> dict[str, Any]:
        pem = self.key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        draft = SignedDecision.model_validate(
            {
                "approver": self.id,
                "public_key": pem.decode(),
                "decision": decision,
                "reason": "rows:1",
                "expires": expires,
                "signature": "",
            }
        )
        signature = self.key.sign(decided(state).payload(draft)).hex()
        return {**draft.model_dump(mode="json"), "signature": signature}


STARTER, REVIEWER, SECOND = Person(), Person(), Person()


def planned(required: int = 1, source: str | None = None, starter: str = STARTER.id) -> Happened:
    body = {
        "name": "bot", "version": 1, "route": "bot", "run": DIGEST, "starter": starter, "config": DIGEST, "base": BASE,
        "data": None, "policy": DIGEST, "margins": {"a": 0.1}, "items": {"t": {"digest": DIGEST}}, "champion": None,
        "approvals": ApprovalRule(required=required).model_dump(), "source_adapter": source, "attempt": 1,
    }  # fmt: skip
    return Happened("planned", body)


def judged(outcome: str = "PASS", required: int = 1) -> list[Happened]:
    return [
        planned(required),
        Happened("trained", {"training": TRAINING, "output": DIGEST, "environment": DIGEST}),
        Happened("sealed", {"adapter": ADAPTER}),
        Happened("examined", {"evidence": [DIGEST]}),
        Happened("judged", {"verdict": DIGEST, "outcome": outcome}),
    ]


def state_of(events: list[Happened]) -> Judged:
    state = replay(events)
    assert isinstance(state, Judged)
    return state


APPROVED = Happened("approved", {"verdict": DIGEST})
RELEASED = Happened("released", {"statement": DIGEST, "route": "bot"})


def test_the_straight_way() -> None:
    story = judged()
    story.append(Happened("approval", REVIEWER.decides(state_of(story))))
    state = replay([*story, APPROVED, RELEASED])
    assert isinstance(state, Released)


@given(st.lists(st.sampled_from(sorted(ARROWS)), min_size=1, max_size=12))
def test_no_order_of_events_releases_without_a_pass_and_another_person(kinds: list[str]) -> None:
    bodies = {event.kind: event for event in [*judged(), APPROVED, RELEASED]}
    story: list[Happened] = []
    for kind in kinds:
        event = bodies.get(kind, Happened(kind, {"verdict": DIGEST}))
        if kind == "approval":
            current = replay(story) if story else None
            signed = REVIEWER.decides(current) if isinstance(current, Judged) else {}
            event = Happened("approval", signed)
        try:
            replay([*story, event])
        except (TunegateError, ValueError):
            continue
        story.append(event)
    if story and isinstance(replay(story), Released):
        order = [event.kind for event in story]
        assert order == ["planned", "trained", "sealed", "examined", "judged", "approval", "approved", "released"]


@pytest.mark.parametrize("outcome", ["FAIL", "UNDECIDED"])
def test_without_a_pass_nobody_can_approve(outcome: str) -> None:
    state = state_of(judged(outcome))
    with pytest.raises(TunegateError):
        replay([*judged(outcome), Happened("approval", REVIEWER.decides(state))])
    with pytest.raises(TunegateError):
        replay([*judged(outcome), APPROVED])


def test_undecided_may_be_examined_again() -> None:
    more = [
        Happened("examined", {"evidence": [DIGEST, DIGEST]}),
        Happened("judged", {"verdict": DIGEST, "outcome": "PASS"}),
    ]
    assert state_of([*judged("UNDECIDED"), *more]).outcome == "PASS"


def test_two_people_means_two_other_people() -> None:
    story = judged(required=2)
    state = state_of(story)
    first, second = (Happened("approval", person.decides(state)) for person in (REVIEWER, SECOND))
    with pytest.raises(TunegateError, match="asks for 2"):
        replay([*story, first, APPROVED])
    with pytest.raises(TunegateError, match="approved bot@1 already"):
        replay([*story, first, first])
    with pytest.raises(TunegateError, match="another person"):
        replay([*story, Happened("approval", STARTER.decides(state))])
    assert isinstance(replay([*story, first, second, APPROVED, RELEASED]), Released)


@pytest.mark.parametrize("change", ["reason", "expires", "decision", "signature", "approver"])
def test_a_changed_approval_is_void(change: str) -> None:
    story = judged()
    body = REVIEWER.decides(state_of(story), expires="2027-01-01T00:00:00+00:00")
    new = {
        "reason": "rows:2", "expires": "2028-01-01T00:00:00+00:00", "decision": "refuse", "signature": "00" * 64,
        "approver": SECOND.id,
    }[change]  # fmt: skip
    with pytest.raises(IntegrityError):
        replay([*story, Happened("approval", {**body, change: new})])


def test_an_expired_approval_does_not_count() -> None:
    story = judged()
    body = REVIEWER.decides(state_of(story), expires="2025-01-01T00:00:00+00:00")
    with pytest.raises(TunegateError, match="expired"):
        replay([*story, Happened("approval", body)])


def test_the_first_release_makes_the_route_and_later_ones_wait() -> None:
    def about(subject: str, version: int) -> list[Happened]:
        body = {**planned().body, "version": version}
        return [Happened("planned", body, subject), Happened("released", {}, subject)]

    registry = Registry.from_events([*about("bot@1", 1), *about("bot@2", 2)])
    assert registry.routes == {"bot": "bot@1"}
    assert registry.next_version("bot") == 3
    assert registry.attempts("bot", {"t": DIGEST}) == 2
    gone = Registry.from_events([*about("bot@1", 1), Happened("revoked", {}, "bot@1")])
    assert gone.champion("bot") is None


def test_the_statement_verifies_and_no_byte_of_it_can_change() -> None:
    story = judged()
    story.append(Happened("approval", REVIEWER.decides(state_of(story))))
    approved = replay([*story, APPROVED])
    manifest = Tree(files=(TreeFile(path="a", sha256=DIGEST, size=1),))
    statement = release_statement(approved, manifest)  # type: ignore[arg-type]
    envelope = sign_statement(statement, SECOND.key.sign, SECOND.id)
    assert b"in-toto" in verify_envelope(envelope, SECOND.raw)
    for place in range(0, len(envelope), 97):
        changed = bytearray(envelope)
        changed[place] ^= 1
        with pytest.raises(IntegrityError):
            if verify_envelope(bytes(changed), SECOND.raw) == verify_envelope(envelope, SECOND.raw):
                raise IntegrityError("only the hint of the key changed")
