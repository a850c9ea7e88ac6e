"""Checks by group: harm to one group is found and named however well the others do, and small groups pass nothing."""

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from governance.checks.group_gap import _spoken
from governance.judge import foresee, judge
from governance.policy import Policy, load_policy
from tunegate_core.errors import IntegrityError, PolicyError
from tunegate_core.records import ArmStatistics, CheckResult, Cluster, Evidence, GroupStatistics, PairedStatistics

SUBJECT = "sha256:" + "a" * 64
BETTER, SAME, WORSE = (60, 4, 136), (6, 6, 188), (4, 40, 156)  # items gained, lost, right on both
POLICY = """\
name: p
checks:
  - {id: overall, kind: superior, task: t, against: base, margin: 0.0}
  - {id: everybody, kind: group-non-inferior, task: t, against: base, margin: 0.05}
"""
Counts = tuple[int, int, int]


def policy(tmp_path: Path, text: str = POLICY) -> Policy:
    (tmp_path / "policy.yaml").write_text(text)
    return load_policy(tmp_path / "policy.yaml")


def sums(scores: list[tuple[int, int]], unmeasured: int = 0) -> dict[str, Any]:
    """Arms and pair of items that are clusters of their own; the candidate is silent on `unmeasured` more."""
    own = tuple((1, float(c), float(c)) for c, _ in scores) + ((0, 0.0, 0.0),) * unmeasured
    other = tuple((1, float(r), float(r)) for _, r in scores) + ((1, 1.0, 1.0),) * unmeasured
    pairs = (
        tuple(Cluster(n=1, candidate=c, reference=r, cross=c * r, candidate_sq=c, reference_sq=r) for c, r in scores)
        + (Cluster(n=0, candidate=0, reference=0, cross=0, candidate_sq=0, reference_sq=0),) * unmeasured
    )
    return {
        "n": len(scores) + unmeasured,
        "arms": (
            ArmStatistics(arm="candidate", subject=SUBJECT, clusters=own, unmeasured={"silent": unmeasured}),
            ArmStatistics(arm="base", subject="b", clusters=other),
        ),
        "pairs": (PairedStatistics(reference="base", reference_subject="b", clusters=pairs, unmeasured=unmeasured),),
    }


def outcomes(counts: Counts) -> list[tuple[int, int]]:
    gained, lost, same = counts
    return [(1, 0)] * gained + [(0, 1)] * lost + [(1, 1)] * same


def evidence(groups: dict[str, Counts], silent: dict[str, int] | None = None, column: str = "plan") -> Evidence:
    lost, start, told = silent or {}, 0, []
    for name, counts in groups.items():
        found = sums(outcomes(counts), lost.get(name, 0))
        numbers = tuple(range(start, start + len(found["arms"][0].clusters)))
        told.append(GroupStatistics(column=column, value=name, clusters=numbers, **found))
        start += len(numbers)
    scores = [score for counts in groups.values() for score in outcomes(counts)]
    return Evidence(
        task="t", metric="acc", scale="binary", items="i", settings="s", samples="x", groups=tuple(told),
        **sums(scores, sum(lost.values())),
    )  # fmt: skip


def judged(found: Policy, given: Evidence) -> dict[str, CheckResult]:
    return {result.check: result for result in judge(found, SUBJECT, [given], 1, None).results}


def told(result: CheckResult) -> dict[str, str]:
    return {group.group: group.outcome for group in result.groups}


def test_harm_to_one_group_is_refused_for_that_group_while_the_whole_improves(tmp_path: Path) -> None:
    given = evidence({"home": BETTER, "farm": WORSE, "school": BETTER})
    verdict = judge(policy(tmp_path), SUBJECT, [given], 1, None)
    overall, everybody = verdict.results
    assert (overall.outcome, everybody.outcome, verdict.outcome) == ("PASS", "FAIL", "FAIL")
    assert told(everybody) == {"home": "PASS", "farm": "FAIL", "school": "PASS"}
    assert everybody.reason.startswith("worse by more than the margin for plan: farm; ")
    assert "home" not in everybody.reason and "school" not in everybody.reason


def test_nobody_harmed_passes_and_says_so(tmp_path: Path) -> None:
    found = judged(policy(tmp_path), evidence({"home": BETTER, "farm": SAME}))["everybody"]
    assert found.outcome == "PASS"
    assert found.reason.startswith("no group of 2 is worse by more than the margin; plan: farm is not worse")


def test_groups_too_small_to_tell_are_named(tmp_path: Path) -> None:
    found = judged(policy(tmp_path), evidence({"home": BETTER, "farm": (1, 1, 10)}))["everybody"]
    assert (found.outcome, told(found)) == ("UNDECIDED", {"home": "PASS", "farm": "UNDECIDED"})
    assert "too little to tell for plan: farm" in found.reason


def test_silence_towards_a_group_is_no_pass(tmp_path: Path) -> None:
    given = evidence({"home": BETTER, "farm": SAME}, silent={"farm": 40})
    assert told(judged(policy(tmp_path), given)["everybody"])["farm"] == "UNDECIDED"


@pytest.mark.parametrize(
    "spoil",
    [
        lambda e: e.model_copy(update={"groups": ()}),
        lambda e: e.model_copy(update={"groups": tuple(g.model_copy(update={"column": "other"}) for g in e.groups)}),
    ],
)
def test_without_groups_nothing_passes(tmp_path: Path, spoil: Callable[[Evidence], Evidence]) -> None:
    text = POLICY.replace("margin: 0.05", "margin: 0.05, column: plan")
    found = judged(policy(tmp_path, text), spoil(evidence({"home": BETTER, "farm": BETTER})))["everybody"]
    assert found.outcome == "UNDECIDED"
    assert "not measured" in found.reason


