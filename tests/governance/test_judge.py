"""Policies and verdicts: three values, every reason, and nothing that opens the door by being absent."""

from collections.abc import Sequence
from pathlib import Path
from statistics import NormalDist
from typing import Any

import hypothesis
import pytest
from hypothesis import strategies as st

from governance.judge import foresee, judge, outcome_of
from governance.policy import Policy, load_policy, validate_against
from tunegate_core.errors import IntegrityError, PolicyError
from tunegate_core.records import ArmStatistics, Cluster, Evidence, Overlap, PairedStatistics
from tunegate_core.stats import tango

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
    return {result.check: result.outcome for result in judge(found, SUBJECT, given, 1, None).results}


def test_clear_gain_passes(tmp_path: Path) -> None:
    verdict = judge(policy(tmp_path), SUBJECT, [evidence(80, 2, 400)], 1, None)
    assert verdict.outcome == "PASS"
    assert all(result.reason for result in verdict.results)
    assert "no champion yet" in verdict.results[1].reason


def test_clear_harm_fails_and_every_check_is_judged(tmp_path: Path) -> None:
    found = outcomes(policy(tmp_path), evidence(2, 80, 400))
    assert found == {"better": "FAIL", "not-worse": "FAIL", "seen": "PASS"}


def test_too_few_items_are_undecided_and_say_how_many(tmp_path: Path) -> None:
    verdict = judge(policy(tmp_path), SUBJECT, [evidence(2, 1, 20)], 1, None)
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
    assert judge(policy(tmp_path), SUBJECT, given, 1, None).outcome != "PASS"
    assert outcome_of([]) == "UNDECIDED"


def test_what_was_lost_counts_even_without_a_reason(tmp_path: Path) -> None:
    assert outcomes(policy(tmp_path), evidence(80, 2, 400, n=700))["seen"] == "FAIL"


ONE = """\
name: p
checks:
  - {{id: only, kind: {kind}, task: t, {keys}}}
"""


def with_champion(found: Evidence) -> Evidence:
    """Such evidence in which a champion answered as the base did."""
    return found.model_copy(update={"arms": (*found.arms, found.arms[1].model_copy(update={"arm": "champion"}))})


def against(pair: str, gained: int, lost: int, same: int) -> PairedStatistics:
    """The pair of such evidence, against another reference."""
    return evidence(gained, lost, same).pairs[0].model_copy(update={"reference": pair})


@pytest.mark.parametrize(
    ("kind", "keys", "counts", "expected"),
    [
        ("superior", "margin: 0.0", (60, 5, 200), "PASS"),
        ("superior", "margin: 0.0", (5, 60, 200), "FAIL"),
        ("superior", "margin: 0.0", (6, 5, 200), "UNDECIDED"),
        ("superior", "margin: 0.1", (30, 5, 400), "FAIL"),
        ("superior", "margin: 0.0", (0, 0, 200), "UNDECIDED"),
        ("non-inferior", "margin: 0.05", (20, 20, 2000), "PASS"),
        ("non-inferior", "margin: 0.05", (0, 60, 200), "FAIL"),
        ("non-inferior", "margin: 0.05", (10, 12, 100), "UNDECIDED"),
        ("non-inferior", "margin: 0.05", (0, 0, 20), "UNDECIDED"),  # "no difference seen" is not enough
        ("non-inferior", "margin: 0.05", (0, 0, 200), "PASS"),
        ("at-least", "bound: 0.5", (60, 5, 200), "PASS"),
        ("at-least", "bound: 0.9", (5, 60, 60), "FAIL"),
        ("at-least", "bound: 0.5", (6, 5, 0), "UNDECIDED"),
        ("at-most", "bound: 0.5", (5, 200, 5), "PASS"),
        ("at-most", "bound: 0.5", (60, 5, 200), "FAIL"),
        ("at-most", "bound: 0.5", (6, 5, 0), "UNDECIDED"),
        ("measured", "share: 0.99", (6, 5, 100), "PASS"),
    ],
)
def test_each_kind_has_its_sides(
    kind: str, keys: str, counts: tuple[int, int, int], expected: str, tmp_path: Path
) -> None:
    verdict = judge(policy(tmp_path, ONE.format(kind=kind, keys=keys)), SUBJECT, [evidence(*counts)], 1, None)
    assert verdict.outcome == verdict.results[0].outcome == expected
    assert verdict.results[0].reason
    assert verdict.results[0].threshold is not None


