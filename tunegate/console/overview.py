"""The first page: what is live, what waits for me, what is wrong."""

from starlette.responses import Response

from tunegate.console.visit import Page, Visit

LATEST = 8


def overview(visit: Visit) -> Response:
    """Routes with what answers there, candidates that wait for a decision, and what needs somebody's eyes."""
    known = visit.desk.projection.now()
    entries = known.registry.entries
    waiting = [
        (entry, known.trails[entry.subject])
        for entry in reversed(entries.values())
        if entry.state == "Judged" and entry.verdict == "PASS"
    ]
    undecided = [
        entry for entry in reversed(entries.values()) if entry.state == "Judged" and entry.verdict == "UNDECIDED"
    ]
    return visit.page(
        "overview.html",
        known=known,
        routes=[state.route for state in known.registry.states.values()],
        waiting=waiting[:LATEST],
        undecided=undecided[:LATEST],
        counts={"waiting": len(waiting), "undecided": len(undecided), "candidates": len(entries)},
    )


PAGES = (Page("/", overview),)
