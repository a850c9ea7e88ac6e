"""Published values, laws, and the promised error rate under continuous looking."""

import itertools
import math
from collections.abc import Callable, Sequence
from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from tunegate_core.stats.sequential import (
    BLOCK,
    MOST_STEPS,
    STEP,
    RankTest,
    RateTest,
    alternatives,
    log_mean,
    log_mean_weight,
)

Array = NDArray[np.float64]
Labels = NDArray[np.bool_]
Integers = NDArray[np.int64]
Counts = Callable[[int], tuple[Integers, Integers, Integers]]


def conditional(bad_suspect: int, suspect: int, bad: int, size: int, log_odds: float) -> float:
    """The e-value of one table: suspect's bad values of its number, all bad values of all."""
    scores = (0.0,) * (size - bad) + (1.0,) * bad
    return math.exp(log_odds * bad_suspect - log_mean_weight(scores, suspect, log_odds))


def test_weights_of_fishers_noncentral_hypergeometric() -> None:
    """Two of four are bad, two and two in an arm: weights 1, 8 and 4 at odds 2 (tests of R's safestats)."""
    found = [conditional(k, 2, 2, 4, math.log(2)) * math.comb(2, k) ** 2 / 6 for k in range(3)]
    assert found == pytest.approx([1 / 13, 8 / 13, 4 / 13])


def test_pairs_that_differ_multiply_by_three_halves_at_odds_three() -> None:
    """The growth e-value of one-sided pairs (tests of R's safestats): (3/2)^t."""
    assert conditional(1, 1, 1, 2, math.log(3)) == pytest.approx(3 / 2)


def test_average_over_log_odds_of_five_pairs() -> None:
    """Five pairs, bad in one arm only, log odds averaged over a normal prior on 161 points (tests of R's safestats)."""
    grid = np.linspace(-8, 8, 161)
    prior = np.exp(-(grid**2) / 2) / np.exp(-(grid**2) / 2).sum()
    factors = np.array([conditional(1, 1, 1, 2, float(point)) for point in grid])
    found = [float((prior * factors**pairs).sum()) for pairs in range(1, 6)]
    published = [1, 1.173516143432372, 1.520548430297116, 2.105509009062085, 3.057222176662974]
    assert found == pytest.approx(published, rel=1e-10)


def test_the_lady_who_tastes_all_eight_cups() -> None:
    """Fisher's exact test (The Design of Experiments, 1935): one choice in 70; certain odds multiply by just that."""
    assert conditional(4, 4, 4, 8, 40.0) == pytest.approx(70, rel=1e-9)


@pytest.mark.parametrize(("size", "bad", "suspect", "odds"), [(20, 3, 2, 2.0), (20, 11, 10, 1.3), (9, 5, 4, 0.4)])
def test_likelihood_is_that_of_scipy(size: int, bad: int, suspect: int, odds: float) -> None:
    from scipy.stats import hypergeom, nchypergeom_fisher

    for k in range(max(0, bad + suspect - size), min(bad, suspect) + 1):
        expected = nchypergeom_fisher(size, bad, suspect, odds).pmf(k) / hypergeom(size, bad, suspect).pmf(k)
        assert conditional(k, suspect, bad, size, math.log(odds)) == pytest.approx(expected)


def e_values(test: Callable[[], RateTest | RankTest], values: Sequence[float], suspects: int) -> list[float]:
    """The e-value of one block under every choice of which values are the suspect's."""
    found = []
    for chosen in itertools.combinations(range(len(values)), suspects):
        one = test()
        mine, others = ([v for at, v in enumerate(values) if (at in chosen) is own] for own in (True, False))
        if isinstance(one, RateTest):
            one.add([v > 0 for v in mine], [v > 0 for v in others])
        else:
            one.add(mine, others)
        found.append(math.exp(one.log_e))
    return found


blocks = st.lists(st.sampled_from([0.0, 1.0, 2.0, 5.5]), min_size=1, max_size=7)


