"""People decide: who may, how many, until when, and back again; each no is recorded, and no way around is left."""

import base64
import contextlib
import json
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import typer
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from typer.testing import CliRunner

from governance.lifecycle import Judged, Released
from governance.policy import ApprovalRule, OverrideRule
from tunegate import users
from tunegate.cli import app
from tunegate.deciding import approve, create_key, recall, refuse
from tunegate.documenting import report
from tunegate.house import House
from tunegate.proving import check_bundle, prove, verify
from tunegate.reading import candidate
from tunegate.recording import standing
from tunegate_core.errors import BadInput, Denied, TunegateError

GAIN, FEW, HARM = (60, 4, 200), (3, 2, 20), (4, 60, 200)
START = datetime(2026, 1, 1, tzinfo=UTC)
OVER = OverrideRule(required=2, roles=("operator",))


class Moved:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> datetime:
        self.now += timedelta(seconds=1)
        return self.now


@pytest.fixture
def house(told: Any) -> House:
    """People with keys; no users yet."""
    for name in ("rita", "sam", "tom"):
        create_key(told.house, name)
    found: House = told.house
    return found


def state(house: House, subject: str = "bot@1") -> str:
    return type(standing(house, subject).state).__name__


def rules(house: House) -> list[str]:
    return [denial["rule"] for denial in users.denials(house)]


def test_n_of_m_and_each_only_once(told: Any, house: House) -> None:
    told.judge(told.plan(1, approvals=2), GAIN)
    assert approve(house, "bot@1", "rita", "fine") == "approved; bot@1 waits for 1 more"
    with pytest.raises(BadInput, match="another person is needed"):
        approve(house, "bot@1", "rita", "fine")
    assert "released" in approve(house, "bot@1", "sam", "fine")
    assert verify(house, None)["ok"]


def test_never_who_started_it_and_that_is_recorded(told: Any, house: House) -> None:
    told.judge(told.plan(2, approvals=1, starter=house.person_key("rita").key_id), GAIN)
    with pytest.raises(Denied, match="another person's approval"):
        approve(house, "bot@2", "rita", "mine")
    (denial,) = users.denials(house)
    assert (denial["action"], denial["about"], denial["rule"]) == ("approve", "bot@2", "policy")
    assert denial["by"] == house.person_key("rita").key_id
    assert state(house, "bot@2") == "Judged"
    refuse(house, "bot@2", "rita", "no good")  # who started it may stop it
    assert state(house, "bot@2") == "Refused"


def test_roles_are_asked_for_once_there_are_users(told: Any, house: House) -> None:
    told.judge(told.plan(1, approvals=1), GAIN)
    users.add(house, "ann", ["admin"])
    users.add(house, "rita", ["reviewer"])
    users.add(house, "sam", ["trainer"])
    for name in ("sam", "tom", "ann"):
        with pytest.raises(Denied):
            approve(house, "bot@1", name, "fine")
    assert rules(house) == ["role"] * 3
    assert "released" in approve(house, "bot@1", "rita", "fine")
    users.disable(house, "rita", "left")
    report_ = verify(house, None)
    assert report_["ok"], report_["problems"]  # what she decided stands


def test_a_policy_may_ask_for_a_certain_role(told: Any, house: House) -> None:
    told.judge(told.plan(1, approvals=ApprovalRule(roles=("operator",))), GAIN)
    with pytest.raises(Denied, match="is no user's"):
        approve(house, "bot@1", "rita", "fine")
    users.add(house, "ann", ["admin"])
    users.add(house, "rita", ["reviewer"])
    users.add(house, "sam", ["reviewer", "operator"])
    with pytest.raises(Denied, match="the policy asks for operator"):
        approve(house, "bot@1", "rita", "fine")
    assert "released" in approve(house, "bot@1", "sam", "fine")


