"""The gap between two groups: Newcombe's published example, correlation by shared clusters, and honest coverage."""

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunegate_core import stats
from tunegate_core.records import ArmStatistics, GroupStatistics


def between(*given: Any) -> Any:
    """The gap, whose bounds are trusted to be there."""
    return stats.gap(*given)


def group(clusters: dict[int, list[int]], value: str = "g") -> GroupStatistics:
    sums = tuple((len(s), float(sum(s)), float(sum(s))) for s in clusters.values())
    arm = ArmStatistics(arm="candidate", subject="s", clusters=sums)
    n = sum(len(s) for s in clusters.values())
    return GroupStatistics(column="c", value=value, n=n, clusters=tuple(clusters), arms=(arm,), pairs=())


def alone(right: int, of: int, start: int = 0) -> GroupStatistics:
    return group({start + k: [int(k < right)] for k in range(of)})


@pytest.mark.parametrize(
    ("first", "second", "low", "high"),
    [  # Newcombe 1998, Table II, method 10, two-sided 95 %
        ((56, 70), (48, 80), 0.0524, 0.3339),
        ((9, 10), (3, 10), 0.1705, 0.8090),
        ((10, 10), (0, 20), 0.6791, 1.0000),
        ((10, 10), (0, 10), 0.6075, 1.0000),
    ],
)
def test_newcombes_examples(first: tuple[int, int], second: tuple[int, int], low: float, high: float) -> None:
    found = between(alone(*first), alone(*second, start=1000), "candidate", "binary", 0.975)
    assert found is not None
    assert (found.interval.low, found.interval.high) == (pytest.approx(low, abs=1e-4), pytest.approx(high, abs=1e-4))


def test_clusters_shared_by_both_groups_narrow_the_bounds() -> None:
    generator = random.Random(3)
    easy = [generator.random() < 0.7 for _ in range(60)]
    one = group({k: [int(yes)] * 4 for k, yes in enumerate(easy)})
    two = group({k: [int(yes)] * 4 for k, yes in enumerate(easy)})
    apart = group({100 + k: [int(yes)] * 4 for k, yes in enumerate(easy)})
    within, apart_too = (between(one, other, "candidate", "binary", 0.95) for other in (two, apart))
    assert within is not None and apart_too is not None
    assert within.correlation == pytest.approx(1)
    assert apart_too.correlation == 0
    assert within.interval.high - within.interval.low < 0.6 * (apart_too.interval.high - apart_too.interval.low)


def test_few_shared_clusters_never_narrow_them() -> None:
    one, two = ({k: [1, k % 2] for k in range(5)} for _ in range(2))
    found = between(group(one), group(two), "candidate", "binary", 0.95)
    assert found is not None and found.correlation == 0


def test_turned_round_it_is_the_negative() -> None:
    a, b = alone(30, 50), alone(20, 40, start=100)
    one, other = between(a, b, "candidate", "binary", 0.95), between(b, a, "candidate", "binary", 0.95)
    assert one is not None and other is not None
    assert (one.interval.low, one.interval.high) == pytest.approx((-other.interval.high, -other.interval.low))


def test_not_measured_is_none() -> None:
    assert between(alone(3, 5), group({}), "candidate", "binary", 0.95) is None
    assert between(alone(3, 5), alone(3, 5), "champion", "binary", 0.95) is None


@given(st.integers(2, 60), st.integers(2, 60), st.data())
def test_bounds_enclose_the_value(n: int, m: int, data: st.DataObject) -> None:
    a, b = data.draw(st.integers(0, n)), data.draw(st.integers(0, m))
    found = between(alone(a, n), alone(b, m, start=1000), "candidate", "binary", 0.95)
    assert found is not None
    assert -1 - 1e-9 <= found.interval.low <= found.interval.value <= found.interval.high <= 1 + 1e-9


def test_equal_groups_are_covered() -> None:
    """Where the true gap is 0, two-sided 90 % bounds miss it in about 10 % of runs; a bootstrap of max - min always."""
    generator, missed = random.Random(11), 0
    for _ in range(200):
        a, b = (alone(sum(generator.random() < 0.6 for _ in range(80)), 80, start) for start in (0, 1000))
        found = between(a, b, "candidate", "binary", 0.95)
        assert found is not None
        missed += not found.interval.low <= 0 <= found.interval.high
    assert missed <= 20 + 3 * 4.3
