"""A plot's marks are where the numbers say, and numbers of any size fit."""

import math
import re

from hypothesis import given
from hypothesis import strategies as st

from tunegate.console import plots

NUMBERS = st.floats(-1e6, 1e6, allow_nan=False)


@given(st.lists(NUMBERS, max_size=8))
def test_a_domain_holds_its_values_between_round_ends(values: list[float]) -> None:
    low, high = plots.domain_of(values)
    assert low < high and all(low - 1e-6 <= value <= high + 1e-6 for value in values)
    assert 1 <= len(plots.ticks((low, high))) <= 12


def test_a_domain_of_nothing_measured_is_something() -> None:
    assert plots.domain_of([None, math.nan, math.inf]) == (0.0, 1.0)


def test_marks_are_where_the_numbers_are() -> None:
    drawn = str(plots.interval(50.0, 0.0, 100.0, (0.0, 100.0), 25.0))
    inside = plots.WIDTH - 2 * plots.EDGE
    point = float(re.search(r'class="point" x="([0-9.]+)"', drawn)[1]) + 4
    bound = float(re.search(r'class="bound" x1="([0-9.]+)"', drawn)[1])
    assert (point, bound) == (plots.EDGE + inside / 2, plots.EDGE + inside / 4)
    assert "50.0, bounds 0.0 to 100.0, judged by 25.0" in drawn
    assert "not measured" in str(plots.interval(None, None, None, (0.0, 1.0), None))


def test_a_long_curve_is_thinned_and_keeps_its_ends() -> None:
    points = [(float(step), 3.0 / step) for step in range(1, 10_001)]
    drawn = str(plots.curve(points, 10_000, "loss"))
    assert drawn.count(",") < 3 * plots.MOST_POINTS and "from 3 to 0.0003" in drawn
    assert "no step yet" in str(plots.curve([], 10, "loss"))
