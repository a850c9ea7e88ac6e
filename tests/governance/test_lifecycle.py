"""Only the arrows: no order of events but the lifecycle's, and no release without PASS and enough other people."""

from dataclasses import dataclass, field
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from governance.lifecycle import ARROWS, Approved, Judged, Refused, Released, Retired, Revoked, decided, replay
from governance.policy import ApprovalRule
from governance.registry import Registry
from tunegate_core.errors import BadInput, IntegrityError, TunegateError
from tunegate_core.proof.approval import SignedDecision
from tunegate_core.proof.keys import key_id

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


def planned(required: int = 1, source: str | None = None, four_eyes: bool = True, days: int | None = None) -> Happened:
    body = {
        "name": "bot", "version": 1, "route": "bot", "run": DIGEST, "starter": STARTER.id, "config": DIGEST,
        "base": BASE, "data": None, "policy": DIGEST, "margins": {"a": 0.1}, "items": {"t": {"digest": DIGEST}},
        "champion": None, "source_adapter": source, "attempt": 1,
        "approvals": ApprovalRule(required=required, four_eyes=four_eyes, expires_days=days).model_dump(),
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


# Every way to go on, written down a second time: what the arrows allow and nothing else.
NEXT = {
    None: {"planned"}, "planned": {"trained"}, "trained": {"sealed"}, "sealed": {"examined"}, "examined": {"judged"},
    "PASS": {"approval", "approved"}, "FAIL": {"refused"}, "UNDECIDED": {"examined"}, "approved": {"released"},
    "released": {"retired", "revoked"}, "retired": {"revoked"}, "revoked": set(), "refused": set(),
}  # fmt: skip


def signed(story: list[Happened], person: Person, decision: str) -> Happened:
    """A decision about where the story stands; about nothing where nothing was judged."""
    state = replay(story) if story else None
    if isinstance(state, Judged):
        return Happened("approval", person.decides(state, decision))
    return Happened("approval", person.decides(state_of(judged()), decision))


def accepted(story: list[Happened], event: Happened) -> bool:
    try:
        replay([*story, event])
    except TunegateError:  # any other error is a defect
        return False
    return True


KINDS = sorted(set(ARROWS) - {"judged", "approval"})
LIKELY = ["planned", "trained", "sealed", "examined", "PASS", "by REVIEWER", "by SECOND", "approved", "released"]
MOVES = [*KINDS, "PASS", "FAIL", "UNDECIDED", "by STARTER", "by REVIEWER", "by SECOND", "refused by SECOND"]
BODIES = {event.kind: event for event in [*judged(), APPROVED, RELEASED]}


@given(
    required=st.integers(0, 3),
    four_eyes=st.booleans(),
    start=st.integers(0, len(LIKELY)),
    more=st.lists(st.sampled_from(MOVES), max_size=10),
)
def test_no_order_of_events_gets_past_the_gate(required: int, four_eyes: bool, start: int, more: list[str]) -> None:
    people = {"by STARTER": STARTER, "by REVIEWER": REVIEWER, "by SECOND": SECOND, "refused by SECOND": SECOND}
    story: list[Happened] = []
    at: str | None = None
    yes: set[str] = set()
    for move in [*LIKELY[:start], *more]:
        if move == "planned":
            event = planned(required, four_eyes=four_eyes)
        elif move in people:
            event = signed(story, people[move], "refuse" if move.startswith("refused") else "approve")
        elif move in ("PASS", "FAIL", "UNDECIDED"):
            event = Happened("judged", {"verdict": DIGEST, "outcome": move})
        else:
            event = BODIES.get(move, Happened(move, {"verdict": DIGEST}))
        allowed = event.kind in NEXT[at]
        if event.kind == "approved":
            allowed = allowed and len(yes) >= required
        elif move in people and event.body["decision"] == "approve":
            allowed = allowed and people[move].id not in yes and not (four_eyes and move == "by STARTER")
        assert accepted(story, event) == allowed, (at, move)
        if not allowed:
            continue
        story.append(event)
        if move in people:
            yes.add(people[move].id)
            at = "refused" if move.startswith("refused") else at
        else:
            at = move
    if story:
        assert Registry.from_events(story).entries["bot@1"].state == type(replay(story)).__name__
    if isinstance(replay(story) if story else None, Released | Retired | Revoked):
        assert [event.body["outcome"] for event in story if event.kind == "judged"][-1] == "PASS"
        assert len(yes - ({STARTER.id} if four_eyes else set())) >= required


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
    with pytest.raises(TunegateError, match="recorded before"):
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


def test_a_refusal_ends_it_and_the_starter_may_refuse() -> None:
    story = judged()
    ended = [*story, Happened("approval", STARTER.decides(state_of(story), "refuse"))]
    state = replay(ended)
    assert isinstance(state, Refused)
    assert state.by == "person"
    with pytest.raises(IntegrityError, match="is Refused"):
        replay([*ended, Happened("approval", REVIEWER.decides(state_of(story)))])


@pytest.mark.parametrize("changed", ["adapter", "evidence", "policy", "verdict", "outcome", "subject"])
def test_an_approval_counts_for_exactly_what_was_signed(changed: str) -> None:
    story = judged()
    body = REVIEWER.decides(state_of(story))
    other = "sha256:" + "2" * 64
    if changed == "adapter":
        story[2] = Happened("sealed", {"adapter": {**ADAPTER, "tree": other}})
    elif changed == "evidence":
        story[3] = Happened("examined", {"evidence": [DIGEST, other]})
    elif changed == "policy":
        story[0] = Happened("planned", {**story[0].body, "policy": other})
    elif changed == "verdict":
        story[4] = Happened("judged", {"verdict": other, "outcome": "PASS"})
    elif changed == "outcome":
        body = REVIEWER.decides(state_of(judged("UNDECIDED")))
    else:
        story = [Happened(e.kind, {**e.body, "version": 2} if e.kind == "planned" else e.body, "bot@2") for e in story]
    with pytest.raises(IntegrityError, match="changed after signing"):
        replay([*story, Happened("approval", body, story[0].subject)])


@pytest.mark.parametrize(
    "change",
    [
        {"public_key": "no key"}, {"signature": "zz"}, {"signature": ""}, {"expires": "soon"}, {"decision": "maybe"},
        {"expires": "2027-01-01T00:00:00"}, {"more": 1}, {"approver": None},
    ],
)  # fmt: skip
def test_what_is_no_decision_is_an_integrity_error(change: dict[str, Any]) -> None:
    story = judged()
    body = REVIEWER.decides(state_of(story))
    with pytest.raises(IntegrityError):
        replay([*story, Happened("approval", {**body, **change})])


def test_an_approval_that_expired_before_the_release_can_be_given_again() -> None:
    story = judged(required=2)
    state = state_of(story)
    early = REVIEWER.decides(state, expires="2026-02-01T00:00:00+00:00")
    story += [Happened("approval", early), Happened("approval", SECOND.decides(state), at="2026-03-01T00:00:00Z")]
    late = Happened("approved", {"verdict": DIGEST}, at="2026-03-02T00:00:00Z")
    with pytest.raises(BadInput, match=r"has 1 approvals; the policy asks for 2$"):
        replay([*story, late])
    again = REVIEWER.decides(state, expires="2026-04-01T00:00:00+00:00")
    state_after = replay([*story, Happened("approval", again, at="2026-03-01T12:00:00Z"), late])
    assert isinstance(state_after, Approved)
    assert {given.approver for given in state_after.approvals} == {REVIEWER.id, SECOND.id}


def test_approvals_that_expire_while_nothing_happens_are_told() -> None:
    story = judged()
    early = REVIEWER.decides(state_of(story), expires="2026-02-01T00:00:00+00:00")
    late = Happened("approved", {"verdict": DIGEST}, at="2026-02-01T00:00:00Z")
    with pytest.raises(BadInput, match="has 0 approvals; the policy asks for 1; 1 expired and must be given again"):
        replay([*story, Happened("approval", early), late])


def test_an_expired_approval_that_is_not_needed_is_in_nobodys_way() -> None:
    story = judged(required=1)
    state = state_of(story)
    early = REVIEWER.decides(state, expires="2026-02-01T00:00:00+00:00")
    story += [Happened("approval", early), Happened("approval", SECOND.decides(state), at="2026-03-01T00:00:00Z")]
    approved = replay([*story, Happened("approved", {"verdict": DIGEST}, at="2026-03-02T00:00:00Z")])
    assert isinstance(approved, Approved)
    assert [given.approver for given in approved.approvals] == [SECOND.id]


def test_approvals_end_with_the_verdict_they_were_given_for() -> None:
    """An approval can't be brought in with the verdict, nor kept over a new examination."""
    body = REVIEWER.decides(state_of(judged()))
    smuggled = [*judged()[:-1], Happened("judged", {"verdict": DIGEST, "outcome": "PASS", "approvals": [body, body]})]
    with pytest.raises(IntegrityError, match="does not hold what it must"):
        replay(smuggled)


@pytest.mark.parametrize(
    ("kind", "change"),
    [
        ("trained", {"planned": {}}), ("trained", {"training": {}}), ("sealed", {"adapter": None}),
        ("examined", {"evidence": []}), ("examined", {"adapter": ADAPTER}), ("judged", {"outcome": "pass"}),
        ("judged", {"evidence": [DIGEST]}), ("judged", {"before": DIGEST}), ("planned", {"attempt": 0}),
        ("planned", {"approvals": {"required": -1}}),
    ],
)  # fmt: skip
def test_a_body_that_is_not_its_kinds_is_refused(kind: str, change: dict[str, Any]) -> None:
    story = [Happened(e.kind, {**e.body, **change}) if e.kind == kind else e for e in judged()]
    with pytest.raises(IntegrityError, match=f"'{kind}' does not hold what it must"):
        replay(story)


def test_a_release_is_for_the_planned_route() -> None:
    story = judged()
    story += [Happened("approval", REVIEWER.decides(state_of(story))), APPROVED]
    with pytest.raises(IntegrityError, match="was planned for 'bot', not for 'payments'"):
        replay([*story, Happened("released", {"statement": DIGEST, "route": "payments"})])


def test_events_of_two_candidates_make_no_story() -> None:
    story = judged()
    with pytest.raises(IntegrityError, match="several candidates"):
        replay([*story[:-1], Happened("judged", story[-1].body, "bot@2")])
    with pytest.raises(IntegrityError, match="plans bot@1"):
        replay([Happened("planned", planned().body, "bot@2")])
    with pytest.raises(IntegrityError, match="no events"):
        replay([])
    with pytest.raises(IntegrityError, match="no event of a candidate's life"):
        replay([Happened("promoted", {})])


def test_an_existing_adapter_is_not_trained_again() -> None:
    story = judged()
    story[0] = planned(source="other@1")
    assert state_of([story[0], *story[2:]]).outcome == "PASS"
    with pytest.raises(IntegrityError, match="'trained' does not follow"):
        replay(story)


def test_each_state_carries_the_digest_of_the_one_before() -> None:
    story = judged()
    for length in range(2, len(story) + 1):
        before, after = replay(story[: length - 1]), replay(story[:length])
        assert after.model_dump()["before"] == before.digest()
