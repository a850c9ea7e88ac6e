"""How many items are enough: the published case, and what the power really is."""

import math
from statistics import NormalDist
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunegate_core.stats import detectable, items_to_settle, tango


def test_miller_sample_size(expected_values: dict[str, Any]) -> None:
    """A two-sided test at alpha is a one-sided bound at 1 - alpha / 2."""
    known = expected_values["miller_sample_size"]
    assert known["power"] == 0.8
    needed = items_to_settle(known["delta"], 0.0, known["omega2"], 1 - known["alpha"] / 2)
    assert needed == math.ceil(known["n"])


def test_nothing_settles_a_value_on_the_threshold() -> None:
    assert items_to_settle(-0.05, -0.05, 0.2, 0.95) is None


@pytest.mark.parametrize("effective", [0, -1])
def test_without_items_nothing_is_detectable(effective: float) -> None:
    assert detectable(effective) is None


@given(
    effective=st.floats(1, 1e6),
    variance=st.floats(1e-3, 1),
    confidence=st.floats(0.8, 0.999),
)
def test_a_detectable_difference_needs_just_these_items(effective: float, variance: float, confidence: float) -> None:
    least = detectable(effective, variance, confidence)
    assert least is not None
    if least > 1e-3:  # it is rounded to 1e-6
        needed = items_to_settle(least, 0.0, variance, confidence)
        assert needed == pytest.approx(effective, rel=5e-3, abs=1)


@given(value=st.floats(0.01, 1), variance=st.floats(1e-3, 1), effect=st.floats(1, 20))
def test_more_needs_more(value: float, variance: float, effect: float) -> None:
    def needed(value: float = value, confidence: float = 0.95, effect: float = effect) -> int:
        return items_to_settle(value, 0.0, variance, confidence, effect) or 0

    assert needed(confidence=0.99) >= needed()
    assert needed(effect=2 * effect) >= needed()
    assert needed(value=2 * value) <= needed()
    assert needed(value=-value) == needed()


def test_with_the_items_that_settle_it_eight_in_ten_are_settled() -> None:
    """An equal candidate, 20 % of items answered differently, a margin of five points."""
    n = items_to_settle(0.0, -0.05, 0.2, 0.95)
    assert n is not None
    runs, z = 300, NormalDist().inv_cdf(0.95)
    counts = np.random.default_rng(7).multinomial(n, [0.1, 0.1, 0.8], runs)
    passed = sum(tango(float(gain), float(loss), n, z)[0] > -0.05 for gain, loss, _ in counts) / runs
    assert passed == pytest.approx(0.8, abs=3 * math.sqrt(0.8 * 0.2 / runs) + 0.01)
