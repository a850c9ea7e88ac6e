"""Routes as people change them: one event each, recorded only if it may follow, and published at once.

`advance`, `withdraw` and `pause` are the canary analysis' own. Each names the event that gave the canary its share, and
does nothing when a person has moved the canary since.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from governance.ledger import Event
from governance.lifecycle import Released
from governance.registry import MOVING, Registry
from governance.routing import (
    FOLLOWING,
    KILLED,
    PAUSED,
    PROMOTED,
    ROLLED_BACK,
    UNKILLED,
    Paused,
    Place,
    Promoted,
    RouteState,
    Why,
    follow,
)
from tunegate.canaries import first_share, stage_event, watched
from tunegate.house import House
from tunegate.publishing import publish
from tunegate.recording import standing
from tunegate_core.errors import BadInput
from tunegate_core.snapshot import ALL, Route

Work = Callable[[RouteState, Sequence[Event]], Why | None]


def promote(house: House, version: str, place: Place, share_bp: int | None = None, reason: str | None = None) -> str:
    """Give a release a place on its route; `share_bp` of 10,000 for a canary or a shadow (none: its config's)."""
    now = standing(house, version)
    state = now.state
    if not isinstance(state, Released):
        raise BadInput(f"{version} is {type(state).__name__.lower()}; only a release can be promoted")
    alias, judged_against = state.route, state.planned.champion
    if share_bp is None:
        share_bp = ALL if place == "champion" else first_share(house, version, place)
    body = Promoted(version=version, place=place, share_bp=share_bp)
    before, after = _change(house, alias, PROMOTED, lambda _: body, reason)
    note = ""
    if before.route.champion not in (None, version, judged_against):
        note = f"\nnote: {version} was judged against {judged_against or 'the base alone'}, not {before.route.champion}"
    return _told(after.route) + note


def roll_back(house: House, alias: str, reason: str | None = None) -> str:
    """End the canary; where there is none, return to the champion before."""
    _, after = _change(house, alias, ROLLED_BACK, RouteState.step_back, reason)
    return _told(after.route)


def kill(house: House, alias: str, reason: str | None = None) -> str:
    """Let nothing answer on a route."""
    _, after = _change(house, alias, KILLED, lambda _: Why(), reason)
    return _told(after.route)


def unkill(house: House, alias: str, reason: str | None = None) -> str:
    """Let a killed route answer again."""
    _, after = _change(house, alias, UNKILLED, lambda _: Why(), reason)
    return _told(after.route)


def advance(house: House, alias: str, stage: int, share_bp: int, why: Why) -> bool:
    """Give a canary another share; with all of it, make it the champion. `stage`: the event that gave it its share.

    `why` tells what was found, and the store's digest of the figures. False when the canary was moved since.
    """
    place: Place = "champion" if share_bp == ALL else "canary"

    def work(state: RouteState) -> Why:
        return Promoted(version=str(state.route.canary), place=place, share_bp=share_bp, **dict(why))

    return _move(house, alias, stage, PROMOTED, work)


def withdraw(house: House, alias: str, stage: int, why: Why) -> bool:
    """End a canary that did harm. False when it was moved since."""
    return _move(house, alias, stage, ROLLED_BACK, lambda state: state.step_back().model_copy(update=dict(why)))


def pause(house: House, alias: str, stage: int, why: Why) -> bool:
    """Leave a canary of which too little was seen to a person. False when it was moved since."""
    return _move(house, alias, stage, PAUSED, lambda state: Paused(canary=str(state.route.canary), **dict(why)))


def overview(house: House) -> dict[str, Any]:
    """Every route: what it points to, what it pointed to before, how far its canary is, and how it was changed."""
    events = house.existing_ledger.events(MOVING) if house.has_ledger else []
    registry = Registry()
    changes = [(registry.take(event), event) for event in events]
    return {
        "routes": [
            {
                **state.route.model_dump(mode="json"),
                "before": list(state.before),
                "watched": watched(house, state, events),
                "changes": [
                    {"seq": event.seq, "at": event.at, "by": event.actor, "kind": event.kind, **_what(event)}
                    for changed, event in changes
                    if changed == alias
                ],
            }
            for alias, state in registry.states.items()
        ],
    }


def _move(house: House, alias: str, stage: int, kind: str, work: Callable[[RouteState], Why]) -> bool:
    """What the analysis does, if the canary has its share by that event still."""

    def unless_moved(state: RouteState, events: Sequence[Event]) -> Why | None:
        event = stage_event(events, state)
        return work(state) if event is not None and event.seq == stage else None

    return _record(house, alias, kind, unless_moved, None)[2]


def _change(
    house: House, alias: str, kind: str, work: Callable[[RouteState], Why], reason: str | None
) -> tuple[RouteState, RouteState]:
    """What a person does; the route before and after."""
    return _record(house, alias, kind, lambda state, _: work(state), reason)[:2]


def _record(house: House, alias: str, kind: str, work: Work, reason: str | None) -> tuple[RouteState, RouteState, bool]:
    """Record one event about a route, if there is one that may follow and changes anything, and publish.

    The route before and after, and whether there was one. It is published in any case: the same command again finishes
    what a crash left between the two.
    """
    with house.ledger.write() as tx:
        events = tx.events(MOVING)
        registry = Registry.from_events(events)
        before = after = registry.state(alias)
        body = work(before, events)
        if body is not None:
            after = follow(before, kind, body.model_dump(), registry.is_released)
        if body is not None and after != before:
            why = house.rows.put([reason]) if reason and reason.strip() else None
            told = body.model_copy(update={"reason": why}).model_dump(mode="json")
            tx.append(kind, told, subject=alias, actor=house.person_key(house.person).key_id)
    house.ledger.checkpoint()
    publish(house)
    return before, after, body is not None


def _what(event: Event) -> Mapping[str, Any]:
    """What changed a route: its own event's body; else which version got a place by its release, or lost it."""
    return event.body if event.kind in FOLLOWING else {"version": event.subject}


def _told(route: Route) -> str:
    """One line that says what a route does now."""
    parts = [f"{route.alias} -> {route.champion or 'nothing'}"]
    if route.canary is not None:
        parts.append(f"canary {route.canary} with {percent(route.canary_bp)}")
    if route.shadow is not None:
        parts.append(f"shadow {route.shadow} with {percent(route.shadow_bp)}")
    if route.killed:
        parts.append(f"killed: nothing answers until 'tunegate unkill {route.alias}'")
    return ", ".join(parts)


def percent(share_bp: int) -> str:
    """Basis points as people read them."""
    return f"{share_bp / 100:g} %"
