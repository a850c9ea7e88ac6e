"""Resampling whole clusters: against closed forms, and no interval where nothing can be known."""

import math
from typing import Any

import numpy as np
import pytest

from eval.resample import cluster_bootstrap, sign_flip, swapped


def share(sums: Any) -> Any:
    with np.errstate(invalid="ignore", divide="ignore"):
        return sums[..., 1] / sums[..., 0]


def test_the_bootstrap_of_a_mean_is_as_wide_as_its_clustered_error() -> None:
    generator = np.random.default_rng(1)
    totals = [(4.0, float(k)) for k in generator.binomial(4, 0.5, size=400)]
    value, low, high = cluster_bootstrap(totals, share, 0.95)
    assert low is not None and high is not None
    error = math.sqrt(np.var([total / 4 for _, total in totals]) / 400)
    assert value == pytest.approx(sum(total for _, total in totals) / 1600)
    assert (high - low) / (2 * 1.96 * error) == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize(
    "totals",
    [
        [(1.0, 1.0)] * 9,  # too few clusters
        [(1.0, 1.0)] * 50,  # nothing varies
        [(0.0, 0.0)] * 14 + [(1.0, 1.0)],  # mostly undefined
    ],
)
def test_no_interval_where_nothing_can_be_known(totals: list[tuple[float, float]]) -> None:
    assert cluster_bootstrap(totals, share, 0.95)[1:] == (None, None)


def test_undefined_is_no_value() -> None:
    assert cluster_bootstrap([], share, 0.95) == (None, None, None)
    assert cluster_bootstrap([(0.0, 0.0)] * 20, share, 0.95) == (None, None, None)


def test_sign_flips_are_close_to_the_exact_test() -> None:
    assert sign_flip([1.0] * 8) == pytest.approx(2 / 2**8, abs=0.005)  # only all plus or all minus are as far
    assert sign_flip([1.0, -1.0]) == 1.0
    assert sign_flip([]) is None


def test_swaps_are_close_to_the_exact_test() -> None:
    def apart(sums: Any) -> Any:
        return sums[..., 0] - sums[..., 1]

    assert swapped([((1.0,), (0.0,))] * 8, apart) == pytest.approx(2 / 2**8, abs=0.005)
    assert swapped([((1.0,), (0.0,)), ((0.0,), (1.0,))], apart) == 1.0
    assert swapped([], apart) is None
    assert swapped([((0.0,), (0.0,))] * 8, lambda sums: sums[..., 0] * np.nan) is None


def test_neither_order_nor_direction_of_clusters_changes_a_figure() -> None:
    generator = np.random.default_rng(3)
    totals = [(4.0, float(k)) for k in generator.binomial(4, 0.5, size=40)]
    apart = [float(x) for x in generator.normal(0.3, 1, size=40)]
    sides = [((2.0, float(a)), (2.0, float(b))) for a, b in generator.binomial(2, 0.5, size=(40, 2))]

    def differ(sums: Any) -> Any:
        return sums[..., 1] / sums[..., 0] - sums[..., 3] / sums[..., 2]

    assert cluster_bootstrap(totals, share, 0.95) == cluster_bootstrap(totals[::-1], share, 0.95)
    assert sign_flip(apart) == sign_flip(apart[::-1]) == sign_flip([-x for x in apart])
    assert swapped(sides, differ) == swapped(sides[::-1], differ) == swapped([(b, a) for a, b in sides], differ)


def test_it_repeats() -> None:
    totals = [(2.0, float(k % 3)) for k in range(30)]
    assert cluster_bootstrap(totals, share, 0.9) == cluster_bootstrap(totals, share, 0.9)