def test_a_recalled_approval_does_not_count_and_can_be_given_again(told: Any, house: House) -> None:
    told.judge(told.plan(1, approvals=2), GAIN)
    with pytest.raises(BadInput, match="no approval of bot@1 that could be recalled"):
        recall(house, "bot@1", "rita", "oops")
    approve(house, "bot@1", "rita", "fine")
    recall(house, "bot@1", "rita", "I looked again")
    assert approve(house, "bot@1", "sam", "fine") == "approved; bot@1 waits for 1 more"
    assert "released" in approve(house, "bot@1", "rita", "it is fine after all")
    with pytest.raises(BadInput, match="bot@1 is released"):
        recall(house, "bot@1", "rita", "too late")
    assert b"\n| recalled |" in report(house, "bot@1", "markdown")


def test_the_bundle_of_a_release_with_a_recall_verifies(told: Any, house: House, tmp_path: Path) -> None:
    told.judge(told.plan(1, approvals=1), GAIN)
    told.judge(told.plan(2, approvals=2), GAIN)
    approve(house, "bot@2", "rita", "fine")
    recall(house, "bot@2", "rita", "not yet")
    approve(house, "bot@2", "sam", "fine")
    approve(house, "bot@2", "rita", "now")
    (tmp_path / "pub").write_bytes(house.public_key)
    prove(house, "bot@2", tmp_path / "bundle.json")
    found = check_bundle(tmp_path / "bundle.json", tmp_path / "pub")
    assert (found["approvals"], found["outcome"]) == (2, "PASS")


def test_undecided_stays_so_unless_the_policy_names_who_may_override(told: Any, house: House) -> None:
    told.judge(told.plan(1, approvals=0), FEW)
    told.judge(told.plan(2, approvals=ApprovalRule(override=OVER)), HARM)
    for subject, says in (("bot@1", "lets nobody override"), ("bot@2", "is refused")):
        with pytest.raises(BadInput, match=says):
            approve(house, subject, "rita", "trust me", override=True)
    assert (state(house), state(house, "bot@2")) == ("Judged", "Refused")


def test_an_override_is_two_operators_work_and_stands_in_every_record(told: Any, house: House, tmp_path: Path) -> None:
    told.judge(told.plan(1, approvals=ApprovalRule(required=0, override=OVER)), FEW)
    users.add(house, "ann", ["admin"])
    for name, role in (("rita", "reviewer"), ("sam", "operator"), ("tom", "operator")):
        users.add(house, name, [role, "reviewer"])
    assert state(house) == "Judged"  # no approvals asked for a PASS is no pass for UNDECIDED
    with pytest.raises(BadInput, match="give --override"):
        approve(house, "bot@1", "sam", "we know")
    with pytest.raises(Denied, match="the policy asks for operator"):
        approve(house, "bot@1", "rita", "we know", override=True)
    assert "waits for 1 more" in approve(house, "bot@1", "sam", "we know", override=True)
    assert "2 of operator may override it" in " ".join(candidate(house, "bot@1")["next"])
    assert "released" in approve(house, "bot@1", "tom", "we know too", override=True)
    assert b"- released by override: yes" in report(house, "bot@1", "markdown")
    (tmp_path / "pub").write_bytes(house.public_key)
    prove(house, "bot@1", tmp_path / "bundle.json")
    assert check_bundle(tmp_path / "bundle.json", tmp_path / "pub")["outcome"] == "UNDECIDED"
    statement = house.store.get(standing(house, "bot@1").body("released")["statement"])
    assert json.loads(base64.b64decode(json.loads(statement)["payload"]))["predicate"]["outcome"] == "UNDECIDED"
    assert verify(house, None)["ok"]


def test_an_override_is_not_for_what_passed(told: Any, house: House) -> None:
    told.judge(told.plan(1, approvals=ApprovalRule(required=1, override=OVER)), GAIN)
    with pytest.raises(BadInput, match="nothing to override"):
        approve(house, "bot@1", "rita", "x", override=True)
    assert "released" in approve(house, "bot@1", "rita", "x")


