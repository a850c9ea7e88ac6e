"""Published values, laws, and the error rate at the margin."""

import math
from statistics import NormalDist
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunegate_core.errors import IntegrityError
from tunegate_core.records import ArmStatistics, Cluster, PairedStatistics
from tunegate_core.stats import (
    arm_interval,
    arm_spread,
    detectable,
    mcnemar_midp,
    paired_interval,
    paired_spread,
    tango,
    wilson,
)
from tunegate_core.stats.intervals import student

Z95, Z90 = NormalDist().inv_cdf(0.975), NormalDist().inv_cdf(0.95)


def pairs_of(scores: list[list[tuple[int, int]]]) -> PairedStatistics:
    """Clusters of (candidate, reference) yes/no scores as sufficient statistics."""
    clusters = tuple(
        Cluster(
            n=len(items),
            candidate=sum(c for c, _ in items),
            reference=sum(r for _, r in items),
            cross=sum(c * r for c, r in items),
            candidate_sq=sum(c for c, _ in items),
            reference_sq=sum(r for _, r in items),
        )
        for items in scores
    )
    return PairedStatistics(reference="base", reference_subject="b", clusters=clusters, unmeasured=0)


def arm_of(scores: list[list[float]]) -> ArmStatistics:
    """Clusters of scores as sufficient statistics."""
    clusters = tuple((len(items), math.fsum(items), math.fsum(x * x for x in items)) for items in scores)
    return ArmStatistics(arm="candidate", subject="a", clusters=clusters)


def test_bentur(expected_values: dict[str, Any]) -> None:
    table = expected_values["mcnemar_bentur_fagerland"]
    n = table["n11"] + table["n12"] + table["n21"] + table["n22"]
    assert tango(table["n12"], table["n21"], n, Z95) == pytest.approx(table["tango95"], abs=5e-4)
    assert mcnemar_midp(table["n12"], table["n21"]) == pytest.approx(table["midp"], abs=5e-5)


def test_gsm8k(expected_values: dict[str, Any]) -> None:
    n = expected_values["gsm8k_paired"]["n"]
    for pair in expected_values["gsm8k_paired"]["pairs"].values():
        for key, z in (("tango95", Z95), ("tango90", Z90)):
            if key in pair:
                assert tango(pair["n01"], pair["n10"], n, z) == pytest.approx(pair[key], abs=1e-9)


def test_no_losses(expected_values: dict[str, Any]) -> None:
    assert tango(0, 1, 44, Z95) == pytest.approx(expected_values["tango_scoreci"]["b0_c1_n44"], abs=1e-9)


def test_wilson_is_that_of_statsmodels() -> None:
    from statsmodels.stats.proportion import proportion_confint

    for right, n in ((0, 10), (7, 10), (10, 10), (130, 590)):
        assert wilson(right / n, n, Z95) == pytest.approx(proportion_confint(right, n, 0.05, "wilson"), abs=1e-9)


def test_clustered_error_is_millers() -> None:
    rng = np.random.default_rng(1)
    groups = [rng.integers(0, 2, (int(size), 2)) for size in rng.integers(1, 6, 40)]
    spread = paired_spread(pairs_of([[(int(a), int(b)) for a, b in group] for group in groups]))
    differences = np.concatenate([group[:, 0] - group[:, 1] for group in groups]).astype(float)
    mean, n = differences.mean(), len(differences)
    sums = [float((group[:, 0] - group[:, 1] - mean).sum()) for group in groups]
    assert spread is not None
    expected = math.sqrt(sum(value**2 for value in sums) * len(sums) / (len(sums) - 1)) / n
    assert spread.se == pytest.approx(expected)
    assert spread.mean == pytest.approx(mean)


scores = st.lists(
    st.lists(st.tuples(st.integers(0, 1), st.integers(0, 1)), min_size=1, max_size=4), min_size=2, max_size=30
)


@given(scores)
def test_an_interval_holds_its_value_and_is_never_a_point(items: list[list[tuple[int, int]]]) -> None:
    found = paired_interval(pairs_of(items), "binary", 0.95)
    assert found.value is not None
    assert found.low is not None
    assert found.high is not None
    assert -1 <= found.low <= found.value + 1e-9
    assert found.value - 1e-9 <= found.high <= 1
    assert found.high > found.low


