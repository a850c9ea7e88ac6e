"""The figures of the report as plain values: from evidence alone, in Fairlearn's words.

Group metric, group minimum, difference and ratio are meant as in Fairlearn's MetricFrame (0.15): the smallest value of
a group, largest minus smallest, smallest over largest. Bounds are one-sided at 95 % each, so that two of them are a
two-sided 90 % interval. The difference between groups gets its bounds from all pairs of groups, never from a resampled
largest-minus-smallest, which can't come out as 0.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tunegate_core.records import Arm, Evidence, GroupStatistics, Interval, PairedStatistics
from tunegate_core.stats import arm_interval, gap, paired_interval
from tunegate_core.stats.groups import of_arm

CONFIDENCE = 0.95
FEW = 0.2  # bounds further apart than this (20 points) tell little about a group
ARMS: tuple[Arm, ...] = ("candidate", "champion", "base")
Shown = dict[str, Any]


@dataclass(frozen=True)
class Earlier:
    """Another candidate of the route, for the plot over releases."""

    subject: str
    evidence: Sequence[Evidence]


def fairness_of(evidence: Sequence[Evidence], earlier: Sequence[Earlier] = ()) -> list[Shown]:
    """One entry for each task and group column. Raises nothing for what was not measured: it is None."""
    return [
        _column(item, column, earlier)
        for item in evidence
        for column in dict.fromkeys(group.column for group in item.groups)
    ]


def scores_of(evidence: Evidence) -> list[Shown]:
    """The candidate's own scores by group, one entry a group column, and how far its groups lie apart."""
    found = []
    for column in dict.fromkeys(group.column for group in evidence.groups):
        groups = [group for group in evidence.groups if group.column == column]
        found.append({
            "task": evidence.task,
            "metric": evidence.metric,
            "higher_is_better": evidence.higher_is_better,
            "items": evidence.items,
            "column": column,
            "groups": {group.value: _own(evidence, group, "candidate") for group in groups},
            "apart": _difference(evidence, groups, "candidate"),
        })  # fmt: skip
    return found


def _column(evidence: Evidence, column: str, earlier: Sequence[Earlier]) -> Shown:
    groups = [group for group in evidence.groups if group.column == column]
    rows = [_row(evidence, group) for group in groups]
    arms = [arm for arm in ARMS if any(own.arm == arm for own in evidence.arms)]
    return {
        "task": evidence.task,
        "metric": evidence.metric,
        "higher_is_better": evidence.higher_is_better,
        "column": column,
        "n": evidence.n,
        "overall": {pair.reference: _against(evidence, pair) for pair in evidence.pairs},
        "rows": rows,
        "small": [row["group"] for row in rows if row["is_small"]],
        "between": [_between(evidence, groups, arm) for arm in arms],
        "over_releases": [told for told in (_at(one, evidence, column) for one in earlier) if told is not None],
    }


def _row(evidence: Evidence, group: GroupStatistics) -> Shown:
    arms = {arm: _own(evidence, group, arm) for arm in ARMS if of_arm(group, arm) is not None}
    pairs = {pair.reference: _against(evidence, pair) for pair in group.pairs}
    ours = arms.get("candidate", {})
    width = ours["high"] - ours["low"] if ours.get("low") is not None else None
    return {
        "group": group.value,
        "n": group.n,
        "clusters": len(group.clusters),
        "arms": arms,
        "against": pairs,
        "unmeasured": {own.arm: sum(own.unmeasured.values()) for own in group.arms},
        "is_small": width is None or width > FEW,
    }


def _own(evidence: Evidence, group: GroupStatistics, arm: Arm, confidence: float = CONFIDENCE) -> Shown:
    own = of_arm(group, arm)
    return _shown(arm_interval(own, evidence.scale, confidence)) if own is not None else {}


def _against(evidence: Evidence, pair: PairedStatistics) -> Shown:
    return _shown(paired_interval(pair, evidence.scale, CONFIDENCE))


