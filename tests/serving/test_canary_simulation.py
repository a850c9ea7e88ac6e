"""Whole canaries on simulated traffic: equal ones are rolled back in at most alpha of runs, worse ones soon.

The larger runs are marked slow. docs/canary.md tells what twenty times as many runs gave:
`TUNEGATE_SIMULATIONS=20 pytest -m slow -s` on this file.
"""

import math
import os
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

import numpy as np
import pytest

from serving.canary.decision import Decision
from serving.canary.observation import Observation
from serving.canary.watch import Watch
from tunegate_core.config.schema import CanaryBlock, StageBlock

TIMES = int(os.environ.get("TUNEGATE_SIMULATIONS", "1"))
Harm = Callable[[Observation, np.random.Generator], Observation]


def unharmed(seen: Observation, rng: np.random.Generator) -> Observation:
    """The canary is the champion under another name."""
    return seen


@dataclass
class Traffic:
    """Callers that differ: how often they come (a few make most requests), how often they meet errors, how long theirs
    take, how well they are answered. Load rises and falls, and with it times and errors. `concentration`: below 1
    callers are all of one kind or the other; `is_unit_known`: whether observations say who came. A judge gives one
    answer in ten a grade from 0 to 1 in steps of a quarter."""

    rng: np.random.Generator
    units: int = 10_000
    per_second: float = 2.0
    zipf: float = 0.8
    bad: float = 0.02
    concentration: float = 20.0
    harm: Harm = unharmed
    is_unit_known: bool = True
    look_seconds: float = 60.0
    clock: float = field(default=0.0, init=False)

    def __post_init__(self) -> None:
        weights = 1 / np.arange(1, self.units + 1) ** self.zipf
        self.activity = np.cumsum(weights / weights.sum())
        self.bucket = self.rng.random(self.units) * 10_000
        a = self.concentration
        self.proneness = self.rng.beta(self.bad * a, (1 - self.bad) * a, (self.units, 4))
        self.slowness = self.rng.lognormal(sigma=0.5, size=self.units)
        self.quality = self.rng.beta(0.7 * a, 0.3 * a, self.units)

    def until_look(self, weight_bp: int) -> Iterator[Observation]:
        """The requests until the next look."""
        rng, n = self.rng, int(self.rng.poisson(self.per_second * self.look_seconds))
        times = np.sort(self.clock + self.look_seconds * rng.random(n))
        who = np.minimum(np.searchsorted(self.activity, rng.random(n)), self.units - 1)
        load = 1 + np.sin(times / 3000) ** 2
        bad = rng.random((n, 4)) < np.minimum(self.proneness[who] * load[:, None], 1)
        first = 200 * load * self.slowness[who] * rng.lognormal(sigma=0.3, size=n)
        between = 20 * load * rng.lognormal(sigma=0.2, size=n)
        thumb = np.where(rng.random(n) < 0.05, np.where(rng.random(n) < 0.2, -1, 1), 0)
        is_judged = rng.random(n) < 0.1
        grade = np.clip(np.round(4 * (self.quality[who] + 0.2 * rng.standard_normal(n))) / 4, 0, 1)
        for at in range(n):
            seen = Observation(
                arm="canary" if self.bucket[who[at]] < weight_bp else "champion",
                at=float(times[at]),
                unit=f"u{who[at]}" if self.is_unit_known else None,
                ok=not bad[at, 0],
                ttft_ms=float(first[at]),
                itl_ms=float(between[at]),
                refused=bool(bad[at, 1]),
                empty=bool(bad[at, 2]),
                truncated=bool(bad[at, 3]),
                thumb=int(thumb[at]) or None,
                score=float(grade[at]) if is_judged[at] else None,
            )
            yield self.harm(seen, rng) if seen.arm == "canary" else seen
        self.clock += self.look_seconds


def run(rules: CanaryBlock, traffic: Traffic) -> Decision:
    """A canary from its first stage to its end, looked at now and then: the decision that ended it."""
    watch = Watch(rules, round(rules.stages[0].percent * 100), traffic.clock)
    weight = round(rules.stages[0].percent * 100)
    while True:
        for seen in traffic.until_look(weight):
            watch.see(seen)
        decision = watch.decide(traffic.clock)
        if decision.action in ("rollback", "pause") or decision.to_bp == 10_000:
            return decision
        if decision.action == "advance":
            weight = decision.to_bp
            watch = Watch(rules, weight, traffic.clock)


def seconds_to_rollback(rules: CanaryBlock, traffic: Traffic) -> float:
    """From the canary's first request until it has no weight; infinite when that did not come."""
    return traffic.clock if run(rules, traffic).action == "rollback" else math.inf


def stages(percents: tuple[float, ...], minutes: float, samples: int = 100, most: float = 600) -> CanaryBlock:
    """Rules with some stages, all alike."""
    kept = tuple(
        StageBlock(percent=percent, min_minutes=minutes, min_samples=samples, max_minutes=most) for percent in percents
    )
    return CanaryBlock(stages=kept, tolerance=0)