def test_approvals_expire_and_a_clock_set_back_does_not_bring_them_back(told: Any, house: House) -> None:
    clock = Moved()
    house.clock = clock
    house.__dict__.pop("_opened", None)
    house.__dict__.pop("ledger", None)
    told.judge(told.plan(1, approvals=ApprovalRule(required=2, expires_days=1)), GAIN)
    approve(house, "bot@1", "rita", "fine")
    clock.now += timedelta(days=2)
    assert approve(house, "bot@1", "sam", "fine") == "approved; bot@1 waits for 1 more"  # rita's is over
    clock.now = START + timedelta(hours=1)  # somebody sets the clock back, to when both would count
    assert approve(house, "bot@1", "tom", "fine").startswith("approved; bot@1 is released")
    approvals = [event.body["approver"] for event in house.ledger.events("approval")]
    assert len(approvals) == 3
    told.judge(told.plan(2, approvals=ApprovalRule(required=2, expires_days=1)), GAIN)
    approve(house, "bot@2", "rita", "fine")
    clock.now += timedelta(days=3)
    recall_at = clock.now
    with pytest.raises(BadInput, match="that could be recalled"):
        recall(house, "bot@2", "rita", "over already")
    approve(house, "bot@2", "sam", "fine")  # recorded at day 3: from here on rita's approval is over
    clock.now = START + timedelta(hours=2)
    assert state(house, "bot@2") == "Judged"
    assert "waits for 1 more" not in approve(house, "bot@2", "tom", "fine")
    assert recall_at > clock.now
    assert state(house, "bot@2") == "Released"  # by sam and tom