def _shown(interval: Interval) -> Shown:
    return {"value": interval.value, "low": interval.low, "high": interval.high, "n": interval.n}


def _between(evidence: Evidence, groups: Sequence[GroupStatistics], arm: Arm) -> Shown:
    """Group minimum and maximum, difference with bounds, and ratio, of one arm."""
    values = {}
    for group in groups:
        value = _own(evidence, group, arm).get("value") if of_arm(group, arm) is not None else None
        if value is not None:
            values[group.value] = value
    told: Shown = {"arm": arm, "measured": len(values), "of": len(groups)}
    if len(values) < len(groups):
        return {**told, "minimum": None, "maximum": None, "difference": None, "ratio": None}
    least, most = min(values, key=values.__getitem__), max(values, key=values.__getitem__)
    smallest, ratio = _extremes(evidence, groups, arm)
    return {
        **told,
        "minimum": {"group": least, "value": values[least], **smallest},
        "maximum": {"group": most, "value": values[most]},
        "difference": _difference(evidence, groups, arm),
        "ratio": {"value": values[least] / values[most], **ratio} if values[most] > 0 else None,
    }


def _extremes(evidence: Evidence, groups: Sequence[GroupStatistics], arm: Arm) -> tuple[Shown, Shown]:
    """Bounds of the smallest true score of a group, and of the ratio of the smallest to the largest (0 to 1).

    Which groups are truly the smallest and largest is fixed, so a lower bound needs to hold for these alone; an upper
    bound may be undercut by any group, and is corrected for their number (Bonferroni). None where a group has none.
    """
    error, count = 1 - CONFIDENCE, len(groups)
    one, every, two, all_twice = (
        [_own(evidence, group, arm, 1 - error / share) for group in groups] for share in (1, count, 2, 2 * count)
    )
    if any(found["low"] is None for found in (*one, *every, *two, *all_twice)):
        return {"low": None, "high": None}, {"low": None, "high": None}
    top, floor = max(found["high"] for found in two), max(found["low"] for found in all_twice)
    ratio = {
        "low": max(0.0, min(found["low"] for found in two)) / top if top > 0 else 0.0,
        "high": min(1.0, min(found["high"] for found in all_twice) / floor) if floor > 0 else 1.0,
    }
    return {"low": min(found["low"] for found in one), "high": min(found["high"] for found in every)}, ratio


def _difference(evidence: Evidence, groups: Sequence[GroupStatistics], arm: Arm) -> Shown | None:
    """Largest minus smallest: above every lower bound that holds for all pairs at once, below the largest upper one.

    Each pair is taken once: with its groups exchanged, the difference and its bounds only change their sign.
    """
    pairs = list(itertools.combinations(groups, 2))
    strict = 1 - (1 - CONFIDENCE) / max(1, 2 * len(pairs))
    found = [gap(a, b, arm, evidence.scale, CONFIDENCE) for a, b in pairs]
    bounds = [gap(a, b, arm, evidence.scale, strict) for a, b in pairs]
    if not pairs or any(one is None for one in (*found, *bounds)):
        return None
    kept, narrow = ([one.interval for one in some if one is not None] for some in (found, bounds))
    return {
        "value": max(abs(one.value or 0.0) for one in kept),
        "low": max(0.0, *(max(one.low or 0.0, -(one.high or 0.0)) for one in narrow)),
        "high": max(max(one.high or 0.0, -(one.low or 0.0)) for one in kept),
        "n": sum(group.n for group in groups),
    }


def _at(one: Earlier, now: Evidence, column: str) -> Shown | None:
    """The same figure of another candidate; `same_items`: whether it was asked the same."""
    item = next((e for e in one.evidence if (e.task, e.metric) == (now.task, now.metric)), None)
    groups = [] if item is None else [group for group in item.groups if group.column == column]
    if item is None or not groups:
        return None
    found = _difference(item, groups, "candidate")
    return None if found is None else {"subject": one.subject, "same_items": item.items == now.items, **found}
