"""Routes: what answers, who shares with it, how that came, and the four ways to change it."""

from starlette.responses import Response

from governance.ledger import Event, Ledger
from governance.routing import PROMOTED
from tunegate import routing
from tunegate.canaries import watched
from tunegate.console.stories import reason_of
from tunegate.console.visit import Page, Visit
from tunegate.route_verbs import basis_points
from tunegate_core.errors import BadInput
from tunegate_core.snapshot import ALL

LATEST = 20
CHOICES = 50


def routes(visit: Visit) -> Response:
    """Every route."""
    known = visit.desk.projection.now()
    return visit.page("routes.html", states=list(known.registry.states.values()), changes=known.changes)


def route(visit: Visit) -> Response:
    """One route with its last changes, and the forms of those who may change it."""
    known, alias = visit.desk.projection.now(), visit.part("alias")
    state, numbers = known.registry.state(alias), known.changes.get(alias, [])
    ledger, names = visit.house.existing_ledger, visit.house.key_names()
    changes = [
        {
            "event": event,
            "by": names.get(event.actor, event.actor),
            "reason": reason_of(visit.house, event.body.get("reason")),
        }
        for number in reversed(numbers[-LATEST:])
        for event in ledger.events(start=number, limit=1)
    ]
    released = [
        entry.subject
        for entry in reversed(known.registry.entries.values())
        if known.registry.is_released(entry.subject, alias)
    ]
    return visit.page(
        "route.html",
        state=state,
        canary=watched(visit.house, state, _stage(ledger, numbers)) if state.route.canary else None,
        changes=changes,
        earlier=len(numbers) - len(changes),
        released=released[:CHOICES],
        version=visit.query("version"),
    )


def promote(visit: Visit) -> Response:
    """Give a release a place."""
    known, alias = visit.desk.projection.now(), visit.part("alias")
    known.registry.state(alias)
    entry = known.entry(visit.form.get("version", "").strip())
    if entry.route != alias:
        raise BadInput(f"{entry.subject} was released for the route {entry.route}, not for {alias}")
    place = visit.form.get("place", "")
    if place == "champion":
        return _done(visit, routing.promote(visit.acting(), entry.subject, "champion", ALL, visit.reason()))
    share = basis_points(visit.form.get("share", "").strip().removesuffix("%").strip() + "%")
    if place == "canary":
        return _done(visit, routing.promote(visit.acting(), entry.subject, "canary", share, visit.reason()))
    if place == "shadow":
        return _done(visit, routing.promote(visit.acting(), entry.subject, "shadow", share, visit.reason()))
    raise BadInput("a release becomes champion, canary or shadow; found none of them")


def roll_back(visit: Visit) -> Response:
    """End the canary, or go back to the champion before."""
    return _done(visit, routing.roll_back(visit.acting(), _alias(visit), visit.reason()))


def kill(visit: Visit) -> Response:
    """Let nothing answer."""
    routing.kill(visit.acting(), _alias(visit), visit.reason())
    return _done(visit, "stopped: nothing answers until somebody starts it again")


def unkill(visit: Visit) -> Response:
    """Let it answer again."""
    return _done(visit, routing.unkill(visit.acting(), _alias(visit), visit.reason()))


def _stage(ledger: Ledger, numbers: list[int]) -> list[Event]:
    """The event that gave the canary its share, found from the newest back."""
    events = (event for number in reversed(numbers) for event in ledger.events(start=number, limit=1))
    return [next(event for event in events if event.kind == PROMOTED and event.body["place"] == "canary")]


def _alias(visit: Visit) -> str:
    alias = visit.part("alias")
    visit.desk.projection.now().registry.state(alias)
    return alias


def _done(visit: Visit, said: str) -> Response:
    return visit.go("routes", visit.part("alias"), said=said)


PAGES = (
    Page("/routes", routes),
    Page("/routes/{alias}", route),
    Page("/routes/{alias}/promote", promote, "promote", "POST"),
    Page("/routes/{alias}/rollback", roll_back, "rollback", "POST"),
    Page("/routes/{alias}/kill", kill, "kill", "POST"),
    Page("/routes/{alias}/unkill", unkill, "unkill", "POST"),
)