def test_scores_in_doubt_are_told_and_count_as_lost_where_the_check_says_so(tmp_path: Path) -> None:
    found = evidence(10, 10, 80)
    ours = found.arms[0].model_copy(update={"doubtful": {"cut off": 3, "refused": 2}})
    given = found.model_copy(update={"arms": (ours, found.arms[1])})
    results = {
        keys: judge(policy(tmp_path, ONE.format(kind="measured", keys=keys)), SUBJECT, [given], 1, None).results[0]
        for keys in ("share: 1.0", "share: 0.97, lost: [cut off]", "share: 0.96, lost: [cut off, refused]")
    }
    assert [result.outcome for result in results.values()] == ["PASS", "PASS", "FAIL"]
    strict = list(results.values())[-1].reason
    assert "95.0 % of 100 items were measured on the candidate (scored but cut off: 3, scored but refused: 2)" in strict
    with pytest.raises(PolicyError, match="lost"):
        policy(tmp_path, ONE.format(kind="measured", keys="share: 1.0, lost: [late]"))


def test_a_check_that_names_no_doubt_has_the_form_it_had(tmp_path: Path) -> None:
    plain = policy(tmp_path, ONE.format(kind="measured", keys="share: 0.9")).checks[0]
    assert "lost" not in plain
    strict = policy(tmp_path, ONE.format(kind="measured", keys="share: 0.9, lost: [refused]"))
    assert strict.checks[0]["lost"] == ["refused"]
    assert Policy.parse(strict.canonical()) == strict
    assert strict.blocks()[0][1].lost == ("refused",)  # type: ignore[attr-defined]


def test_measured_is_exact_at_its_share(tmp_path: Path) -> None:
    """93 of 100 is 93 %, in floating point too."""
    for n in (10, 93, 99):
        found = policy(tmp_path, ONE.format(kind="measured", keys=f"share: {n / 100}"))
        assert outcomes(found, evidence(n, 0, 0, n=100)) == {"only": "PASS"}
        assert outcomes(found, evidence(n, 0, 0, n=101)) == {"only": "FAIL"}


def test_contamination_is_counted_and_never_assumed_away(tmp_path: Path) -> None:
    found = policy(tmp_path, ONE.format(kind="uncontaminated", keys="share: 0.29"))
    clean = evidence(80, 2, 18, n=100)
    assert outcomes(found, clean) == {"only": "UNDECIDED"}  # nobody looked

    def with_items(exact: int, rows: int = 7) -> Evidence:
        return clean.model_copy(update={"overlap": Overlap(exact=exact, within=2, near=1, rows=rows)})

    assert outcomes(found, with_items(26)) == {"only": "PASS"}
    assert outcomes(found, with_items(27)) == {"only": "FAIL"}
    assert outcomes(found, with_items(0, rows=0)) == {"only": "UNDECIDED"}
    reason = judge(found, SUBJECT, [with_items(27)], 1, None).results[0].reason
    assert reason.startswith("30 of 100 items stand in the 7 training rows (27 as they are, 2 within a row, 1 nearly)")


def test_evidence_from_before_keeps_its_digest() -> None:
    plain = evidence(80, 2, 18)
    assert b"overlap" not in plain.canonical()
    assert Evidence.parse(plain.canonical()) == plain
    looked = plain.model_copy(update={"overlap": Overlap(exact=0, within=0, near=0, rows=7)})
    assert Evidence.parse(looked.canonical()) == looked
    assert looked.digest() != plain.digest()


def test_the_champion_is_the_one_compared_with(tmp_path: Path) -> None:
    found = policy(tmp_path, ONE.format(kind="non-inferior", keys="against: champion, margin: 0.05"))
    pairs = (against("base", 80, 2, 400), against("champion", 2, 80, 400))
    result = judge(found, SUBJECT, [with_champion(evidence(80, 2, 400, pairs=pairs))], 1, "b").results[0]
    assert result.outcome == "FAIL"
    assert "against the champion" in result.reason
    assert "no champion yet" not in result.reason


def test_a_champion_that_was_not_compared_is_not_replaced_by_the_base(tmp_path: Path) -> None:
    found = policy(tmp_path, ONE.format(kind="non-inferior", keys="against: champion, margin: 0.05"))
    result = judge(found, SUBJECT, [with_champion(evidence(80, 2, 400))], 1, "b").results[0]
    assert result.outcome == "UNDECIDED"
    assert "no evidence against the champion" in result.reason