@given(scores)
def test_swapping_the_arms_turns_the_interval_round(items: list[list[tuple[int, int]]]) -> None:
    one = paired_interval(pairs_of(items), "binary", 0.95)
    other = paired_interval(pairs_of([[(b, a) for a, b in group] for group in items]), "binary", 0.95)
    assert one.low is not None
    assert other.high is not None
    assert one.low == pytest.approx(-other.high, abs=1e-6)
    assert one.value == pytest.approx(-(other.value or 0.0), abs=1e-9)


@given(scores)
def test_more_confidence_is_wider(items: list[list[tuple[int, int]]]) -> None:
    narrow, wide = (paired_interval(pairs_of(items), "binary", confidence) for confidence in (0.9, 0.99))
    assert (wide.low or 0) <= (narrow.low or 0) + 1e-9
    assert (wide.high or 0) >= (narrow.high or 0) - 1e-9


@given(scores)
def test_no_more_items_count_than_there_are(items: list[list[tuple[int, int]]]) -> None:
    spread = paired_spread(pairs_of(items))
    assert spread is not None
    assert 1 <= spread.effective <= spread.n
    assert spread.clusters <= spread.n


@given(scores)
def test_one_arm_stays_between_nothing_and_all(items: list[list[tuple[int, int]]]) -> None:
    sums = [(len(group), float(sum(c for c, _ in group))) for group in items]
    arm = ArmStatistics(arm="candidate", subject="a", clusters=tuple((n, total, total) for n, total in sums))
    found = arm_interval(arm, "binary", 0.95)
    assert found.value is not None
    assert found.low is not None
    assert found.high is not None
    assert 0 <= found.low <= found.value <= found.high <= 1
    assert found.high > found.low


@given(st.lists(st.lists(st.floats(0, 1), min_size=1, max_size=4), min_size=2, max_size=20))
def test_real_scores_are_measured_with_width_or_not_at_all(items: list[list[float]]) -> None:
    found = arm_interval(arm_of(items), "real", 0.95)
    if found.value is None:
        assert found.low is None
        assert found.high is None
    else:
        assert len(items) >= 10
        assert (found.low or 0) < (found.high or 0)


@given(st.lists(st.lists(st.floats(0, 1), min_size=1, max_size=4), min_size=2, max_size=20))
def test_shares_stay_between_nothing_and_all(items: list[list[float]]) -> None:
    found = arm_interval(arm_of(items), "share", 0.95)
    if found.value is not None:
        assert len(items) >= 10
        assert found.low is not None and found.high is not None
        assert 0 <= found.low <= found.value <= found.high <= 1
        assert found.low < found.high


def test_shares_that_are_yes_or_no_get_wilson_with_students_t() -> None:
    spread = arm_spread(arm_of([[1.0]] * 15 + [[0.0]] * 5), "share")
    assert spread is not None
    found = arm_interval(arm_of([[1.0]] * 15 + [[0.0]] * 5), "share", 0.95)
    assert (found.low, found.high) == pytest.approx(wilson(0.75, 20, student(spread, 0.95)), abs=1e-9)


def test_all_won_is_known_by_the_number_and_all_tied_by_nothing() -> None:
    won, tied = arm_interval(arm_of([[1.0]] * 20), "share", 0.95), arm_interval(arm_of([[0.5]] * 20), "share", 0.95)
    assert won.low == pytest.approx(20 / (20 + 1.7291**2), abs=1e-4) and won.high == 1
    assert tied.value is None


@pytest.mark.parametrize(
    ("prompts", "bound", "ties", "raters"),
    [(20, 0.9, 0.05, 3), (20, 0.5, 0.5, 1), (50, 0.9, 0.05, 1), (50, 0.95, 0.05, 1), (100, 0.9, 0.05, 1)],
)
def test_a_win_rate_at_the_bound_passes_no_more_often_than_promised(
    prompts: int, bound: float, ties: float, raters: int
) -> None:
    """With t intervals 9, 5, 12, 13 and 9 % of these passed."""
    rng, runs, passed = np.random.default_rng(prompts), 2000, 0
    drawn = rng.random((runs, prompts, raters))
    rates = np.where(drawn < bound - ties / 2, 1.0, np.where(drawn < bound + ties / 2, 0.5, 0.0)).mean(axis=-1)
    for run in rates:
        passed += (arm_interval(arm_of([[float(rate)] for rate in run]), "share", 0.95).low or 0) > bound
    assert passed / runs <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / runs)


