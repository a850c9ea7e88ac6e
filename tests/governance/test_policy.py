"""A policy that is wrong is refused before anything is trained, with the line and what was meant."""

from pathlib import Path

import pytest

from governance.policy import CHECKS, Policy, load_check, load_policy, validate_against
from tunegate_core import registry
from tunegate_core.errors import PolicyError

GOOD = """\
name: p
checks:
  - id: better
    kind: superior
    task: t
    margin: 0.0
  - id: not-worse
    kind: non-inferior
    task: general
    against: champion
    margin: 0.05
    confidence: 0.99
approvals:
  required: 2
"""


def write(folder: Path, text: str | bytes) -> Path:
    path = folder / "policy.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_a_policy_is_read_with_its_defaults(tmp_path: Path) -> None:
    found = load_policy(write(tmp_path, GOOD))
    assert [check["id"] for check in found.checks] == ["better", "not-worse"]
    assert found.checks[0]["against"] == "base"
    assert found.checks[0]["confidence"] == 0.95
    assert found.margins() == {"better": 0.0, "not-worse": -0.05}
    assert (found.approvals.required, found.approvals.four_eyes, found.approvals.expires_days) == (2, True, 30)


def test_its_digest_survives_the_store_and_not_a_change(tmp_path: Path) -> None:
    found = load_policy(write(tmp_path, GOOD))
    again = Policy.parse(found.canonical())
    assert again.digest() == found.digest()
    assert again.margins() == found.margins()
    assert load_policy(write(tmp_path, GOOD.replace("0.05", "0.06"))).digest() != found.digest()


@pytest.mark.parametrize(
    ("old", "new", "line", "says"),
    [
        ("margin: 0.05", "margn: 0.05", 11, r"unknown key margn \(did you mean 'margin'\?\)"),
        ("kind: non-inferior", "kind: non-inferor", 8, r"no kind of check 'non-inferor' \(did you mean 'non-inferior'"),
        ("kind: non-inferior", "kind: non_inferior", 8, "did you mean 'non-inferior'"),
        ("kind: superior", "kind: ../../evil", 4, "no kind of check"),
        ("    kind: superior\n", "", 3, "kind is missing"),
        ("    margin: 0.05\n", "", 7, "margin is missing"),
        ("id: not-worse", "id: better", 2, "check ids must differ; given twice: better"),
        ("id: not-worse", "id: Not Worse", 7, "id"),
        ("id: not-worse", "id: 7", 7, "id: expected text"),
        ("margin: 0.05", "margin: wide", 11, "margin.*'wide'"),
        ("margin: 0.05", "margin: true", 11, "margin.*True"),
        ("margin: 0.05", "margin: '0.05'", 11, "margin"),
        ("margin: 0.05", "margin: -0.05", 11, "margin"),
        ("margin: 0.05", "margin: .nan", 11, "margin"),
        ("margin: 0.05", "margin: 5", 11, "margin.*less than or equal to 1"),
        ("confidence: 0.99", "confidence: 1.0", 12, "confidence"),
        ("confidence: 0.99", "confidence: 0.5", 12, "confidence"),
        ("against: champion", "against: nobody", 10, "against"),
        ("required: 2", "required: false", 14, "approvals.required"),
        ("required: 2", "required: -1", 14, "approvals.required"),
        ("required: 2", "requird: 2", 14, "did you mean 'required'"),
        ("approvals:", "aprovals:", 13, "did you mean 'approvals'"),
        ("name: p", "name: p\nrule: any", 2, "rule"),
        ("name: p", "name: p\nname: q", 2, "name is given twice"),
        ("name: p\n", "", 1, "name is missing"),
        ("    margin: 0.05\n", "    margin: 0.05\n    margin: 1\n", 12, "given twice"),
    ],
)
def test_what_is_wrong_is_named_with_its_line(old: str, new: str, line: int, says: str, tmp_path: Path) -> None:
    assert GOOD.count(old) == 1
    with pytest.raises(PolicyError, match=rf"policy\.yaml, line {line}: .*{says}"):
        load_policy(write(tmp_path, GOOD.replace(old, new)))


def test_every_problem_is_told_at_once(tmp_path: Path) -> None:
    wrong = GOOD.replace("margin: 0.0\n", "margin: low\n").replace("kind: non-inferior", "kind: unknown")
    with pytest.raises(PolicyError, match=r"(?s)checks\[0\].*line 6.*checks\[1\].*line 8"):
        load_policy(write(tmp_path, wrong))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (b"", "the file is empty"),
        (b"- a\n", "expected a mapping of keys"),
        (b"name: p\nchecks: []\n", r"line 2: checks: .*at least 1"),
        (b"name: p\n", "checks is missing"),
        (b"name: p\nchecks: {a: b}\n", "line 2: checks: .*list"),
        (b"name: p\nchecks: [superior]\n", "expected a mapping of keys"),
        (b"name: p\nchecks: [\n", "not valid YAML"),
        (b"name: caf\xe9\nchecks: []\n", "line 1: not UTF-8"),
        (b"name: p\nchecks: [&a {id: a}, *a]\n", "aliases are not read"),
    ],
)
def test_what_is_no_policy_is_refused(text: bytes, says: str, tmp_path: Path) -> None:
    with pytest.raises(PolicyError, match=says):
        load_policy(write(tmp_path, text))


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(PolicyError, match="no such file"):
        load_policy(tmp_path / "policy.yaml")


def test_a_task_the_config_lacks_is_named(tmp_path: Path) -> None:
    policy = load_policy(write(tmp_path, GOOD))
    validate_against(policy, ["t", "general", "more"])
    with pytest.raises(PolicyError, match=r"'not-worse'.*needs the task 'general' \(did you mean 'generl'\?\).*t, gen"):
        validate_against(policy, ["t", "generl"])


@pytest.mark.parametrize("module", registry.names(CHECKS))
def test_every_plug_in_goes_by_its_file_name_with_dashes(module: str) -> None:
    check = load_check(module.replace("_", "-"))
    assert {"id", "kind", "task"} <= set(check.block.model_fields)


@pytest.mark.parametrize("name", ["demo", "standard", "strict"])
def test_the_shipped_policies_expect_what_they_say(name: str, repository: Path) -> None:
    policy = load_policy(repository / "configs" / "policies" / f"{name}.yaml")
    assert policy.name == name
    assert policy.approvals.required >= 1
    assert policy.approvals.four_eyes
    assert {block.kind for _, block in policy.blocks()} >= {"measured", "superior", "non-inferior"}
