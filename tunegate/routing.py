"""Routes as people change them: one event each, recorded only if it may follow, and published at once.

`advance` and `withdraw` are the canary analysis' own: they do nothing when a person has moved the canary meanwhile.
"""

from collections.abc import Callable
from typing import Any

from governance.lifecycle import Released
from governance.registry import MOVING, Registry
from governance.routing import (
    FOLLOWING,
    KILLED,
    PROMOTED,
    ROLLED_BACK,
    UNKILLED,
    Place,
    Promoted,
    RouteState,
    Why,
    follow,
)
from tunegate.house import House
from tunegate.publishing import publish
from tunegate.recording import standing
from tunegate_core.errors import BadInput
from tunegate_core.snapshot import ALL, Route

Work = Callable[[RouteState], Why | None]


def promote(house: House, version: str, place: Place, share_bp: int = ALL, reason: str | None = None) -> str:
    """Give a release a place on its route; `share_bp` of 10,000 for a canary or a shadow."""
    now = standing(house, version)
    state = now.state
    if not isinstance(state, Released):
        raise BadInput(f"{version} is {type(state).__name__.lower()}; only a release can be promoted")
    alias, judged_against = state.route, state.planned.champion
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


def advance(house: House, alias: str, canary: str, share_bp: int, analysis: str) -> bool:
    """Give a canary another share. `analysis`: the store's digest of the figures. False when it is no canary now."""
    body = Promoted(version=canary, place="canary", share_bp=share_bp, analysis=analysis)
    before, _ = _change(house, alias, PROMOTED, lambda state: body if state.route.canary == canary else None, None)
    return before.route.canary == canary


def withdraw(house: House, alias: str, canary: str, analysis: str) -> bool:
    """End a canary that did harm. `analysis`: the store's digest of the figures. False when it is no canary now."""

    def work(state: RouteState) -> Why | None:
        is_canary = state.route.canary == canary
        return state.step_back().model_copy(update={"analysis": analysis}) if is_canary else None

    before, _ = _change(house, alias, ROLLED_BACK, work, None)
    return before.route.canary == canary


def overview(house: House) -> dict[str, Any]:
    """Every route: what it points to, what it pointed to before, and how it was changed."""
    events = house.existing_ledger.events(MOVING) if house.has_ledger else []
    registry = Registry.from_events(events)
    changes = [event for event in events if event.kind in FOLLOWING]
    return {
        "routes": [
            {
                **state.route.model_dump(mode="json"),
                "before": list(state.before),
                "changes": [
                    {"seq": event.seq, "at": event.at, "by": event.actor, "kind": event.kind, **event.body}
                    for event in changes
                    if event.subject == alias
                ],
            }
            for alias, state in registry.states.items()
        ],
    }


def _change(house: House, alias: str, kind: str, work: Work, reason: str | None) -> tuple[RouteState, RouteState]:
    """Record one event about a route, if it may follow and changes anything, and publish; the route before and after.

    It is published in any case: the same command again finishes what a crash left between the two.
    """
    with house.ledger.write() as tx:
        registry = Registry.from_events(tx.events(MOVING))
        before = after = registry.state(alias)
        body = work(before)
        if body is not None:
            after = follow(before, kind, body.model_dump(), registry.is_released)
        if body is not None and after != before:
            why = house.rows.put([reason]) if reason and reason.strip() else None
            told = body.model_copy(update={"reason": why}).model_dump(mode="json")
            tx.append(kind, told, subject=alias, actor=house.person_key(house.person).key_id)
    house.ledger.checkpoint()
    publish(house)
    return before, after


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