@given(blocks, st.data())
def test_the_mean_over_all_choices_is_one(values: list[float], data: st.DataObject) -> None:
    suspects = data.draw(st.integers(0, len(values)))
    assert np.mean(e_values(RateTest, values, suspects)) == pytest.approx(1)
    assert np.mean(e_values(RankTest, values, suspects)) == pytest.approx(1)


@given(blocks, st.data())
def test_a_worse_value_of_the_suspect_never_lessens_the_evidence(values: list[float], data: st.DataObject) -> None:
    suspects = data.draw(st.integers(1, len(values)))
    worse = data.draw(st.lists(st.sampled_from([0.0, 0.5, 4.0]), min_size=suspects, max_size=suspects))
    mine, others = values[:suspects], values[suspects:]
    harmed = [value + more for value, more in zip(mine, worse, strict=True)]
    ranks = RankTest(), RankTest()
    ranks[0].add(mine, others)
    ranks[1].add(harmed, others)
    assert ranks[1].log_e >= ranks[0].log_e - 1e-9
    rates = RateTest(), RateTest()
    rates[0].add([v > 1 for v in mine], [v > 1 for v in others])
    rates[1].add([v > 1 for v in harmed], [v > 1 for v in others])
    assert rates[1].log_e >= rates[0].log_e - 1e-9


@given(blocks)
def test_one_arm_alone_tells_nothing(values: list[float]) -> None:
    for mine, others in ((values, []), ([], values)):
        rank, rate = RankTest(), RateTest()
        rank.add(mine, others)
        rate.add([v > 0 for v in mine], [v > 0 for v in others])
        assert rank.log_e == pytest.approx(0, abs=1e-9)
        assert rate.log_e == pytest.approx(0, abs=1e-9)


@given(blocks, blocks)
def test_only_the_order_of_times_counts(mine: list[float], others: list[float]) -> None:
    one, other = RankTest(), RankTest()
    one.add(mine, others)
    other.add([math.exp(v) for v in mine], [math.exp(v) for v in others])
    assert one.log_e == pytest.approx(other.log_e)


@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6), st.integers(0, 6), st.integers(0, 6)), max_size=8))
def test_bounds_of_the_odds_ratio(tables: list[tuple[int, int, int, int]]) -> None:
    test = RateTest()
    for good, bad, others_good, others_bad in tables:
        test.add([False] * good + [True] * bad, [False] * others_good + [True] * others_bad)
    (low, high), (lower, higher) = test.odds_ratio(0.2), test.odds_ratio(0.01)
    assert (lower or 0) <= (low or 0) < (high or math.inf) <= (higher or math.inf)


def test_what_is_allowed_is_not_held_against_it() -> None:
    strict, lenient = RateTest(), RateTest(allowed=3.0)
    for test in (strict, lenient):
        for _ in range(40):
            test.add([True] * 3 + [False] * 7, [True] * 1 + [False] * 9)
    assert strict.log_e > math.log(1000)
    assert lenient.log_e < math.log(20)


# Simulations: many runs at once, through tables of the tests' own block weights.

TILTS = np.arange(-MOST_STEPS, MOST_STEPS + 1) * STEP


def rate_tables(allowed: float) -> Array:
    """log mean weight by (suspects, bad values, tilt)."""
    rows = [[(0.0,) * (BLOCK - bad) + (1.0,) * bad for bad in range(BLOCK + 1)]] * (BLOCK + 1)
    tilts = TILTS + math.log(allowed)
    return np.array([[[log_mean_weight(s, n, float(t)) for t in tilts] for s in row] for n, row in enumerate(rows)])


def ever_worse(
    counts: Counts,
    *,
    blocks: int,
    alpha: float,
    allowed: float = 1.0,
) -> Array:
    """Per run, after how many values the evidence first reached 1/alpha (inf: never); looked at after every block.

    `counts`: for a block's number, (suspects, bad of them, bad of the others), each one number per run.
    """
    tables, tilts = rate_tables(allowed), TILTS + math.log(allowed)
    log_likelihood = np.zeros((len(counts(0)[0]), len(tilts)))
    first = np.full(len(log_likelihood), np.inf)
    for block in range(blocks):
        suspects, bad, others_bad = counts(block)
        log_likelihood += bad[:, None] * tilts - tables[suspects, bad + others_bad]
        above = log_likelihood[:, MOST_STEPS + 1 :] - log_likelihood[:, [MOST_STEPS]]
        e = np.exp(np.minimum(above, 700)).mean(axis=1)
        first = np.where((e >= 1 / alpha) & np.isinf(first), (block + 1) * BLOCK, first)
    return first