def test_a_group_that_was_left_out_is_found(tmp_path: Path) -> None:
    given = evidence({"home": BETTER, "farm": WORSE})
    with pytest.raises(IntegrityError, match="hold 200 items, but the task 't' has 400"):
        judged(policy(tmp_path), given.model_copy(update={"groups": given.groups[:1]}))


def test_what_fails_only_before_the_correction_is_undecided_under_holm(tmp_path: Path) -> None:
    slight = (4, 24, 172)  # one-sided 95 % upper bound just below the margin of -5 points
    given = evidence({name: slight if name == "g0" else BETTER for name in (f"g{k}" for k in range(8))})
    assert told(judged(policy(tmp_path), given)["everybody"])["g0"] == "UNDECIDED"
    by_itself = policy(tmp_path, POLICY.replace("margin: 0.05", "margin: 0.05, rule: all-required"))
    assert told(judged(by_itself, given)["everybody"])["g0"] == "FAIL"


GAP = """\
name: p
checks:
  - {id: apart, kind: group-gap, task: t, column: plan, bound: 0.1}
"""


@pytest.mark.parametrize(
    ("groups", "silent", "expected"),
    [
        ({"a": (0, 40, 960), "b": (0, 50, 950)}, {}, "PASS"),
        ({"a": (0, 40, 960), "b": (0, 400, 600)}, {}, "FAIL"),
        ({"a": (0, 40, 960), "b": (0, 140, 860)}, {}, "UNDECIDED"),
        ({"a": (0, 40, 960), "b": (0, 1, 12)}, {}, "UNDECIDED"),
        ({"a": (0, 40, 960), "b": (0, 50, 950)}, {"b": 200}, "UNDECIDED"),
        ({"a": (0, 0, 1000), "b": (0, 0, 1000)}, {}, "PASS"),
    ],
)
def test_gaps(tmp_path: Path, groups: dict[str, Counts], silent: dict[str, int], expected: str) -> None:
    found = judged(policy(tmp_path, GAP), evidence(groups, silent))["apart"]
    assert found.outcome == expected
    assert found.interval is not None and (found.interval.low or 0) >= 0


def test_the_reason_names_the_two_groups(tmp_path: Path) -> None:
    found = judged(policy(tmp_path, GAP), evidence({"a": (0, 40, 960), "b": (0, 45, 955), "c": (0, 400, 600)}))["apart"]
    assert "plan: a is 36.0 points above c" in found.reason
    assert {name for name, outcome in told(found).items() if outcome == "FAIL"} == {"a over c", "b over c"}


def test_a_gap_needs_a_bound(tmp_path: Path) -> None:
    with pytest.raises(PolicyError):
        policy(tmp_path, GAP.replace("bound: 0.1", "bound: 0"))


def test_without_a_column_the_groups_of_each_are_compared_among_themselves(tmp_path: Path) -> None:
    close = {"a": (0, 40, 960), "b": (0, 50, 950)}
    one, other = evidence(close), evidence({"x": (0, 45, 955), "y": (0, 45, 955)}, column="dialect")
    both = one.model_copy(update={"groups": one.groups + other.groups})
    found = judged(policy(tmp_path, GAP.replace("column: plan, ", "")), both)["apart"]
    assert found.outcome == "PASS"
    assert set(told(found)) == {"a over b", "b over a", "x over y", "y over x"}


def test_two_silent_groups_share_no_cluster(tmp_path: Path) -> None:
    """Items without a score count apart, and never as evidence that two groups go together."""
    given = evidence({"a": (0, 40, 960), "b": (0, 50, 950)}, {"a": 30, "b": 30})
    found = judged(policy(tmp_path, GAP), given)["apart"]
    one, other = (_spoken(group, score) for group, score in zip(given.groups, (1, 0), strict=True))
    assert not set(one.clusters) & set(other.clusters)
    assert found.outcome == "PASS"  # 99.0 of 103.0 against 95.0 of 103.0 at the worst


def test_equal_groups_are_seldom_called_wider_than_the_bound(tmp_path: Path) -> None:
    """Two groups exactly the bound apart: a false PASS in at most 5 % of runs, a false FAIL as well."""
    generator, found, passed, failed = random.Random(5), policy(tmp_path, GAP), 0, 0
    for _ in range(60):
        a, b = (sum(generator.random() < p for _ in range(120)) for p in (0.8, 0.7))
        outcome = judged(found, evidence({"a": (0, 120 - a, a), "b": (0, 120 - b, b)}))["apart"].outcome
        passed, failed = passed + (outcome == "PASS"), failed + (outcome == "FAIL")
    assert passed <= 3 + 3 * 1.7
    assert failed <= 3 + 3 * 1.7


def test_what_the_smallest_group_can_show_is_told_before(tmp_path: Path) -> None:
    groups = {"t": {"plan": {"home": (300, 300), "farm": (40, 20)}}}
    whole, small = foresee(policy(tmp_path), {"t": (340, 320)}, groups)
    assert "340 items" in whole.what
    assert "40 items in 20 clusters in the smallest group, plan: farm" in small.what
    assert small.warning
    assert "no items in the groups" in foresee(policy(tmp_path), {"t": (340, 320)})[1].what
