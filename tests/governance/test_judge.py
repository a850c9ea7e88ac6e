"""Policies and verdicts: three values, every reason, and nothing that opens the door by being absent."""

from pathlib import Path
from typing import Any

import pytest

from governance.judge import foresee, judge, outcome_of
from governance.policy import Policy, load_policy, validate_against
from tunegate_core.errors import PolicyError
from tunegate_core.records import ArmStatistics, Cluster, Evidence, PairedStatistics

SUBJECT = "sha256:" + "a" * 64
POLICY = """\
name: p
checks:
  - {id: better, kind: superior, task: t, against: base, margin: 0.0}
  - {id: not-worse, kind: non-inferior, task: t, against: champion, margin: 0.05}
  - {id: seen, kind: measured, task: t, share: 0.9}
"""


def policy(tmp_path: Path, text: str = POLICY) -> Policy:
    (tmp_path / "policy.yaml").write_text(text)
    return load_policy(tmp_path / "policy.yaml")


def evidence(gained: int, lost: int, same: int, **changes: Any) -> Evidence:
    """Single-item clusters against the base; `same` were right for both."""
    outcomes = [(1, 0)] * gained + [(0, 1)] * lost + [(1, 1)] * same
    clusters = tuple(
        Cluster(n=1, candidate=c, reference=r, cross=c * r, candidate_sq=c, reference_sq=r) for c, r in outcomes
    )
    own = tuple((1, float(c), float(c)) for c, _ in outcomes)
    fields: dict[str, Any] = {
        "task": "t",
        "metric": "acc",
        "scale": "binary",
        "items": "i",
        "settings": "s",
        "n": len(outcomes),
        "arms": (
            ArmStatistics(arm="candidate", subject=SUBJECT, clusters=own),
            ArmStatistics(arm="base", subject="b", clusters=tuple((1, float(r), float(r)) for _, r in outcomes)),
        ),
        "pairs": (PairedStatistics(reference="base", reference_subject="b", clusters=clusters, unmeasured=0),),
        "samples": "x",
    }
    return Evidence(**{**fields, **changes})


def outcomes(found: Policy, *given: Evidence) -> dict[str, str]:
    return {result.check: result.outcome for result in judge(found, SUBJECT, given, 1).results}


def test_clear_gain_passes(tmp_path: Path) -> None:
    verdict = judge(policy(tmp_path), SUBJECT, [evidence(80, 2, 400)], 1)
    assert verdict.outcome == "PASS"
    assert all(result.reason for result in verdict.results)
    assert "no champion yet" in verdict.results[1].reason


def test_clear_harm_fails_and_every_check_is_judged(tmp_path: Path) -> None:
    found = outcomes(policy(tmp_path), evidence(2, 80, 400))
    assert found == {"better": "FAIL", "not-worse": "FAIL", "seen": "PASS"}


def test_too_few_items_are_undecided_and_say_how_many(tmp_path: Path) -> None:
    verdict = judge(policy(tmp_path), SUBJECT, [evidence(2, 1, 20)], 1)
    assert verdict.outcome == "UNDECIDED"
    assert (verdict.results[0].items_to_settle or 0) > 23


def test_lower_is_better_turns_it_round(tmp_path: Path) -> None:
    found = outcomes(policy(tmp_path), evidence(2, 80, 400, higher_is_better=False))
    assert found["better"] == "PASS"


@pytest.mark.parametrize(
    "given",
    [
        [],
        [evidence(0, 0, 0)],
        [evidence(80, 2, 400, task="other")],
        [evidence(80, 2, 400, pairs=())],
        [evidence(80, 2, 400, arms=(ArmStatistics(arm="candidate", subject="another", clusters=()),))],
    ],
)
def test_nothing_measured_never_passes(given: list[Evidence], tmp_path: Path) -> None:
    assert judge(policy(tmp_path), SUBJECT, given, 1).outcome != "PASS"
    assert outcome_of([]) == "UNDECIDED"


def test_what_was_lost_counts_even_without_a_reason(tmp_path: Path) -> None:
    assert outcomes(policy(tmp_path), evidence(80, 2, 400, n=700))["seen"] == "FAIL"


def test_the_verdict_repeats(tmp_path: Path) -> None:
    one, other = (judge(policy(tmp_path), SUBJECT, [evidence(80, 2, 400)], 1).digest() for _ in range(2))
    assert one == other


def test_foresight_warns_of_small_sets(tmp_path: Path) -> None:
    small, large = (foresee(policy(tmp_path), {"t": (n, n)})[1] for n in (50, 2000))
    assert small.warning
    assert not large.warning


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (POLICY.replace("margin: 0.0}", "margn: 0.0}"), "did you mean 'margin'"),
        (POLICY.replace("kind: superior", "kind: superiour"), "did you mean 'superior'"),
        (POLICY.replace("id: not-worse", "id: better"), "given twice: better"),
        ("name: p\nchecks: []\n", "checks"),
        ("name: p\n", "checks is missing"),
        (POLICY.replace("margin: 0.05", "margin: wide"), "margin"),
    ],
)
def test_a_wrong_policy_says_what_is_wrong(text: str, expected: str, tmp_path: Path) -> None:
    with pytest.raises(PolicyError, match="(?s)" + expected):
        policy(tmp_path, text)


def test_a_task_the_config_lacks(tmp_path: Path) -> None:
    with pytest.raises(PolicyError, match="did you mean 'tt'"):
        validate_against(policy(tmp_path), ["tt"])


@pytest.mark.parametrize("name", ["demo", "standard", "strict"])
def test_the_shipped_policies_can_be_read(name: str, repository: Path) -> None:
    assert load_policy(repository / "configs" / "policies" / f"{name}.yaml").margins()