def test_two_reviewers_at_once(told: Any, house: House) -> None:
    told.judge(told.plan(1, approvals=2), GAIN)
    said: list[str] = []

    def decide(name: str, work: Callable[..., str]) -> None:
        mine = House(house.home, house.database)
        try:
            said.append(work(mine, "bot@1", name, "at once"))
        except TunegateError as error:
            said.append(str(error))

    threads = [threading.Thread(target=decide, args=(name, approve)) for name in ("rita", "sam", "tom")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert state(house) == "Released"
    assert len(house.ledger.events("released")) == len(house.ledger.events("approved")) == 1
    assert sum("released" in text for text in said) >= 1
    assert verify(house, None)["ok"]


def test_a_yes_and_a_no_at_once_never_do_both(told: Any, house: House) -> None:
    for version in range(1, 5):
        told.judge(told.plan(version, approvals=1), GAIN)
        works = [(approve, "rita"), (refuse, "sam")]

        def decide(work: Callable[..., str], name: str, subject: str = f"bot@{version}") -> None:
            with contextlib.suppress(TunegateError):
                work(House(house.home, house.database), subject, name, "at once")

        threads = [threading.Thread(target=decide, args=given) for given in works]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        kinds = [event.kind for event in standing(house, f"bot@{version}").events]
        decisions = [e.body["decision"] for e in standing(house, f"bot@{version}").events if e.kind == "approval"]
        assert state(house, f"bot@{version}") in ("Released", "Refused")
        assert ("released" in kinds) != ("refuse" in decisions)


def test_a_decision_put_in_past_the_check_is_found(told: Any, house: House) -> None:
    """Somebody who writes the event himself, with a key whose user may not, is seen by verification."""
    from governance.lifecycle import decided
    from tunegate.signing import sign_decision

    told.judge(told.plan(1, approvals=ApprovalRule(required=2, expires_days=None)), GAIN)
    users.add(house, "ann", ["admin"])
    users.add(house, "sam", ["trainer"])
    judged = standing(house, "bot@1").state
    assert isinstance(judged, Judged)
    signed = sign_decision(house, decided(judged), house.person_key("sam"), "approve", "I may")
    house.ledger.append("approval", signed.model_dump(mode="json"), subject="bot@1", key="past")
    house.ledger.checkpoint()
    (problem,) = verify(house, None)["problems"]
    assert "it does not count" in problem["what"] and "may not approve" in problem["what"]


PEOPLE = ("operator", "ann", "rita", "sam", "tom", "eve")  # operator starts runs; eve is nobody
MAY = {"ann": {"admin"}, "rita": {"reviewer"}, "sam": {"reviewer", "operator"}, "tom": {"operator", "reviewer"}}


def machine(told: Any, clock: Moved) -> type[RuleBasedStateMachine]:
    """Sequences of calls on one real house, against a model of who has a standing yes."""
    house = told.house
    house.clock = clock
    create_key(house, "eve")
    for name, roles in MAY.items():
        users.add(house, name, sorted(roles))
    counter = iter(range(1, 10**6))

    class Deciding(RuleBasedStateMachine):
        @initialize(required=st.integers(0, 3), outcome=st.sampled_from([GAIN, FEW, HARM]), over=st.booleans())
        def plan(self, required: int, outcome: Any, over: bool) -> None:
            version = next(counter)
            self.subject, self.outcome = f"bot@{version}", outcome
            self.required = required if outcome is GAIN else 2 if over and outcome is FEW else None
            approvals = ApprovalRule(required=required, expires_days=1, override=OVER if over else None)
            self.yes: dict[str, datetime] = {}
            self.refused = False
            self.roles = {"reviewer"} if outcome is GAIN else {"operator"}
            told.judge(told.plan(version, approvals=approvals), outcome)

        @rule(person=st.sampled_from(PEOPLE), override=st.booleans())
        def approve(self, person: str, override: bool) -> None:
            self._try(lambda: approve(house, self.subject, person, "yes", override), person, "yes")

        @rule(person=st.sampled_from(PEOPLE))
        def refuse(self, person: str) -> None:
            if self._try(lambda: refuse(house, self.subject, person, "no"), person, "no"):
                self.refused = True

        @rule(person=st.sampled_from(PEOPLE))
        def recall(self, person: str) -> None:
            self._try(lambda: recall(house, self.subject, person, "back"), person, "back")

        @rule(hours=st.sampled_from([1, 30, -20]))
        def time_passes(self, hours: int) -> None:
            clock.now += timedelta(hours=hours)

        @rule()
        def the_run_goes_on(self) -> None:
            from tunegate import steps

            planned = standing(house, self.subject).planned
            steps.settle(house, planned)
            steps.publish(house, planned)

        @invariant()
        def released_only_with_its_approvals(self) -> None:
            if not hasattr(self, "subject"):
                return
            found = standing(house, self.subject).state
            if isinstance(found, Released):
                assert self.required is not None and not self.refused
                assert len(self.yes) >= self.required
                assert all(MAY.get(person, set()) & self.roles for person in self.yes)

        def _try(self, work: Callable[[], str], person: str, what: str) -> bool:
            try:
                work()
            except BadInput:
                return False
            if what == "yes":
                self.yes[person] = clock.now
            elif what == "back":
                self.yes.pop(person, None)
            return True

    return Deciding


def test_no_sequence_of_calls_reaches_released_without_its_approvals(told: Any) -> None:
    few = settings(max_examples=12, stateful_step_count=10, deadline=None, suppress_health_check=list(HealthCheck))
    run_state_machine_as_test(machine(told, Moved()), settings=few)
    assert verify(told.house, None)["ok"]


def test_the_verbs(told: Any, house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    told.judge(told.plan(1, approvals=2), GAIN)
    monkeypatch.setenv("TUNEGATE_HOME", str(house.home))

    def run(*args: str) -> Any:
        return CliRunner().invoke(app, [*args, "--reason", "so"])

    assert "waits for 1 more" in run("approve", "bot@1", "--as", "rita").output
    assert "is recalled" in run("recall", "bot@1", "--as", "rita").output
    assert isinstance(run("approve", "bot@1", "--as", "rita", "--override").exception, BadInput)
    with pytest.raises(typer.TyperException) as lacking:
        app(["refuse", "bot@1", "--reason", "so"], standalone_mode=False)
    assert "--as" in lacking.value.format_message()
    monkeypatch.setenv("TUNEGATE_USER", "sam")
    assert "is refused" in run("refuse", "bot@1").output