@given(scores, st.randoms())
def test_the_order_of_clusters_does_not_matter(items: list[list[tuple[int, int]]], random: Any) -> None:
    shuffled = list(items)
    random.shuffle(shuffled)
    one, other = (paired_interval(pairs_of(found), "binary", 0.95) for found in (items, shuffled))
    assert one.low == pytest.approx(other.low, abs=1e-8)
    assert one.high == pytest.approx(other.high, abs=1e-8)


def test_items_that_go_together_count_less() -> None:
    pattern = [(1, 0), (0, 1), (1, 1), (0, 0), (1, 1)] * 40
    alone = paired_spread(pairs_of([[pair] for pair in pattern]))
    together = paired_spread(pairs_of([[pair] * 5 for pair in pattern]))
    assert alone is not None
    assert together is not None
    assert alone.effective == alone.n == 200
    assert together.n == 1000
    assert together.effective == pytest.approx(200, rel=0.01)  # a design effect of 5


def test_a_cluster_that_never_turned_still_counts() -> None:
    """Of 65 pairs of items one differs: the clusters count, not the items; of 20 that differ no more is unseen."""
    same, one_of_two = [(1, 1), (1, 1)], [(1, 1), (0, 1)]
    found = [paired_spread(pairs_of([one_of_two] * k + [same] * (65 - k))) for k in (0, 1, 3, 20)]
    effective = [spread.effective for spread in found if spread is not None]
    assert effective[0] == effective[1] == pytest.approx(65)
    variance = 3 / 130 * 127 / 130 * 130 / 129
    assert effective[2] == pytest.approx(variance / (2 / 130) ** 2)  # over what one cluster would add
    assert effective[3] == pytest.approx(130)


def test_one_large_cluster_is_not_many_items() -> None:
    large = paired_spread(pairs_of([[(1, 1)] * 81] + [[(1, 1)]] * 19))
    assert large is not None
    assert large.effective == pytest.approx(100**2 / (81**2 + 19))
    assert large.kish == large.effective


def test_sums_that_no_yes_and_no_can_give_are_refused() -> None:
    good = pairs_of([[(1, 0)], [(0, 1)], [(1, 1)]])
    for change in ({"cross": 2.0}, {"candidate_sq": 0.5}, {"n": 0}, {"reference": -1.0}):
        wrong = good.clusters[2].model_copy(update=change)
        with pytest.raises(IntegrityError, match="0 and 1"):
            paired_interval(good.model_copy(update={"clusters": (*good.clusters[:2], wrong)}), "binary", 0.95)
    arm = ArmStatistics(arm="candidate", subject="a", clusters=((1, 2.0, 2.0), (1, 1.0, 1.0)))
    with pytest.raises(IntegrityError, match="0 and 1"):
        arm_interval(arm, "binary", 0.95)


def test_few_scores_of_any_kind_get_students_t_even_when_independent() -> None:
    from scipy import stats

    values = [0.1, 0.4, 0.35, 0.8, 0.55, 0.2, 0.9, 0.45, 0.6, 0.3]
    found = arm_interval(arm_of([[x] for x in values]), "real", 0.975)
    usual = stats.t.interval(0.95, 9, np.mean(values), stats.sem(values))
    assert (found.low, found.high) == pytest.approx(usual, abs=1e-9)


def test_independent_scores_of_any_kind_get_the_usual_t_interval() -> None:
    from scipy import stats

    values = np.random.default_rng(3).normal(0.3, 0.2, (30, 2))
    found = arm_interval(arm_of(values.tolist()), "real", 0.975)
    means = values.mean(axis=1)
    usual = stats.t.interval(0.95, 29, means.mean(), means.std(ddof=1) / math.sqrt(30))
    assert found.low is not None
    assert found.high is not None
    # As wide as the interval of the cluster means, or wider where chance made clusters look more than independent.
    assert found.low <= usual[0] + 1e-9
    assert found.high >= usual[1] - 1e-9
    assert found.high - found.low == pytest.approx(usual[1] - usual[0], rel=0.3)


def test_mcnemar_is_even_for_no_or_equal_change() -> None:
    assert mcnemar_midp(0, 0) == 1.0
    assert mcnemar_midp(5, 5) == 1.0
    assert mcnemar_midp(3, 9) == mcnemar_midp(9, 3)


