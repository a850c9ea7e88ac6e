"""Ways around the gate that need keys, the database or the environment: refused where they are tried, or found by
verification when they were put in past the check."""

import sqlite3
from datetime import timedelta
from typing import Any

import pytest

from governance.lifecycle import Judged, decided, expiry
from governance.policy import ApprovalRule
from tunegate import policies, signing_keys, users
from tunegate.deciding import approve, create_key, recall, revoke
from tunegate.house import House
from tunegate.proving import check_bundle, prove, verify
from tunegate.recording import append, standing
from tunegate.signing import sign_decision
from tunegate_core.errors import BadInput, Denied, IntegrityError, TunegateError
from tunegate_core.records import Verdict

GAIN, HARM = (60, 4, 200), (4, 60, 200)
FOR_EVER = ApprovalRule(required=2, expires_days=None)


@pytest.fixture
def house(told: Any) -> House:
    """People with keys; no users yet."""
    for name in ("rita", "sam"):
        create_key(told.house, name)
    found: House = told.house
    return found


def again(house: House) -> House:
    """The same house as another process opens it."""
    return House(house.home, house.database)


def judged(house: House, subject: str = "bot@1") -> Judged:
    state = standing(house, subject).state
    assert isinstance(state, Judged)
    return state


def problems(house: House) -> list[str]:
    return [problem["what"] for problem in verify(house, None)["problems"]]


def planned_by_rita(told: Any, house: House) -> None:
    told.judge(told.plan(2, approvals=1, starter=house.person_key("rita").key_id), GAIN)


def test_a_rotated_key_is_the_same_person_who_started_it(told: Any, house: House) -> None:
    planned_by_rita(told, house)
    signing_keys.rotate(house, "rita")
    with pytest.raises(Denied, match="of the same person"):
        approve(again(house), "bot@2", "rita", "mine")
    assert users.denials(house)[-1]["rule"] == "policy"
    assert "released" in approve(again(house), "bot@2", "sam", "fine")


def test_a_rotated_key_is_no_second_person(told: Any, house: House) -> None:
    told.judge(told.plan(1, approvals=2), GAIN)
    approve(house, "bot@1", "rita", "fine")
    for _ in range(2):
        signing_keys.rotate(again(house), "rita")
        with pytest.raises(Denied, match="another person is needed"):
            approve(again(house), "bot@1", "rita", "fine")
    assert "released" in approve(again(house), "bot@1", "sam", "fine")
    assert verify(house, None)["ok"]


def test_a_rotated_key_does_not_approve_its_own_policy(house: House, tmp_path: Any) -> None:
    check = "  - {id: better, kind: superior, task: facts, margin: 0.0}\n"
    (tmp_path / "p.yaml").write_text(f"name: p\nchecks:\n{check}")
    policies.propose(house.acting_for("rita"), tmp_path / "p.yaml", "softer")
    signing_keys.rotate(house, "rita")
    with pytest.raises(Denied, match="of the same person"):
        policies.approve(again(house), "p", "rita", "mine")
    policies.approve(again(house), "p", "sam", "agreed")
    assert verify(house, None)["ok"]


def test_the_same_person_put_in_past_the_check_is_found(told: Any, house: House) -> None:
    told.judge(told.plan(1, approvals=ApprovalRule(required=3, expires_days=None)), GAIN)
    approve(house, "bot@1", "rita", "fine")
    signing_keys.rotate(house, "rita")
    house = again(house)
    signed = sign_decision(house, decided(judged(house)), house.person_key("rita"), "approve", "me again")
    house.ledger.append("approval", signed.model_dump(mode="json"), subject="bot@1", key="past")
    house.ledger.checkpoint()
    (problem,) = problems(house)
    assert "of the same person" in problem


def test_a_recalled_approval_played_again_does_not_count(told: Any, house: House) -> None:
    told.judge(told.plan(1, approvals=FOR_EVER), GAIN)
    approve(house, "bot@1", "rita", "fine")
    old = standing(house, "bot@1").events[-1]
    recall(house, "bot@1", "rita", "I looked again")
    with pytest.raises(BadInput, match="recorded before"), house.ledger.write() as tx:
        append(house, tx, "bot@1", "approval", dict(old.body), "again")
    approve(house, "bot@1", "rita", "fine")  # the same words, signed anew
    assert len(judged(house).approvals) == 1
    assert verify(house, None)["ok"]
    recall(house, "bot@1", "rita", "I looked again")
    house.ledger.append("approval", dict(old.body), subject="bot@1", key="past")
    house.ledger.checkpoint()
    (problem,) = problems(house)
    assert "recorded before" in problem


