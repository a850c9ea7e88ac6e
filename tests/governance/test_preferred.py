"""The check on people's preference: three answers, its power, and nothing from anything but people."""

import random
from typing import Any

import pytest

from governance.judge import judge
from governance.policy import Policy
from tunegate_core.records import ArmStatistics, CheckResult, Cluster, Evidence, PairedStatistics

SUBJECT, OTHER = "sha256:" + "a" * 64, "sha256:" + "b" * 64


def evidence(scores: list[float], skipped: int = 0, reference: Any = "base", **changes: Any) -> Evidence:
    own = tuple((1, s, s * s) for s in scores)
    others = tuple((1, 1 - s, (1 - s) ** 2) for s in scores)
    clusters = tuple(
        Cluster(n=1, candidate=s, reference=1 - s, cross=s * (1 - s), candidate_sq=s * s, reference_sq=(1 - s) ** 2)
        for s in scores
    )
    lost = {"skipped by everybody": skipped} if skipped else {}
    fields: dict[str, Any] = {
        "task": "chat", "metric": "preferred", "scale": "binary" if set(scores) <= {0, 1} else "share", "items": OTHER,
        "settings": OTHER, "n": len(scores) + skipped, "samples": OTHER,
        "arms": (
            ArmStatistics(arm="candidate", subject=SUBJECT, clusters=own, unmeasured=lost),
            ArmStatistics(arm=reference, subject=OTHER, clusters=others, unmeasured=lost),
        ),
        "pairs": (
            PairedStatistics(reference=reference, reference_subject=OTHER, clusters=clusters, unmeasured=skipped),
        ),
    }  # fmt: skip
    return Evidence(**{**fields, **changes})


def judged(found: Evidence, champion: str | None = None, **settings: Any) -> CheckResult:
    policy = Policy(name="p", checks=({"id": "liked", "kind": "preferred", "task": "chat", **settings},))
    return judge(policy, SUBJECT, [found], 1, champion).results[0]


def test_three_answers() -> None:
    assert judged(evidence([1.0] * 30 + [0.0] * 10)).outcome == "PASS"
    assert judged(evidence([1.0] * 10 + [0.0] * 30)).outcome == "FAIL"
    close = judged(evidence([1.0] * 22 + [0.0] * 18))
    assert close.outcome == "UNDECIDED"
    assert close.items_to_settle is not None and close.items_to_settle > 100 and close.detectable is not None
    assert f"about {close.items_to_settle} prompts would settle it" in close.reason
    assert "people prefer it to the base (the route has no champion yet) in 55.0 %" in close.reason


def test_the_reason_says_how_many_people() -> None:
    told = judged(evidence([1.0] * 15 + [0.5] * 5, people=1)).reason
    assert told.startswith(
        "preferred: 1 person prefers it to the base (the route has no champion yet) in 87.5 % of prompts"
    )
    assert told.endswith(", n=20 (a tie counts half); wanted is above 50.0")
    assert "preferred: 3 people prefer it to the base" in judged(evidence([1.0] * 20, people=3)).reason


def test_ties_are_half_and_a_lower_bound_asks_for_less() -> None:
    tied = evidence([0.5] * 20 + [1.0] * 12 + [0.0] * 8)
    assert judged(tied).outcome == "UNDECIDED"
    assert judged(tied, bound=0.4).outcome == "PASS"


def test_skipped_prompts_count_as_lost_before_a_pass() -> None:
    found = judged(evidence([1.0] * 30 + [0.0] * 10, skipped=20))
    assert found.outcome == "UNDECIDED" and "20 prompts without a score" in found.reason


def test_unrated_prompts_are_not_measured() -> None:
    found = judged(evidence([], skipped=40))
    assert found.outcome == "UNDECIDED" and "not measured" in found.reason and "must be rated first" in found.reason


def test_only_people_prefer() -> None:
    assert judged(evidence([1.0] * 40, metric="acc")).outcome == "UNDECIDED"
    assert judged(evidence([1.0] * 40, metric="acc"), metric="acc").outcome == "UNDECIDED"


def test_against_the_champion() -> None:
    with_champion = evidence([1.0] * 30 + [0.0] * 10, reference="champion")
    found = judged(with_champion, champion=OTHER)
    assert found.outcome == "PASS" and "to the champion in" in found.reason
    assert judged(with_champion, champion=OTHER, against="base").outcome == "UNDECIDED"


@pytest.mark.parametrize("value", [0, 1, True, "half"])
def test_bounds_that_pass_everything_are_refused(value: Any) -> None:
    with pytest.raises(ValueError, match="bound"):
        judged(evidence([1.0] * 40), bound=value)


@pytest.mark.parametrize(("ties", "prompts"), [(0.0, 40), (0.0, 150), (0.2, 60)])
def test_nobody_preferred_passes_at_the_promised_rate(ties: float, prompts: int) -> None:
    """People who prefer neither let a candidate pass in at most 5 % of runs, within the simulation's error."""
    draws, runs = random.Random(5), 400
    passes = 0
    for _ in range(runs):
        scores = [0.5 if draws.random() < ties else float(draws.random() < 0.5) for _ in range(prompts)]
        passes += judged(evidence(scores)).outcome == "PASS"
    assert passes <= 0.05 * runs + 3 * (runs * 0.05 * 0.95) ** 0.5
