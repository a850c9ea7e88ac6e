"""Too little is never a pass: no check, no evidence, nothing measured, or evidence about something else."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from governance.judge import judge, outcome_of
from governance.policy import Policy, load_check, load_policy
from tunegate_core.errors import PolicyError
from tunegate_core.records import ArmStatistics, Cluster, Evidence, PairedStatistics
from tunegate_core.registry import names

KINDS = [name.replace("_", "-") for name in names("governance.checks")]
ADAPTER = "sha256:" + "a" * 64
OTHER = "sha256:" + "b" * 64
NOTHING = Cluster(n=0, candidate=0, reference=0, cross=0, candidate_sq=0, reference_sq=0)


def evidence(n: int, subject: str, clusters: int, task: str = "facts", told: bool = True) -> Evidence:
    """Evidence in which nothing was measured: `clusters` clusters of no item each; `told`: the losses are counted."""
    sums, lost = ((0, 0.0, 0.0),) * clusters, {"empty": n} if told else {}
    arm = ArmStatistics(arm="candidate", subject=subject, clusters=sums, unmeasured=lost)
    pair = PairedStatistics(reference="base", reference_subject=OTHER, clusters=(NOTHING,) * clusters, unmeasured=n)
    return Evidence(
        task=task,
        metric="acc",
        scale="binary",
        items=OTHER,
        settings=OTHER,
        n=n,
        arms=(arm,),
        pairs=(pair,),
        samples=OTHER,
    )


EMPTY = {
    "no evidence": [],
    "no items": [evidence(0, ADAPTER, 0)],
    "no clusters": [evidence(50, ADAPTER, 0)],
    "clusters of no items": [evidence(50, ADAPTER, 5)],
    "losses not counted": [evidence(50, ADAPTER, 5, told=False)],
    "another adapter": [evidence(50, OTHER, 5)],
    "another task": [evidence(50, ADAPTER, 5, task="general")],
    "no arms": [evidence(50, ADAPTER, 5).model_copy(update={"arms": (), "pairs": ()})],
    "no pairs": [evidence(50, ADAPTER, 5).model_copy(update={"pairs": ()})],
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("empty", EMPTY)
def test_no_kind_of_check_passes_on_nothing(kind: str, empty: str) -> None:
    verdict = judge(policy(kind), ADAPTER, EMPTY[empty], 1, None)
    assert verdict.outcome != "PASS"
    assert [result.outcome for result in verdict.results] != ["PASS"]
    assert all(result.reason for result in verdict.results)


@pytest.mark.parametrize("text", ["", "name: p\n", "name: p\nchecks:\n", "name: p\nchecks: []\n", "checks: [{}]\n"])
def test_a_policy_without_checks_is_refused(text: str, tmp_path: Path) -> None:
    path = tmp_path / "policy.yaml"
    path.write_text(text)
    with pytest.raises(PolicyError):
        load_policy(path)


def test_a_policy_without_checks_can_not_be_made() -> None:
    with pytest.raises(ValidationError):
        Policy(name="p", checks=())
    assert outcome_of([]) != "PASS"


def policy(kind: str) -> Policy:
    """A policy of one check, its required keys filled in."""
    fields = load_check(kind).block.model_fields
    given: dict[str, Any] = {"id": "only", "kind": kind, "task": "facts"}
    figures = {
        name: "plan" if field.annotation is str else 0.05
        for name, field in fields.items()
        if field.is_required() and name not in given
    }
    return Policy(name="p", checks=(given | figures,))
