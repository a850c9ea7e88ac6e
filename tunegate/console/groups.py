"""Figures by group: what each check found for each group, and what was measured of each."""

from typing import Any

from tunegate import reading
from tunegate.console import plots
from tunegate.house import House
from tunegate_core.records import Evidence, GroupStatistics, Interval, Verdict
from tunegate_core.stats import arm_interval

CONFIDENCE = 0.95


def group_tables(house: House, verdict: Verdict | None) -> list[dict[str, Any]]:
    """One table a task and column with the candidate's and the base's scores of each group; one a check by group."""
    if verdict is None:
        return []
    tables = [
        _table(f"{result.check}: what it found for each group, in points", None, [
            (f"{found.column} {found.group}", found.outcome, found.interval) for found in result.groups
        ])
        for result in verdict.results
        if result.groups
    ]  # fmt: skip
    for blob in verdict.evidence:
        evidence = reading.evidence_of(house, blob)
        for column in dict.fromkeys(group.column for group in evidence.groups):
            groups = [group for group in evidence.groups if group.column == column]
            rows = [row for group in groups for row in _scores(evidence, group)]
            tables.append(_table(f"{evidence.task}, {evidence.metric}, by {column}, in percent", blob, rows))
    return tables


def _scores(evidence: Evidence, group: GroupStatistics) -> list[tuple[str, str, Interval | None]]:
    return [(group.value, arm.arm, arm_interval(arm, evidence.scale, CONFIDENCE)) for arm in group.arms]


def _table(title: str, blob: str | None, found: list[tuple[str, str, Interval | None]]) -> dict[str, Any]:
    edges = [100 * edge for _, _, at in found if at for edge in (at.low, at.high) if edge is not None]
    domain = plots.domain_of(edges)
    rows = [
        {"group": group, "what": what, "interval": interval, "plot": plots.of_interval(interval, domain, None)}
        for group, what, interval in found
    ]
    return {"title": title, "blob": blob, "rows": rows, "axis": plots.axis(domain) if edges else ""}
