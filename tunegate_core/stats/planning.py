"""How much a set of items can tell: before it is used, and how many would be enough after.

The variance of a paired yes/no difference is about the share of discordant items (Connor 1987, Biometrics 43:207;
Miller 2024, arXiv 2411.00640, section 5), so a difference of (z_a + z_b) * sqrt(discordance / n) is found with power b.
"""

import math
from statistics import NormalDist

POWER = 0.8
ASSUMED_DISCORDANCE = 0.2  # of a small adapter against its base; the detectable difference grows with its root


def detectable(effective: float, variance: float = ASSUMED_DISCORDANCE, confidence: float = 0.95) -> float | None:
    """The smallest difference, in score units, found with 80 % power by a one-sided test; None without items."""
    if effective <= 0:
        return None
    return round(_z(confidence) * math.sqrt(variance / effective), 6)


def items_to_settle(
    value: float, threshold: float, variance: float, confidence: float, effect: float = 1.0
) -> int | None:
    """Items for the bound to clear the threshold with 80 % power, if the value stays as seen; None when it lies on it.

    `variance` is one item's, `effect` the design effect of clusters (Miller 2024, arXiv 2411.00640, equation 9).
    """
    distance = abs(value - threshold)
    if distance < 1e-6:
        return None
    return math.ceil(effect * variance * (_z(confidence) / distance) ** 2)


def _z(confidence: float) -> float:
    return NormalDist().inv_cdf(confidence) + NormalDist().inv_cdf(POWER)
