"""A policy tried on the past says what would change; a policy change is itself approved by a second person."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from governance.backtest import Backtest
from tunegate import policies, users
from tunegate.cli import app
from tunegate.deciding import create_key
from tunegate.house import House
from tunegate.planning import read_inputs
from tunegate.proving import verify
from tunegate_core.errors import BadInput, Denied, NotFound, PolicyError

TOLD = """\
name: told
checks:
  - {id: better, kind: superior, task: facts, margin: %s}
  - {id: keeps-up, kind: non-inferior, task: facts, against: champion, margin: %s}
approvals: {required: %d}
"""


@pytest.fixture
def house(told_home: Path) -> House:
    return House(told_home, f"sqlite:///{told_home / 'ledger.sqlite'}")


def policy_file(folder: Path, margin: float = 0.0, slack: float = 0.05, required: int = 1, task: str = "facts") -> Path:
    path = folder / "policy.yaml"
    path.write_text((TOLD % (margin, slack, required)).replace("task: facts", f"task: {task}"))
    return path


def outcomes(found: Backtest) -> dict[str, tuple[str, str]]:
    return {row.subject: (row.before, row.after) for row in found.rows}


def test_the_same_policy_changes_nothing(house: House, tmp_path: Path) -> None:
    found = policies.backtest(house, policy_file(tmp_path))
    assert outcomes(found) == {
        "bot@1": ("PASS", "PASS"), "bot@2": ("FAIL", "FAIL"), "bot@3": ("UNDECIDED", "UNDECIDED"),
        "bot@4": ("PASS", "PASS"),
    }  # fmt: skip
    assert found.changed == 0
    assert all(row.repeats and not row.checks for row in found.rows)


def test_other_margins_change_verdicts_and_say_why(house: House, tmp_path: Path) -> None:
    hard = policies.backtest(house, policy_file(tmp_path, margin=0.5, required=2))
    assert outcomes(hard)["bot@1"] == ("PASS", "FAIL")
    row = hard.rows[0]
    assert row.changed and (row.approvals_given, row.approvals_asked) == (0, 2)
    assert [(check.check, check.before, check.after) for check in row.checks] == [("better", "PASS", "FAIL")]
    assert "the threshold is +50.0 points" in row.checks[0].why
    assert hard.changed == sum(row.changed for row in hard.rows) == 3


def test_nothing_is_run_or_recorded(house: House, tmp_path: Path) -> None:
    before, blobs = house.existing_ledger.size(), set(house.store.blobs())
    shutil.rmtree(house.home / "cache", ignore_errors=True)
    policies.backtest(house, policy_file(tmp_path, margin=0.5))
    assert (house.existing_ledger.size(), set(house.store.blobs())) == (before, blobs)


def test_tasks_by_another_name(house: House, tmp_path: Path) -> None:
    other = policy_file(tmp_path, task="answers")
    assert {row.after for row in policies.backtest(house, other).rows} == {"UNDECIDED"}  # not measured is never a pass
    assert policies.backtest(house, other, ["answers=facts"]).changed == 0
    for wrong in ("answers", "=facts", "answers="):
        with pytest.raises(BadInput, match="no pair of tasks"):
            policies.backtest(house, other, [wrong])


def test_missing_evidence_is_said_and_never_a_verdict(house: House, tmp_path: Path) -> None:
    (blob,) = house.existing_ledger.events("examined", "bot@1")[0].body["evidence"]
    house.store.remove(blob)
    found = policies.backtest(house, policy_file(tmp_path))
    assert "bot@1" not in outcomes(found)
    assert blob in found.skipped["bot@1"]


def test_a_record_that_does_not_repeat_is_told(house: House, tmp_path: Path) -> None:
    """Somebody who swaps the stored verdict (and every digest of it) is contradicted by the evidence."""
    from governance.backtest import Past, retry
    from governance.policy import Policy
    from tunegate.policies import _candidates, _past

    candidates = _candidates(house)
    past = _past(house, candidates["bot@2"], candidates)
    lie = past.verdict.model_copy(update={"outcome": "PASS"})
    policy = Policy.parse(house.store.get(candidates["bot@2"].planned.policy))
    row = retry(policy, Past(**{**vars(past), "verdict": lie}))
    assert not row.repeats
    assert (row.before, row.after, row.changed) == ("PASS", "FAIL", True)


def test_a_policy_that_is_none_is_refused(house: House, tmp_path: Path) -> None:
    (tmp_path / "bad.yaml").write_text("name: x\nchecks: []\n")
    with pytest.raises(PolicyError):
        policies.backtest(house, tmp_path / "bad.yaml")


def test_a_change_is_approved_by_a_second_person(house: House, tmp_path: Path) -> None:
    for name in ("rita", "sam"):
        create_key(house, name)
    file = policy_file(tmp_path, margin=0.5)
    policies.propose(house, file, "the margin was too small")
    assert [said["name"] for said in policies.listed(house)["waiting"]] == ["told"]
    with pytest.raises(Denied, match="another person must approve it"):
        policies.approve(house, "told", "operator", "mine")
    assert users.denials(house)[-1]["action"] == "approve-policy"
    assert not policies.policies(house).in_force
    policies.approve(house, "told", "rita", "agreed")
    (said,) = policies.listed(house)["in_force"]
    assert (said["version"], said["replaces"]) == (1, None)
    assert json.loads(house.store.get(said["backtest"]))["changed"] == 3
    with pytest.raises(NotFound, match="waiting are: none"):
        policies.approve(house, "told", "sam", "again")
    with pytest.raises(BadInput, match="in force as it is already"):
        policies.propose(house, file, "again")
    policies.propose(house, policy_file(tmp_path, margin=0.4), "back a little")
    policies.approve(house, "told", "rita", "agreed")
    listed = policies.listed(house)
    assert [said["version"] for said in listed["in_force"]] == [2]
    assert listed["in_force"][0]["replaces"] == listed["before"][0]["policy"]
    assert verify(house, None)["ok"]


def test_from_then_on_only_what_is_in_force_can_be_planned_with(house: House, tmp_path: Path, project: Path) -> None:
    from tunegate_core.config import load_config

    create_key(house, "rita")
    policies.propose(house, policy_file(tmp_path), "first")
    policies.approve(house, "told", "rita", "agreed")
    with pytest.raises(BadInput, match="is not in force; in force are: told 1"):
        read_inputs(house, load_config(project / "config.yaml"))


def test_an_approval_of_another_proposal_does_not_count(house: House, tmp_path: Path) -> None:
    """What was signed names policy, version, backtest and reason; carried over to another proposal it is void."""
    from governance.policies import APPROVED, POLICY_EVENTS, Policies
    from tunegate.signing import sign_decision
    from tunegate_core.errors import IntegrityError

    create_key(house, "rita")
    policies.propose(house, policy_file(tmp_path, margin=0.1), "one")
    first = policies.policies(house).proposal("told")
    signed = sign_decision(house, first, house.person_key("rita"), "approve", "yes").model_dump(mode="json")
    policies.propose(house, policy_file(tmp_path, margin=0.2), "two")
    second = policies.policies(house).proposal("told")
    assert second.policy != first.policy
    known = Policies.from_events(house.existing_ledger.events(POLICY_EVENTS))
    event: Any = type(
        "E", (), {"kind": APPROVED, "subject": "told", "body": {"policy": second.policy, **signed}, "at": ""}
    )
    with pytest.raises(IntegrityError, match="not signed by the key"):
        known.follow(event)


def test_the_verb(house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TUNEGATE_HOME", str(house.home))
    file = str(policy_file(tmp_path, margin=0.5))
    told = CliRunner().invoke(app, ["policy", "test", file])
    assert "bot@1  PASS -> FAIL" in told.output
    assert "3 of 4 verdicts would change under 'told'" in told.output
    found = json.loads(CliRunner().invoke(app, ["policy", "test", file, "--json"]).output)
    row = next(row for row in found["rows"] if row["subject"] == "bot@1")
    assert (row["changed"], row["before"], row["after"]) == (True, "PASS", "FAIL")
    assert "any policy file may be planned with" in CliRunner().invoke(app, ["policy", "list"]).output