def test_nobody_approves_for_longer_than_the_policy_lets_them(told: Any, house: House) -> None:
    told.judge(told.plan(1, approvals=ApprovalRule(required=2, expires_days=7)), GAIN)
    key = house.person_key("rita")
    for until in (None, expiry(house.clock(), 8)):
        signed = sign_decision(house, decided(judged(house)), key, "approve", "fine", until)
        with pytest.raises(IntegrityError, match="count for 7 days"), house.ledger.write() as tx:
            append(house, tx, "bot@1", "approval", signed.model_dump(mode="json"), f"past/{until}")
    signed = sign_decision(house, decided(judged(house)), key, "approve", "fine", expiry(house.clock(), 7))
    with house.ledger.write() as tx:
        append(house, tx, "bot@1", "approval", signed.model_dump(mode="json"), "in time")
    assert len(judged(house).approvals) == 1


def lie_about_the_verdict(house: House) -> str:
    """bot@2 was refused; the same adapter and evidence as bot@6, of which an event says that it passed."""
    first, *others = standing(house, "bot@2").events
    body = {**first.body, "version": 6, "run": "r6"}
    with house.ledger.write() as tx:
        append(house, tx, "bot@6", "planned", body, "plan/6")
        for event in others[:3]:
            more = {"outcome": "PASS"} if event.kind == "judged" else {}
            append(house, tx, "bot@6", event.kind, {**event.body, **more}, f"6/{event.kind}")
    return "the verdict that it names says FAIL"


def lie_about_the_policy(house: House) -> str:
    """bot@4 waits for one approval; the same plan as bot@6, which says that its policy asks for none."""
    body = dict(standing(house, "bot@4").events[0].body)
    body |= {"version": 6, "run": "r6", "approvals": {**body["approvals"], "required": 0}}
    with house.ledger.write() as tx:
        append(house, tx, "bot@6", "planned", body, "plan/6")
    return "other approvals or margins than its policy"


def move_a_route_to_what_is_not_released(house: House) -> str:
    body = {"version": "bot@4", "place": "champion", "share_bp": 10_000, "reason": None}
    house.ledger.append("route-promoted", body, subject="bot")
    return "bot@4 is not released for the route bot"


def approve_ones_own_policy(house: House) -> str:
    told = standing(house, "bot@4").planned
    said = {
        "policy": told.policy, "name": "p", "version": 1, "replaces": None, "backtest": told.policy,
        "proposer": house.person_key("operator").key_id, "reason": house.rows.put(["softer"]),
    }  # fmt: skip
    from governance.policies import Proposal

    signed = sign_decision(house, Proposal.model_validate(said), house.person_key("operator"), "approve", "mine")
    house.ledger.append("policy-proposed", said, subject="p")
    house.ledger.append("policy-approved", {"policy": told.policy, **signed.model_dump(mode="json")}, subject="p")
    return "another person must approve it"


@pytest.mark.parametrize(
    "lie",
    [lie_about_the_verdict, lie_about_the_policy, move_a_route_to_what_is_not_released, approve_ones_own_policy],
)
def test_an_event_that_lies_is_found(told: Any, told_home: Any, lie: Any) -> None:
    """Written with the ledger's own key, so that every hash and signature is right."""
    house = again(told.house)
    assert verify(house, None)["ok"]
    expected = lie(house)
    house.ledger.checkpoint()
    assert [problem for problem in problems(house) if expected in problem]


def test_a_trigger_that_swallows_what_is_recorded_stops_it_and_is_found(told: Any, told_home: Any) -> None:
    house = again(told.house)
    swallow = "CREATE TRIGGER calm BEFORE INSERT ON events WHEN NEW.kind = 'revoked' BEGIN SELECT RAISE(IGNORE); END"
    with sqlite3.connect(house.home / "ledger.sqlite") as db:
        db.execute(swallow)
    db.close()
    with pytest.raises(IntegrityError, match="did not keep what was recorded"):
        revoke(house, "bot@1", "operator", "it does harm")
    (problem,) = problems(house)
    assert "trigger calm" in problem


