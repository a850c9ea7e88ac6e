"""Published values, laws, and the error rate at the margin."""

import math
from statistics import NormalDist
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunegate_core.records import ArmStatistics, Cluster, PairedStatistics
from tunegate_core.stats import arm_interval, detectable, mcnemar_midp, paired_interval, paired_spread, tango, wilson
from tunegate_core.stats.planning import miller_items

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


def test_miller_sample_size(expected_values: dict[str, Any]) -> None:
    given_values = expected_values["miller_sample_size"]
    n = miller_items(given_values["omega2"], given_values["delta"], given_values["alpha"], given_values["power"])
    assert n == pytest.approx(given_values["n"], abs=1e-3)


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
    assert one.low == pytest.approx(-(other.high or 0), abs=1e-6)


@given(scores)
def test_more_confidence_is_wider(items: list[list[tuple[int, int]]]) -> None:
    narrow, wide = (paired_interval(pairs_of(items), "binary", confidence) for confidence in (0.9, 0.99))
    assert (wide.low or 0) <= (narrow.low or 0) + 1e-9
    assert (wide.high or 0) >= (narrow.high or 0) - 1e-9


def test_too_little_is_not_measured() -> None:
    assert paired_interval(pairs_of([]), "binary", 0.95).value is None
    assert paired_interval(pairs_of([[(1, 0), (1, 0)]]), "binary", 0.95).low is None
    few = ArmStatistics(arm="candidate", subject="a", clusters=((1, 0.5, 0.25),) * 5)
    assert arm_interval(few, "real", 0.95).low is None


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


def test_detectable_is_the_known_table() -> None:
    assert detectable(1000, 0.2) == pytest.approx(0.035, abs=5e-4)
    assert detectable(300, 0.2) == pytest.approx(0.064, abs=5e-4)
    assert detectable(100, 0.2) == pytest.approx(0.111, abs=5e-4)
    assert detectable(0) is None
