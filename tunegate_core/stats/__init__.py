"""Bounds and tests as pure functions of sufficient statistics, so that another margin can be judged later."""

from tunegate_core.stats.groups import Gap, gap
from tunegate_core.stats.intervals import (
    NOTHING,
    Scale,
    Spread,
    arm_interval,
    arm_spread,
    discordant,
    mcnemar_midp,
    paired_interval,
    paired_spread,
    tango,
    wilson,
)
from tunegate_core.stats.planning import detectable, items_to_settle

__all__ = [
    "NOTHING",
    "Gap",
    "Scale",
    "Spread",
    "arm_interval",
    "arm_spread",
    "detectable",
    "discordant",
    "gap",
    "items_to_settle",
    "mcnemar_midp",
    "paired_interval",
    "paired_spread",
    "tango",
    "wilson",
]