def drawn(rng: np.random.Generator, runs: int, share: float, bad: Callable[[int], float], ratio: float = 1.0) -> Counts:
    """Independent values; `bad`: the reference's share of bad ones in a block, `ratio`: the suspect's over it."""

    def counts(block: int) -> tuple[Integers, Integers, Integers]:
        suspects = rng.binomial(BLOCK, share, runs)
        return (
            suspects,
            rng.binomial(suspects, min(1.0, bad(block) * ratio)),
            rng.binomial(BLOCK - suspects, bad(block)),
        )

    return counts


def most(alpha: float, runs: int) -> float:
    """What a share of runs may be, when its chance is alpha at most, give or take three standard errors."""
    return alpha + 3 * math.sqrt(alpha * (1 - alpha) / runs)


def wave(block: int) -> float:
    """A share of bad values between nearly none and a half, as in outages and busy hours."""
    return 0.01 + 0.49 * math.sin(block / 40) ** 4


@pytest.mark.parametrize(("share", "bad"), [(0.1, 0.01), (0.5, 0.2), (0.1, wave)])
def test_simulation_matches_the_class(share: float, bad: Callable[[int], float] | float) -> None:
    """The tables say what the class says, block by block."""
    level = bad if callable(bad) else lambda _: bad
    counts = [drawn(np.random.default_rng(at), 1, share, level)(at) for at in range(60)]
    test = RateTest(allowed=1.2)
    reached = math.inf
    for at, ((n,), (b,), (o,)) in enumerate(counts):
        test.add([True] * b + [False] * (n - b), [True] * o + [False] * (BLOCK - n - o))
        reached = min(reached, (at + 1) * BLOCK) if test.log_e >= math.log(1.5) else reached
    found = ever_worse(lambda at: counts[at], blocks=60, alpha=1 / 1.5, allowed=1.2)
    assert found[0] == reached


@pytest.mark.parametrize(("share", "bad"), [(0.1, 0.02), (0.5, 0.02), (0.5, 0.5), (0.1, wave), (0.01, 0.2)])
def test_equal_rates_are_called_worse_in_at_most_alpha_of_runs(share: float, bad: Callable[[int], float]) -> None:
    """Ten thousand values, a look after every twenty."""
    runs, alpha = 1500, 0.1
    level = bad if callable(bad) else lambda _: bad
    found = ever_worse(drawn(np.random.default_rng(7), runs, share, level), blocks=500, alpha=alpha)
    assert np.isfinite(found).mean() <= most(alpha, runs)


def test_a_better_suspect_is_called_worse_less_often() -> None:
    rng, runs, alpha = np.random.default_rng(8), 600, 0.1
    found = ever_worse(drawn(rng, runs, 0.3, lambda _: 0.2, ratio=0.8), blocks=300, alpha=alpha)
    assert np.isfinite(found).mean() <= alpha / 5


@pytest.mark.parametrize(
    ("share", "bad", "ratio", "expected"),
    [(0.1, 0.01, 3, 10_000), (0.1, 0.01, 100, 60), (0.05, 0.05, 4, 1_800), (0.5, 0.01, 3, 3_500)],
)
def test_worse_rates_are_found(share: float, bad: float, ratio: float, expected: float) -> None:
    """Median number of values of both arms until found, at alpha 0.05 / 24."""
    rng = np.random.default_rng(9)
    found = ever_worse(drawn(rng, 200, share, lambda _: bad, ratio), blocks=1000, alpha=0.05 / 24)
    assert np.median(found) <= expected