def test_the_champion_is_the_planned_one(tmp_path: Path) -> None:
    """Which champion was compared with is not for the evidence to say."""
    compares = policy(tmp_path, ONE.format(kind="non-inferior", keys="against: champion, margin: 0.05"))
    bare = policy(tmp_path, ONE.format(kind="superior", keys="margin: 0.0"))
    alone = evidence(80, 2, 400)
    armed = with_champion(alone)
    paired = alone.model_copy(update={"pairs": (*alone.pairs, against("champion", 80, 2, 400))})
    for found in (armed, paired):
        for planned in ("c", None):
            with pytest.raises(IntegrityError, match=f"is about the champion b; planned was {planned or 'none'}"):
                judge(bare, SUBJECT, [alone, found], 1, planned)
    with pytest.raises(IntegrityError, match="is without the champion, and the policy compares with it; planned was b"):
        judge(compares, SUBJECT, [alone], 1, "b")
    with pytest.raises(IntegrityError, match="is without the champion"):
        judge(compares, SUBJECT, [paired], 1, "b")
    assert judge(bare, SUBJECT, [alone], 1, "b").outcome == "PASS"
    assert judge(compares, SUBJECT, [], 1, "b").outcome == "UNDECIDED"


def test_two_pieces_of_evidence_for_one_check_are_not_chosen_from(tmp_path: Path) -> None:
    found = policy(tmp_path, ONE.format(kind="superior", keys="margin: 0.0"))
    good, bad = evidence(80, 2, 400), evidence(2, 80, 400, metric="other")
    for given in ([good, bad], [bad, good]):
        result = judge(found, SUBJECT, given, 1, None).results[0]
        assert result.outcome == "UNDECIDED"
        assert "2 pieces of evidence" in result.reason
    named = policy(tmp_path, ONE.format(kind="superior", keys="margin: 0.0, metric: acc"))
    assert outcomes(named, good, bad) == outcomes(named, bad, good) == {"only": "PASS"}
    other = policy(tmp_path, ONE.format(kind="superior", keys="margin: 0.0, metric: f1"))
    assert "the metric 'f1'" in judge(other, SUBJECT, [good, bad], 1, None).results[0].reason


def test_evidence_that_claims_items_but_holds_none_never_passes(tmp_path: Path) -> None:
    empty = evidence(0, 0, 0, n=500)
    assert outcomes(policy(tmp_path), empty) == {"better": "UNDECIDED", "not-worse": "UNDECIDED", "seen": "FAIL"}


def silent(gained: int, lost: int, same: int, unanswered: int) -> Evidence:
    """Such evidence, and more items that only the base answered."""
    found = evidence(gained, lost, same, n=gained + lost + same + unanswered)
    base = found.arms[1].model_copy(update={"clusters": found.arms[1].clusters + ((1, 1.0, 1.0),) * unanswered})
    pair = found.pairs[0].model_copy(update={"unmeasured": unanswered})
    return found.model_copy(update={"arms": (found.arms[0], base), "pairs": (pair,)})


def test_silence_gains_nothing(tmp_path: Path) -> None:
    """Items that the candidate left without a score may be those it would have lost."""
    found = policy(tmp_path, ONE.format(kind="non-inferior", keys="margin: 0.05"))
    for unanswered, expected in ((0, "PASS"), (5, "PASS"), (60, "UNDECIDED")):
        result = judge(found, SUBJECT, [silent(10, 10, 480, unanswered)], 1, None).results[0]
        assert result.outcome == expected
        assert (f"{unanswered} items have a score on the reference and none" in result.reason) == bool(unanswered)
    assert outcomes(found, evidence(10, 10, 480, n=560)) == {"only": "PASS"}  # the base was silent there too


@pytest.mark.parametrize(("kind", "bound"), [("at-least", 0.5), ("at-most", 0.99)])
def test_silence_meets_no_bound(kind: str, bound: float, tmp_path: Path) -> None:
    found = policy(tmp_path, ONE.format(kind=kind, keys=f"bound: {bound}"))
    assert outcomes(found, evidence(60, 5, 0)) == {"only": "PASS"}
    assert outcomes(found, evidence(60, 5, 0, n=2000)) == {"only": "UNDECIDED"}


def test_an_undecided_bound_says_how_many_items_would_settle_it(tmp_path: Path) -> None:
    found = policy(tmp_path, ONE.format(kind="at-least", keys="bound: 0.5"))
    result = judge(found, SUBJECT, [evidence(12, 8, 0)], 1, None).results[0]
    assert (result.items_to_settle or 0) > 20
    assert f"about {result.items_to_settle} items would settle it" in result.reason
    assert result.detectable is not None
    assert "60.0 %" in result.reason


