"""Bounds and tests as pure functions of sufficient statistics, so that another margin can be judged later."""

from tunegate_core.stats.intervals import arm_interval, mcnemar_midp, paired_interval, paired_spread, tango, wilson
from tunegate_core.stats.planning import detectable, items_to_settle

__all__ = [
    "arm_interval",
    "detectable",
    "items_to_settle",
    "mcnemar_midp",
    "paired_interval",
    "paired_spread",
    "tango",
    "wilson",
]