def other_ways(counts: Counts, *, blocks: int, alpha: float) -> dict[str, Array]:
    """As `ever_worse`, by a z-test at every look, by the mixture SPRT of Johari et al. 2022 (normal, tau 0.02), and by
    bets on the difference within a block (Waudby-Smith and Ramdas 2024), averaged over seven stakes."""
    totals = np.zeros((4, len(counts(0)[0])))
    bets, wealth = np.array([0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 0.95]), np.zeros((totals.shape[1], 7))
    first = {name: np.full(totals.shape[1], np.inf) for name in ("z-test", "mSPRT", "bets")}
    for block in range(blocks):
        suspects, bad, others_bad = counts(block)
        others = BLOCK - suspects
        totals += np.array([suspects, bad, others, others_bad])
        n, m = np.maximum(totals[0], 1), np.maximum(totals[2], 1)
        p, q, both = totals[1] / n, totals[3] / m, (totals[1] + totals[3]) / (n + m)
        gap, variance = p - q, np.maximum(p * (1 - p) / n + q * (1 - q) / m, 1e-12)
        z = gap / np.sqrt(np.maximum(both * (1 - both) * (1 / n + 1 / m), 1e-12))
        mixed = variance + 0.02**2
        log_ratio = np.log(variance / mixed) / 2 + 0.02**2 * gap**2 / (2 * variance * mixed)
        paid = np.where(
            (suspects > 0) & (others > 0), bad / np.maximum(suspects, 1) - others_bad / np.maximum(others, 1), 0
        )
        wealth += np.log1p(paid[:, None] * bets)
        reached = {
            "z-test": (z >= NormalDist().inv_cdf(1 - alpha)) & (n >= 10),
            "mSPRT": (log_ratio >= math.log(1 / alpha)) & (gap > 0) & (n >= 10),
            "bets": np.exp(np.minimum(wealth, 700)).mean(axis=1) >= 1 / alpha,
        }
        for name, is_now in reached.items():
            first[name] = np.where(is_now & np.isinf(first[name]), (block + 1) * BLOCK, first[name])
    return first


@pytest.mark.slow
@pytest.mark.parametrize("share", [0.1, 0.5])
def test_false_alarms_beside_other_ways(share: float) -> None:
    """Ten thousand values, two in a hundred bad in both arms, a look after every twenty."""
    runs, alpha = 2000, 0.05
    found = {"this": ever_worse(drawn(np.random.default_rng(11), runs, share, lambda _: 0.02), blocks=500, alpha=alpha)}
    found |= other_ways(drawn(np.random.default_rng(11), runs, share, lambda _: 0.02), blocks=500, alpha=alpha)
    shares = {name: float(np.isfinite(first).mean()) for name, first in found.items()}
    print("\n", share, {name: f"{hit:.2%} +- {math.sqrt(hit * (1 - hit) / runs):.2%}" for name, hit in shares.items()})
    assert shares["this"] <= most(alpha, runs)
    assert shares["z-test"] > 4 * alpha


@pytest.mark.slow
@pytest.mark.parametrize(
    ("share", "bad", "ratio", "blocks"),
    [(0.1, 0.01, 100, 60), (0.05, 0.05, 4, 600), (0.1, 0.01, 3, 1500), (0.5, 0.01, 3, 1000), (0.1, 0.1, 1.5, 1500)],
)
def test_delay_beside_other_ways(share: float, bad: float, ratio: float, blocks: int) -> None:
    """Median number of values until found, at alpha 0.05 / 24. The z-test is left out: its alarms mean nothing."""
    runs, alpha = 300, 0.05 / 24
    found = {
        "this": ever_worse(
            drawn(np.random.default_rng(12), runs, share, lambda _: bad, ratio), blocks=blocks, alpha=alpha
        )
    }
    found |= other_ways(drawn(np.random.default_rng(12), runs, share, lambda _: bad, ratio), blocks=blocks, alpha=alpha)
    medians = {name: float(np.median(first)) for name, first in found.items() if name != "z-test"}
    quarters = {
        name: [float(q) for q in np.quantile(first, [0.25, 0.75], method="higher")] for name, first in found.items()
    }
    print("\n", (share, bad, ratio), medians, quarters)
    assert medians["this"] <= 1.15 * min(medians.values())


