"""Fairness over time: the score of each group in every judged version of a route, and how far groups lie apart.

Each version is compared on its own items; where those are others than the version's before, the line is broken.
"""

from functools import lru_cache
from typing import Any

from starlette.responses import Response

from governance.fairness import scores_of
from governance.registry import Entry
from tunegate.console.plots import Point, mark, over_versions
from tunegate.console.visit import Page, Visit
from tunegate.house import House
from tunegate.recording import standing
from tunegate_core.errors import NotFound
from tunegate_core.records import Evidence
from tunegate_core.store import Store

STEP = 10  # versions on a page
KEPT = 2_000  # pieces of evidence


def fairness(visit: Visit) -> Response:
    """A plot and a table for each task and column with groups, the versions in the order they were planned."""
    alias, known = visit.part("alias"), visit.desk.projection.now()
    judged = [entry for entry in reversed(known.registry.entries.values()) if entry.route == alias and entry.verdict]
    if not judged and alias not in known.registry.states:
        raise NotFound(f"there is no route {alias}, and no candidate for it")
    first = visit.number("first")
    return visit.page(
        "fairness.html",
        alias=alias,
        mark=mark,
        parts_of=trends(visit.house, list(reversed(judged[first : first + STEP]))),
        first=first,
        step=STEP,
        total=len(judged),
        page_url=lambda at: visit.url("routes", alias, "fairness", first=at),
    )


def trends(house: House, entries: list[Entry]) -> list[dict[str, Any]]:
    """One part a task, metric and column: the groups in order of first sight, and a row a version."""
    found: dict[tuple[str, str, str], list[dict[str, Any]]] = {}
    for entry in entries:
        for blob in standing(house, entry.subject).body("examined")["evidence"]:
            for scores in _scores(house.store, blob):
                named = (scores["task"], scores["metric"], scores["column"])
                found.setdefault(named, []).append({**scores, "entry": entry, "blob": blob})
    return [_part(*named, rows) for named, rows in found.items()]


@lru_cache(maxsize=KEPT)
def _scores(store: Store, blob: str) -> list[dict[str, Any]]:
    """A record never changes under its digest, so what was computed from it once is kept."""
    return scores_of(Evidence.parse(store.get(blob)))


def _part(task: str, metric: str, column: str, rows: list[dict[str, Any]]) -> dict[str, Any]:
    groups = list(dict.fromkeys(group for row in rows for group in row["groups"]))
    for before, row in zip([None, *rows], rows, strict=False):
        row["other_items"] = before is not None and before["items"] != row["items"]
    lines = {group: [_point(row, group) for row in rows] for group in groups}
    breaks = {at for at, row in enumerate(rows) if row["other_items"]}
    title = f"{task}, {metric}, by {column}"
    return {
        "title": title,
        "column": column,
        "lower": not rows[0]["higher_is_better"],
        "groups": groups,
        "rows": rows,
        "plot": over_versions(title, [row["entry"].subject for row in rows], lines, breaks),
    }


def _point(row: dict[str, Any], group: str) -> Point | None:
    """In percent; None where the group was not measured."""
    told = row["groups"].get(group)
    if not told or told["value"] is None or told["low"] is None or told["high"] is None:
        return None
    return (100 * told["value"], 100 * told["low"], 100 * told["high"])


PAGES = (Page("/routes/{alias}/fairness", fairness),)
