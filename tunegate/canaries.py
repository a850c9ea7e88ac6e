"""How a canary is watched, as the ledger, the store and the gateway's own account tell it.

The rules of a canary are those of its own config, which the plan of the release holds by digest: who promotes a version
can't loosen them.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from governance.ledger import Event
from governance.routing import PROMOTED, RouteState
from tunegate.house import House
from tunegate.recording import standing
from tunegate_core.config.schema import CanaryBlock, ShadowBlock
from tunegate_core.errors import IntegrityError


def status_file(house: House) -> Path:
    """Where a gateway says how far each canary is. It can be lost: the gateway writes it again."""
    return house.home / "serving" / "canaries.json"


def stage_event(events: Sequence[Event], state: RouteState) -> Event | None:
    """The event that gave a route's canary the share it has; None where there is no canary."""
    if state.route.canary is None:
        return None
    return next(
        event
        for event in reversed(events)
        if event.kind == PROMOTED and event.subject == state.route.alias and event.body["place"] == "canary"
    )


def rules_of(house: House, version: str) -> CanaryBlock:
    """`serving.canary` of the config that a version was planned with."""
    config = json.loads(house.store.get(standing(house, version).planned.config))
    try:
        return CanaryBlock.model_validate(config.get("serving", {}).get("canary", {}))
    except ValueError as error:
        raise IntegrityError(
            f"the config of {version} holds no rules for canaries that are known here: {error}"
        ) from error


def first_share(house: House, version: str, place: str) -> int:
    """The share that its config gives a version as canary (its first stage's) or as shadow, in basis points."""
    if place == "canary":
        return round(rules_of(house, version).stages[0].percent * 100)
    config = json.loads(house.store.get(standing(house, version).planned.config))
    return round(ShadowBlock.model_validate(config.get("serving", {}).get("shadow", {})).percent * 100)


def watched(house: House, state: RouteState, events: Sequence[Event]) -> dict[str, Any] | None:
    """A canary's stage, since when, and what a gateway decided last; None where there is no canary.

    `decision` is None, and `looked_at` too, where no gateway has looked at this stage yet.
    """
    event = stage_event(events, state)
    if event is None:
        return None
    shares = [round(stage.percent * 100) for stage in rules_of(house, str(state.route.canary)).stages]
    return {
        "stage": max(1, sum(share <= state.route.canary_bp for share in shares)),
        "stages": len(shares),
        "since": event.at,
        "is_paused": state.paused,
        **_last_look(house, event.seq),
    }


def _last_look(house: House, event: int) -> dict[str, Any]:
    try:
        told = json.loads(status_file(house).read_bytes())
        found = {canary["event"]: canary["decision"] for canary in told["canaries"]}
    except (OSError, ValueError, KeyError, TypeError):  # not written yet, or by another version
        told, found = {"at": None}, {}
    return {"looked_at": told["at"] if event in found else None, "decision": found.get(event)}