def rank_evidence(labels: Labels, values: Array) -> Array:
    """Per run and block, log e after it, for values without ties; shapes (runs, blocks, BLOCK) to (runs, blocks)."""
    ordered = np.take_along_axis(labels, np.argsort(values, axis=2), axis=2)
    suspects = labels.sum(axis=2)
    logs = []
    for scores, tilt in alternatives(BLOCK):
        means = np.array([log_mean_weight(scores, n, tilt) for n in range(BLOCK + 1)])
        logs.append(np.cumsum(tilt * (ordered @ np.array(scores)) - means[suspects], axis=1))
    return np.asarray(np.log(np.exp(np.minimum(np.array(logs), 700)).mean(axis=0)))


def test_rank_simulation_matches_the_class() -> None:
    rng = np.random.default_rng(3)
    labels, values = rng.random((1, 30, BLOCK)) < 0.3, rng.lognormal(size=(1, 30, BLOCK))
    test = RankTest()
    for mine, block in zip(labels[0], values[0], strict=True):
        test.add(list(block[mine]), list(block[~mine]))
    assert rank_evidence(labels, values)[0, -1] == pytest.approx(test.log_e)


@pytest.mark.parametrize("share", [0.1, 0.5])
def test_equal_times_are_called_worse_in_at_most_alpha_of_runs(share: float) -> None:
    """Times that drift by a factor of five in waves, heavy tails, ten thousand values, a look after every twenty."""
    rng, runs, alpha = np.random.default_rng(5), 400, 0.1
    shape = (runs, 500, BLOCK)
    level = 3 + 2 * np.sin(np.arange(500 * BLOCK) / 900).reshape(1, 500, BLOCK)
    found = rank_evidence(rng.random(shape) < share, level * (1 + rng.pareto(1.5, shape))).max(axis=1)
    assert np.mean(found >= math.log(1 / alpha)) <= most(alpha, runs)


@pytest.mark.parametrize(("factor", "stalls", "expected"), [(1.3, 0.0, 3_000), (2.0, 0.0, 300), (1.0, 0.1, 3_000)])
def test_worse_times_are_found(factor: float, stalls: float, expected: float) -> None:
    """A tenth of the values are the suspect's. Log-normal times; or a tenth of them ten times as long."""
    rng, shape = np.random.default_rng(6), (100, 300, BLOCK)
    labels, values = rng.random(shape) < 0.1, rng.lognormal(sigma=0.5, size=shape)
    worse = values * factor * np.where(rng.random(shape) < stalls, 10, 1)
    reached = rank_evidence(labels, np.where(labels, worse, values)) >= math.log(24 / 0.05)
    first = np.where(reached.any(axis=1), (reached.argmax(axis=1) + 1) * BLOCK, np.inf)
    assert np.median(first) <= expected


def test_bounds_hold_at_all_times_together() -> None:
    """Odds ratio 2: in at most alpha of runs do the bounds ever leave it out."""
    rng, runs, alpha, outside = np.random.default_rng(4), 150, 0.2, 0
    for _ in range(runs):
        test, is_outside = RateTest(), False
        for _ in range(60):
            n = int(rng.binomial(BLOCK, 0.4))
            bad, others = int(rng.binomial(n, 1 / 3)), int(rng.binomial(BLOCK - n, 0.2))
            test.add([True] * bad + [False] * (n - bad), [True] * others + [False] * (BLOCK - n - others))
            low, high = test.odds_ratio(alpha)
            is_outside |= not (low or 0) <= 2 <= (high or math.inf)
        outside += is_outside
    assert outside / runs <= most(alpha, runs)


def test_log_mean() -> None:
    assert log_mean([math.log(1), math.log(3)]) == pytest.approx(math.log(2))
    assert log_mean([2000.0, 2000.0]) == pytest.approx(2000)
