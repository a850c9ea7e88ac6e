"""The first page: what waits for me, what is live, what is wrong."""

from starlette.responses import Response

from governance.registry import Entry
from tunegate.console.annotate import waiting as waiting_sheets
from tunegate.console.projection import Known
from tunegate.console.runs import UNFINISHED
from tunegate.console.visit import Page, Visit

LATEST = 8


def overview(visit: Visit) -> Response:
    """Routes with what answers there, what waits for a decision or for ratings, and what needs somebody's eyes."""
    known = visit.desk.projection.now()
    entries = known.registry.entries
    newest = list(reversed(entries.values()))
    judged = [(entry, known.trails[entry.subject]) for entry in newest if entry.state == "Judged"]
    mine = visit.person.may("approve")
    key = visit.person.key_id
    waiting = [
        (entry, trail) for entry, trail in judged if entry.verdict == "PASS" and not (mine and trail.is_closed_to(key))
    ]
    others = [pair for pair in judged if pair[0].verdict == "PASS" and mine and pair[1].is_closed_to(key)]
    undecided = [pair for pair in judged if pair[0].verdict == "UNDECIDED"]
    making = [entry for entry in newest if entry.state in UNFINISHED]
    ready = _ready(known)
    sheets = waiting_sheets(visit) if visit.person.may("annotate") else []
    unrated = [row for row in sheets if row["done"] < row["asked"]]
    routes = [state.route for state in known.registry.states.values()]
    return visit.page(
        "overview.html",
        known=known,
        mine=mine,
        routes=routes[:LATEST],
        waiting=waiting[:LATEST],
        others=others[:LATEST],
        ready=ready[:LATEST],
        unrated=unrated[:LATEST],
        undecided=undecided[:LATEST],
        making=making[:LATEST],
        wrong=_wrong(visit, known),
        counts={
            "waiting": len(waiting),
            "others": len(others),
            "live": sum(route.champion is not None and not route.killed for route in routes),
            "ready": len(ready),
            "unrated": len(unrated),
            "undecided": len(undecided),
            "making": len(making),
            "routes": len(routes),
            "candidates": len(entries),
        },
    )


def _ready(known: Known) -> list[Entry]:
    """Releases that never had a place and are newer than what their route answers with, the newest first."""
    routes = [state.route for state in known.registry.states.values()]
    champions = {route.champion for route in routes}
    beside = {version for route in routes for version in (route.canary, route.shadow)}
    found: list[Entry] = []
    led: set[str] = set()
    for entry in reversed(known.registry.entries.values()):
        if entry.subject in champions:
            led.add(entry.route)
        elif (
            entry.state == "Released"
            and entry.route not in led
            and entry.subject not in beside
            and entry.subject not in known.placed
        ):
            found.append(entry)
    return found


def _wrong(visit: Visit, known: Known) -> list[tuple[str, str]]:
    """Addresses and words of what somebody should look at."""
    found = []
    for state in known.registry.states.values():
        alias, route = state.route.alias, state.route
        if route.killed:
            found.append((visit.url("routes", alias), f"Route {alias} is stopped: nothing answers"))
        elif state.paused:
            found.append((visit.url("routes", alias), f"The canary of {alias} waits for somebody to decide"))
        elif route.champion is None:
            found.append((visit.url("routes", alias), f"Route {alias} has no champion: nothing answers"))
    if known.denials:
        found.append((visit.url("people") + "#denied", f"Actions that were denied: {len(known.denials)}"))
    return found[:LATEST]


PAGES = (Page("/", overview),)