HARMS = """\
name: p
rule: any-harm-holm
checks:
  - {id: a, kind: non-inferior, task: a, margin: 0.0}
  - {id: b, kind: non-inferior, task: b, margin: 0.0}
  - {id: c, kind: non-inferior, task: c, margin: 0.0}
  - {id: seen, kind: measured, task: a}
"""


def harm_p(gain: int, loss: int, same: int) -> float:
    """The level at which Tango's upper bound just touches zero, by bisection."""
    low, high = 1e-9, 0.4999
    for _ in range(24):
        middle = (low + high) / 2
        is_harm = tango(gain, loss, gain + loss + same, NormalDist().inv_cdf(1 - middle))[1] < 0
        low, high = (low, middle) if is_harm else (middle, high)
    return high


@hypothesis.settings(max_examples=8)
@hypothesis.given(st.lists(st.tuples(st.integers(0, 9), st.integers(3, 20)), min_size=3, max_size=3))
def test_holms_correction_is_that_of_statsmodels(counts: list[tuple[int, int]]) -> None:
    from statsmodels.stats.multitest import multipletests

    adjusted = multipletests([harm_p(gain, loss, 40) for gain, loss in counts], 0.05, "holm")[1]
    hypothesis.assume(all(abs(p - 0.05) > 1e-4 for p in adjusted))
    checks = tuple({"id": task, "kind": "non-inferior", "task": task, "margin": 0.0} for task in "abc")
    found = [evidence(gain, loss, 40, task=task) for (gain, loss), task in zip(counts, "abc", strict=True)]
    results = judge(Policy(name="p", rule="any-harm-holm", checks=checks), SUBJECT, found, 1, None).results
    assert [result.outcome == "FAIL" for result in results] == [bool(p < 0.05) for p in adjusted]


def test_harm_by_chance_is_undecided_under_holm_and_never_a_pass(tmp_path: Path) -> None:
    seen = [evidence(7, 17, 200, task="a"), evidence(9, 9, 200, task="b"), evidence(9, 9, 200, task="c")]
    strict = judge(policy(tmp_path, HARMS.replace("any-harm-holm", "all-required")), SUBJECT, seen, 1, None)
    corrected = judge(policy(tmp_path, HARMS), SUBJECT, seen, 1, None)
    assert (strict.results[0].outcome, strict.outcome) == ("FAIL", "FAIL")
    assert (corrected.results[0].outcome, corrected.outcome) == ("UNDECIDED", "UNDECIDED")
    assert "not after Holm's correction for 3 checks" in corrected.results[0].reason
    plain = judge(policy(tmp_path, HARMS), SUBJECT, [evidence(2, 40, 200, task="a"), *seen[1:]], 1, None)
    assert plain.outcome == "FAIL"
    assert "stands after Holm's correction" in plain.results[0].reason


def test_nothing_is_minus_zero_in_a_reason(tmp_path: Path) -> None:
    found = policy(tmp_path, ONE.format(kind="non-inferior", keys="margin: 0.0"))
    for lower in (True, False):
        assert (
            "-0.0" not in judge(found, SUBJECT, [evidence(9, 9, 50, higher_is_better=lower)], 1, None).results[0].reason
        )


def test_a_verdict_depends_on_all_it_speaks_of(tmp_path: Path) -> None:
    found, good = policy(tmp_path), evidence(80, 2, 400)
    seen = {
        judge(found, SUBJECT, [good], 1, None).digest(),
        judge(found, SUBJECT, [good], 2, None).digest(),
        judge(found, SUBJECT, [evidence(80, 2, 401)], 1, None).digest(),
        judge(policy(tmp_path, POLICY.replace("0.05", "0.06")), SUBJECT, [good], 1, None).digest(),
    }
    assert len(seen) == 4
    assert [figure.arm for figure in judge(found, SUBJECT, [good], 1, None).figures] == ["candidate", "base"]


def test_the_verdict_repeats(tmp_path: Path) -> None:
    one, other = (judge(policy(tmp_path), SUBJECT, [evidence(80, 2, 400)], 1, None).digest() for _ in range(2))
    assert one == other


def test_foresight_warns_of_small_sets(tmp_path: Path) -> None:
    small, large = (foresee(policy(tmp_path), {"t": (n, n)})[1] for n in (50, 2000))
    assert small.warning
    assert not large.warning