def test_too_little_is_not_measured() -> None:
    assert paired_interval(pairs_of([]), "binary", 0.95).value is None
    assert paired_interval(pairs_of([[(1, 0), (1, 0)]]), "binary", 0.95).low is None
    assert arm_interval(arm_of([[0.5]] * 5), "real", 0.95).low is None
    assert arm_interval(arm_of([[0.5], [1.0]] * 4), "share", 0.95).low is None


@pytest.mark.parametrize("size", [1, 2, 5])
def test_a_candidate_at_the_margin_passes_no_more_often_than_promised(size: int) -> None:
    """True difference -5 points, 20 % discordant; within a cluster all items have the same outcome."""
    rng = np.random.default_rng(size)
    runs, groups, margin = 600, 300 // size, 0.05
    passed = 0
    for _ in range(runs):
        kinds = rng.choice(3, groups, p=[0.075, 0.125, 0.8])  # gained, lost, same
        table = [[((1, 0), (0, 1), (1, 1))[kind]] * size for kind in kinds]
        passed += (paired_interval(pairs_of(table), "binary", 0.95).low or -1) > -margin
    assert passed / runs <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / runs)


@pytest.mark.parametrize(
    ("clusters", "size", "lost", "gained", "together"),
    [
        (65, 2, 0.10, 0.05, 0.9),
        (65, 2, 0.05, 0.0, 0.9),
        (60, 5, 0.10, 0.05, 0.6),
        (40, 5, 0.05, 0.0, 0.6),
        (10, 20, 0.05, 0.0, 0.9),  # what is lost together may not be in the sample at all
        (10, 20, 0.10, 0.05, 0.9),
        (25, 20, 0.05, 0.0, 0.6),
    ],
)
def test_items_that_fail_together_do_not_slip_through(
    clusters: int, size: int, lost: float, gained: float, together: float
) -> None:
    """True difference -5 points, at the margin; an item takes its cluster's outcome with probability `together`."""
    rng, runs, passed = np.random.default_rng(clusters * size), 400, 0
    for _ in range(runs):
        shares = [gained, lost, 1 - gained - lost]
        common, own = rng.choice(3, (clusters, 1), p=shares), rng.choice(3, (clusters, size), p=shares)
        kinds = np.where(rng.random((clusters, size)) < together, common, own)
        counts = [(size, int((row == 0).sum()), int((row == 1).sum())) for row in kinds]
        pair = PairedStatistics(
            reference="base",
            reference_subject="b",
            clusters=tuple(
                Cluster(
                    n=n, candidate=n - loss, reference=n - gain, cross=n - gain - loss,
                    candidate_sq=n - loss, reference_sq=n - gain,
                )
                for n, gain, loss in counts
            ),
            unmeasured=0,
        )  # fmt: skip
        passed += (paired_interval(pair, "binary", 0.95).low or -1) > -0.05
    assert passed / runs <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / runs)


@pytest.mark.parametrize(
    ("clusters", "sizes", "lost", "gained", "together"),
    [
        (40, (1, 1, 1, 1, 20), 0.05, 0.0, 1.0),
        (40, (1, 1, 1, 1, 20), 0.07, 0.02, 1.0),
        (60, (1, 1, 1, 40), 0.05, 0.0, 1.0),
        (120, (1, 1, 1, 1, 20), 0.05, 0.0, 0.5),
    ],
)
def test_a_few_large_clusters_do_not_slip_through(
    clusters: int, sizes: tuple[int, ...], lost: float, gained: float, together: float
) -> None:
    """As above, with clusters of very unequal size: most items lie in a few of them."""
    rng, runs, passed = np.random.default_rng(clusters), 300, 0
    for _ in range(runs):
        shares, table = [gained, lost, 1 - gained - lost], []
        for size in rng.choice(sizes, clusters):
            common, own = rng.choice(3, p=shares), rng.choice(3, size, p=shares)
            kinds = np.where(rng.random(size) < together, common, own)
            table.append([((1, 0), (0, 1), (1, 1))[kind] for kind in kinds])
        passed += (paired_interval(pairs_of(table), "binary", 0.95).low or -1) > -0.05
    assert passed / runs <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / runs)


def test_detectable_is_the_known_table() -> None:
    assert detectable(1000, 0.2) == pytest.approx(0.035, abs=5e-4)
    assert detectable(300, 0.2) == pytest.approx(0.064, abs=5e-4)
    assert detectable(100, 0.2) == pytest.approx(0.111, abs=5e-4)
    assert detectable(0) is None