def slower(factor: float) -> Harm:
    """The first token comes later."""
    return lambda seen, _: replace(seen, ttft_ms=(seen.ttft_ms or 0) * factor)


def failing(share: float) -> Harm:
    """More requests fail."""
    return lambda seen, rng: replace(seen, ok=bool(seen.ok and rng.random() >= share))


def disliked(share: float) -> Harm:
    """Some who would have said "good" say "bad"."""
    return lambda seen, rng: replace(seen, thumb=-1 if seen.thumb and rng.random() < share else seen.thumb)


def graded_lower(share: float) -> Harm:
    """Some of the judged answers are a grade worse."""

    def harm(seen: Observation, rng: np.random.Generator) -> Observation:
        is_worse = seen.score is not None and rng.random() < share
        return replace(seen, score=max(0.0, (seen.score or 0.0) - 0.25)) if is_worse else seen

    return harm


def told(name: str, hits: int, runs: int) -> str:
    """A share with its Monte Carlo error (one standard error, of the Wilson centre so that it is never 0)."""
    centre = (hits + 2) / (runs + 4)
    return f"{name}: {hits}/{runs} = {hits / runs:.2%} +- {math.sqrt(centre * (1 - centre) / runs):.2%}"


def test_equal_canaries_are_kept() -> None:
    runs, rules = 15, stages((10, 25, 50), minutes=10)
    ended = Counter(run(rules, Traffic(np.random.default_rng(at), look_seconds=300)).action for at in range(runs))
    assert ended["rollback"] / runs <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / runs)
    assert ended["advance"] > runs / 2


@pytest.mark.parametrize("harm", [slower(2.0), failing(0.3), failing(1.0)])
def test_worse_canaries_are_rolled_back(harm: Harm) -> None:
    for at in range(3):
        assert (
            seconds_to_rollback(stages((10, 25, 50), minutes=10), Traffic(np.random.default_rng(at), harm=harm)) < 1800
        )


def test_no_traffic_is_no_success() -> None:
    quiet = Traffic(np.random.default_rng(1), per_second=0.01)
    assert run(stages((10, 25, 50), minutes=10, most=60), quiet).action == "pause"


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("callers alike", {"concentration": 1000.0, "zipf": 0.0}),
        ("callers differ", {}),
        ("callers all good or all bad", {"concentration": 0.05, "bad": 0.1}),
    ],
)
def test_false_rollbacks(name: str, options: dict[str, float]) -> None:
    """Three stages of an hour at two requests a second; nothing is forgiven (tolerance 0)."""
    runs, rules = 20 * TIMES, stages((10, 25, 50), minutes=60)
    equal = (Traffic(np.random.default_rng(at), look_seconds=300, **options) for at in range(runs))
    ended = Counter(run(rules, traffic).action for traffic in equal)
    print(f"\n{told(f'equal canary, {name}, rolled back', ended['rollback'], runs)}; {dict(ended)}")
    assert ended["rollback"] / runs <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / runs)


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize(
    ("name", "options"),
    [("callers differ", {}), ("callers all good or all bad", {"concentration": 0.05, "bad": 0.1})],
)
def test_callers_that_are_not_told_apart(name: str, options: dict[str, float]) -> None:
    """What counting a caller once is for: without it a few callers decide."""
    runs, rules = 5 * TIMES, stages((10, 25, 50), minutes=60)
    equal = (Traffic(np.random.default_rng(at), look_seconds=300, is_unit_known=False, **options) for at in range(runs))
    rolled = sum(run(rules, traffic).action == "rollback" for traffic in equal)
    print(f"\n{told(f'equal canary, {name}, callers not told apart, rolled back', rolled, runs)}")
    assert rolled / runs > 0.1


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize(
    ("name", "harm", "minutes"),
    [
        ("all requests fail", failing(1.0), 5),
        ("20 % more fail", failing(0.2), 15),
        ("5 % more fail", failing(0.05), 90),
        ("2 % more fail", failing(0.02), math.inf),
        ("first token 2 x", slower(2.0), 20),
        ("first token 1.3 x", slower(1.3), 90),
        ("first token 1.2 x", slower(1.2), math.inf),
        ("half of the thumbs turn down", disliked(0.5), 90),
        ("all judged a grade worse", graded_lower(1.0), 90),
        ("half of the judged a grade worse", graded_lower(0.5), math.inf),
    ],
)
def test_detection_delay(name: str, harm: Harm, minutes: float) -> None:
    """The rules as shipped, ten thousand callers, two requests a second."""
    runs, rules = 5 * TIMES, CanaryBlock()
    found = np.array([seconds_to_rollback(rules, Traffic(np.random.default_rng(at), harm=harm)) for at in range(runs)])
    early, middle, late = np.quantile(found, [0.25, 0.5, 0.75], method="higher") / 60
    hits = int(np.isfinite(found).sum())
    print(f"\n{told(name, hits, runs)} rolled back; median {middle:.0f} min, quartiles {early:.0f} and {late:.0f} min")
    assert middle <= minutes