def test_foresight_says_what_each_kind_can_show(tmp_path: Path) -> None:
    text = POLICY + "  - {id: enough, kind: at-least, task: t, bound: 0.8}\n"
    better, same, enough = foresee(policy(tmp_path, text), {"t": (400, 80)})
    assert "5.6 points" in better.what
    assert "must be better by 5.6" in better.what
    assert not better.warning
    assert "the margin is 5.0 points, so an equal candidate may end UNDECIDED" in same.what
    assert same.warning
    assert "6.2 points" in enough.what
    assert foresee(policy(tmp_path, text), {"t": (0, 0)})[0].warning
    assert foresee(policy(tmp_path, text), {}) == []


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


def clustered(answers: Sequence[Sequence[tuple[int | None, int]]]) -> Evidence:
    """(candidate, base) by cluster; None: the candidate is silent."""

    def sums(values: list[int]) -> tuple[int, float, float]:
        return len(values), float(sum(values)), float(sum(values))

    both = [[(c, r) for c, r in cluster if c is not None] for cluster in answers]
    ours = tuple(sums([c for c, _ in pairs]) for pairs in both)
    theirs = tuple(sums([r for _, r in cluster]) for cluster in answers)
    clusters = tuple(
        Cluster(
            n=len(p), candidate=sum(c for c, _ in p), reference=sum(r for _, r in p), cross=sum(c * r for c, r in p),
            candidate_sq=sum(c for c, _ in p), reference_sq=sum(r for _, r in p),
        )
        for p in both
    )  # fmt: skip
    return evidence(
        1, 0, 0,
        n=sum(map(len, answers)),
        arms=(
            ArmStatistics(arm="candidate", subject=SUBJECT, clusters=ours),
            ArmStatistics(arm="base", subject="b", clusters=theirs),
        ),
        pairs=(PairedStatistics(reference="base", reference_subject="b", clusters=clusters, unmeasured=0),),
    )  # fmt: skip


CHECKS = {
    "better": "kind: superior, against: base, margin: 0.0",
    "kept": "kind: non-inferior, against: base, margin: 0.1",
    "enough": "kind: at-least, bound: 0.5",
}


def clustered_policy(tmp_path: Path) -> Policy:
    lines = "".join(f"  - {{id: {name}, {rest}, task: t}}\n" for name, rest in CHECKS.items())
    return policy(tmp_path, "name: p\nchecks:\n" + lines)


def test_a_cluster_that_falls_silent_passes_no_easier_than_one_that_goes_wrong(tmp_path: Path) -> None:
    """Five clusters of twenty gained and one lost are too few to tell; that the one was silent makes no difference."""
    gained, found = [[(1, 0)] * 20] * 5, clustered_policy(tmp_path)
    wrong = outcomes(found, clustered([*gained, [(0, 1)] * 20]))
    assert wrong == {"better": "UNDECIDED", "kept": "UNDECIDED", "enough": "UNDECIDED"}
    silent_one = clustered([*gained, [(None, 1)] * 20])
    assert outcomes(found, silent_one) == wrong
    assert outcomes(found, without_empty(silent_one)) == wrong  # as evidence was written before


def without_empty(found: Evidence) -> Evidence:
    arms = tuple(a.model_copy(update={"clusters": tuple(c for c in a.clusters if c[0])}) for a in found.arms)
    pairs = tuple(p.model_copy(update={"clusters": tuple(c for c in p.clusters if c.n)}) for p in found.pairs)
    return found.model_copy(update={"arms": arms, "pairs": pairs})


ANSWER = st.tuples(st.sampled_from([0, 1]), st.sampled_from([0, 1]), st.sampled_from([False, False, True]))


@hypothesis.settings(max_examples=200, suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture])
@hypothesis.given(st.lists(st.lists(ANSWER, min_size=1, max_size=8), min_size=3, max_size=12))
def test_silence_never_passes_where_the_lost_answer_does_not(
    tmp_path: Path, told: list[list[tuple[int, int, bool]]]
) -> None:
    """Some items of each cluster are silent: they are never a PASS where they are not one as answers that lost."""
    found = clustered_policy(tmp_path)
    answers = [[(None if gone else c, 1 if gone else r) for c, r, gone in cluster] for cluster in told]
    lost = [[(0 if c is None else c, r) for c, r in cluster] for cluster in answers]
    silent_ones, wrong = outcomes(found, clustered(answers)), outcomes(found, clustered(lost))
    assert not [name for name in CHECKS if silent_ones[name] == "PASS" and wrong[name] != "PASS"]
