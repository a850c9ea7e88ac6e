"""The report says what the records say: every reason, every figure with its n, and what was not measured."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from governance.card import cell, render_report
from governance.judge import judge
from governance.lifecycle import Planned
from governance.policy import ApprovalRule, Policy
from tunegate_core.proof.approval import SignedDecision
from tunegate_core.records import (
    AdapterRecord,
    ArmStatistics,
    BaseModelRecord,
    Cluster,
    Evidence,
    GroupStatistics,
    PairedStatistics,
)


def digest(letter: str) -> str:
    return "sha256:" + letter * 64


TREE = digest("a")
POLICY = Policy(
    name="p",
    checks=(
        {"id": "better", "kind": "superior", "task": "facts", "margin": 0.0},
        {"id": "seen", "kind": "measured", "task": "facts"},
    ),
)
ADAPTER = AdapterRecord(
    tree=TREE,
    base=digest("b"),
    template=digest("c"),
    config=digest("e"),
    rank=8,
    target_modules=("q_proj",),
    parameters=10,
)
YES = SignedDecision(
    approver="r" * 16, public_key="PEM", decision="approve", reason="rows:1", expires="2027-01-01", signature="00"
)


def planned(**changes: Any) -> Planned:
    base = BaseModelRecord(
        source="pkg://m@1",
        tree=digest("b"),
        template=digest("c"),
        architecture="A",
        parameters=1,
        vocabulary=1,
        hidden_size=1,
    )
    fields: dict[str, Any] = {
        "name": "bot",
        "version": 3,
        "route": "support",
        "run": digest("d"),
        "starter": "s" * 16,
        "config": digest("e"),
        "base": base,
        "data": None,
        "policy": POLICY.digest(),
        "margins": {"better": 0.0},
        "approvals": ApprovalRule(),
        "items": {"facts": {"digest": digest("0"), "n": 100}},
        "champion": None,
        "source_adapter": "bot@2",
        "attempt": 2,
    }
    return Planned(**{**fields, **changes})


def evidence(gained: int, lost: int, same: int, unmeasured: dict[str, int] | None = None) -> Evidence:
    outcomes = [(1, 0)] * gained + [(0, 1)] * lost + [(1, 1)] * same
    unmeasured = unmeasured or {}
    clusters = tuple(
        Cluster(n=1, candidate=c, reference=r, cross=c * r, candidate_sq=c, reference_sq=r) for c, r in outcomes
    )
    arms = (
        ArmStatistics(
            arm="candidate", subject=TREE, clusters=tuple((1, c, c) for c, _ in outcomes), unmeasured=unmeasured
        ),
        ArmStatistics(
            arm="base", subject=digest("b"), clusters=tuple((1, r, r) for _, r in outcomes), unmeasured=unmeasured
        ),
    )
    pair = PairedStatistics(
        reference="base", reference_subject=digest("b"), clusters=clusters, unmeasured=sum(unmeasured.values())
    )
    return Evidence(
        task="facts",
        metric="acc",
        scale="binary",
        items=digest("0"),
        settings=digest("5"),
        n=len(outcomes) + sum(unmeasured.values()),
        arms=arms,
        pairs=(pair,),
        samples=digest("7"),
    )


def report(found: Evidence, **changes: Any) -> str:
    verdict = judge(POLICY, TREE, [found], 2, None)
    return render_report(planned(), ADAPTER, POLICY, [found], verdict, **{"state": "Judged", **changes})


@pytest.mark.parametrize(
    ("counts", "outcome"), [((40, 5, 55), "PASS"), ((5, 40, 55), "FAIL"), ((3, 2, 95), "UNDECIDED")]
)
def test_it_gives_the_verdict_with_every_reason(counts: tuple[int, int, int], outcome: str) -> None:
    found = evidence(*counts)
    text = report(found)
    assert text.startswith(f"# bot@3: {outcome}\n")
    for result in judge(POLICY, TREE, [found], 2, None).results:
        assert f"| {result.check} | {result.outcome} | {cell(result.reason)} |" in text
    assert "Attempt 2 of the route `support`" in text


def test_every_figure_has_its_n_and_bounds() -> None:
    text = report(evidence(40, 5, 55))
    assert "| facts | acc | candidate | 95.0 | 90.1 to 97.5 | 100 | 100 | none |" in text
    assert "| facts | acc | base | +35.0 |" in text
    assert "| 100 | 100 | 40 | 5 |" in text


def test_what_was_not_measured_is_told_and_never_zero() -> None:
    text = report(evidence(0, 0, 0, {"no answer": 7, "too long": 3}))
    assert "| facts | acc | candidate | not measured | none | 0 | 0 | no answer: 7, too long: 3 |" in text
    assert "That is not a pass." in report(evidence(3, 2, 95))


def test_it_names_all_that_the_release_stands_on() -> None:
    found = evidence(40, 5, 55)
    text = report(found, decisions=[YES], statement=digest("9"))
    verdict = judge(POLICY, TREE, [found], 2, None).digest()
    names = [
        TREE,
        digest("b"),
        digest("c"),
        digest("e"),
        digest("0"),
        digest("9"),
        POLICY.digest(),
        verdict,
        found.digest(),
    ]
    for name in names:
        assert name in text
    assert "approved by key `rrrrrrrrrrrrrrrr`, until 2027-01-01" in text
    assert "Nobody yet" in report(found)
    no = YES.model_copy(update={"decision": "refuse", "expires": None})
    assert "refused by key `rrrrrrrrrrrrrrrr`; the reason" in report(found, decisions=[no])
    assert "The candidate is revoked." in report(found, state="Revoked")


def test_the_same_records_give_the_same_bytes() -> None:
    assert report(evidence(40, 5, 55)) == report(evidence(40, 5, 55))


def test_it_is_markdown_without_gaps() -> None:
    text = report(evidence(40, 5, 55), decisions=[YES, YES])
    assert "\n\n\n" not in text
    assert text.endswith("nothing else.\n")
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert all(line.endswith("|") for line in rows)


@given(st.text())
def test_no_text_leaves_its_cell(text: str) -> None:
    shown = cell(text)
    assert "\n" not in shown
    assert "|" not in shown.replace("\\\\", "").replace("\\|", "")
    assert "<" not in shown.replace("\\\\", "").replace("\\<", "")


def test_groups_have_a_table_of_their_own() -> None:
    found = evidence(40, 5, 55)
    assert "## By group" not in report(found)
    group = GroupStatistics(
        column="plan", value="far|m", n=100, clusters=tuple(range(100)), arms=found.arms, pairs=found.pairs
    )
    text = report(found.model_copy(update={"groups": (group,)}))
    row = next(line for line in text.splitlines() if "far" in line)
    assert row.count(" | ") == 7
    assert r"far\|m" in row and "+35.0" in row
    assert "\n\n\n" not in text