def test_a_bundle_with_a_decision_twice_or_for_too_long_is_refused(told: Any, house: House, tmp_path: Any) -> None:
    """Where the log itself was written so, with its own key."""
    told.judge(told.plan(1, approvals=ApprovalRule(expires_days=30)), GAIN)
    approve(house, "bot@1", "rita", "fine")
    (tmp_path / "pub").write_bytes(house.public_key)
    prove(house, "bot@1", tmp_path / "bundle.json")
    assert check_bundle(tmp_path / "bundle.json", tmp_path / "pub")["approvals"] == 1
    from tunegate_core.proof.approval import SignedDecision, verify_approvals
    from tunegate_core.proof.story import parse_event, verify_story

    events = [parse_event(event.canonical()) for event in standing(house, "bot@1").events]
    short = [event.model_copy(update={"body": {**event.body, "approvals": {"required": 1, "expires_days": 7}}})
             if event.kind == "planned" else event for event in events]  # fmt: skip
    with pytest.raises(IntegrityError, match="count for 7 days"):
        verify_story(short)
    said = [SignedDecision.model_validate(event.body) for event in events if event.kind == "approval"]
    state = standing(house, "bot@1").body("judged")
    about = decided_of(house)
    assert state["verdict"] == about.verdict
    with pytest.raises(IntegrityError, match="is there twice"):
        verify_approvals(about, said * 2, 1, None, events[-1].at)


def decided_of(house: House) -> Any:
    """What was decided about bot@1, as its events tell."""
    from governance.lifecycle import replay

    events = standing(house, "bot@1").events
    kinds = [event.kind for event in events]
    state = replay(events[: kinds.index("judged") + 1])
    assert isinstance(state, Judged)
    assert Verdict.parse(house.store.get(state.verdict)).outcome == "PASS"
    return decided(state)


def test_the_database_named_otherwise_is_asked_for_roles_too(told: Any, told_home: Any) -> None:
    """A URL with a setting after the file, or as SQLite's own URI, is the same ledger with the same users."""
    from tunegate.users import authorise_person

    house = again(told.house)
    users.add(house, "ann", ["admin"])
    for url in (f"{house.database}?timeout=5", f"sqlite:///file:{house.home / 'ledger.sqlite'}?uri=true"):
        other = House(house.home, url)
        assert other.has_ledger
        with pytest.raises(Denied):
            authorise_person(other, "tim", "kill", "bot")
    assert issubclass(Denied, TunegateError)


def test_a_clock_that_was_set_back_is_told(told: Any, house: House) -> None:
    """It is how an approval that expired meanwhile could be used."""
    told.judge(told.plan(1), GAIN)
    assert not verify(house, None)["notes"]
    now = house.clock()
    other = House(house.home, house.database, clock=lambda: now - timedelta(days=3))
    other.ledger.append("note", {})
    other.ledger.checkpoint()
    (note,) = verify(house, None)["notes"]
    assert "a clock was set back" in note


def test_a_bundle_of_what_was_revoked_says_so(told: Any, house: House, tmp_path: Any) -> None:
    told.judge(told.plan(1), GAIN)
    assert "note" not in prove(house, "bot@1", tmp_path / "before.json")
    revoke(house, "bot@1", "operator", "it does harm")
    assert "bot@1 is revoked now" in prove(house, "bot@1", tmp_path / "after.json")


@pytest.mark.parametrize(
    "lie",
    [lie_about_the_verdict, lie_about_the_policy, move_a_route_to_what_is_not_released, approve_ones_own_policy],
)
def test_a_lie_after_a_head_is_found_by_looking_at_what_came_since(
    told: Any, told_home: Any, tmp_path: Any, lie: Any
) -> None:
    """It is judged by what was recorded before the head: who had which role, what each candidate and route was."""
    house = again(told.house)
    kept = tmp_path / "verified"
    kept.write_text(house.ledger.checkpoint())
    size = house.ledger.size()
    report = verify(house, None, since=kept)
    assert (report["ok"], report["since"], report["stored_files"]) == (True, size, 0)
    revoke(house, "bot@1", "operator", "it does harm")  # which follows from its release, before the head
    assert verify(house, None, since=kept)["ok"]
    assert report["notes"][0].startswith(f"events 0 to {size - 1} were not looked at again")
    assert "stored files that only earlier events name" in report["notes"][1]
    expected = lie(house)
    house.ledger.checkpoint()
    found = verify(house, None, since=kept)["problems"]
    assert [problem for problem in found if expected in problem["what"]]
    assert all(problem["first"] >= size for problem in found)


def test_an_earlier_decision_that_was_changed_is_found_where_it_is_followed(
    told: Any, told_home: Any, tmp_path: Any
) -> None:
    house = again(told.house)
    kept = tmp_path / "verified"
    kept.write_text(house.ledger.checkpoint())
    (judged_first, *_) = house.ledger.events("judged")
    with sqlite3.connect(house.home / "ledger.sqlite") as db:
        db.execute("UPDATE events SET bytes = replace(bytes, 'PASS', 'FAIL') WHERE seq = ?", (judged_first.seq,))
    db.close()
    (problem,) = verify(again(house), None, since=kept)["problems"]
    assert f"event {judged_first.seq} was changed" in problem["what"]
