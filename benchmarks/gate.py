"""How often the gate errs, in simulation: a candidate exactly at the margin, an equal one, and the intervals' coverage.

Items are answered by two arms with shared failures; a cluster's items go together in half of the cases.
"""

import math
import random
from typing import Any

from tunegate_core.records import Cluster, PairedStatistics
from tunegate_core.stats import paired_interval

MARGIN, CONFIDENCE = 0.03, 0.95
DISCORDANT = 0.1  # share of items that the arms answer differently
TOGETHER = 0.5
SHAPES = {"independent": (1000, 1), "clusters_of_5": (200, 5)}


def simulate(runs: int) -> dict[str, Any]:
    """False-pass rate at the margin, power for an equal candidate and coverage, each with its Monte Carlo error."""
    found: dict[str, Any] = {}
    for shape, (clusters, size) in SHAPES.items():
        chance = random.Random(7)
        at_margin = [interval(chance, clusters, size, -MARGIN) for _ in range(runs)]
        equal = [interval(chance, clusters, size, 0.0) for _ in range(runs)]
        rates = {
            "false_pass": [low > -MARGIN for low, _ in at_margin],
            "power_if_equal": [low > -MARGIN for low, _ in equal],
            "coverage_90": [low <= -MARGIN <= high for low, high in at_margin],
        }
        for name, hits in rates.items():
            rate = sum(hits) / runs
            error = math.sqrt(max(rate * (1 - rate), 1 / runs) / runs)
            found[f"{name}_{shape}"] = {"rate": round(rate, 4), "monte_carlo_error": round(error, 4)}
    return found


def interval(chance: random.Random, clusters: int, size: int, difference: float) -> tuple[float, float]:
    """The bounds of one examination whose true difference is `difference`."""
    gain = (DISCORDANT + difference) / 2
    loss = DISCORDANT - gain
    groups = []
    for _ in range(clusters):
        together = step(chance, gain, loss)
        steps = [together if chance.random() < TOGETHER else step(chance, gain, loss) for _ in range(size)]
        gained, lost = steps.count(1), steps.count(-1)
        both = sum(chance.random() < 0.6 for _ in range(size - gained - lost))
        ours, theirs = float(both + gained), float(both + lost)
        groups.append(Cluster(n=size, candidate=ours, reference=theirs, cross=both, candidate_sq=ours,
                              reference_sq=theirs))  # fmt: skip
    pair = PairedStatistics(reference="base", reference_subject="x", clusters=tuple(groups), unmeasured=0)
    found = paired_interval(pair, "binary", CONFIDENCE)
    if found.low is None or found.high is None:
        raise ValueError("a simulated examination could not be measured")
    return found.low, found.high


def step(chance: random.Random, gain: float, loss: float) -> int:
    """1: gained, -1: lost, 0: answered alike."""
    drawn = chance.random()
    return 1 if drawn < gain else -1 if drawn < gain + loss else 0
