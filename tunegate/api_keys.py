"""API keys: made, rotated and revoked, each by one event that is published at once. A key is shown once, when made."""

import re
from collections.abc import Sequence
from datetime import timedelta
from decimal import Decimal, InvalidOperation
from typing import Any

from governance.access import (
    KEY_CREATED,
    KEY_EVENTS,
    KEY_REVOKED,
    OVERLAP,
    Access,
    ApiKey,
    Created,
    Revoked,
    new_grant,
    renewed,
)
from governance.ledger import Transaction
from governance.ledger.event import format_time
from tunegate.house import House
from tunegate.publishing import publish
from tunegate_core.errors import BadInput
from tunegate_core.records import Record
from tunegate_core.snapshot import Limits, Snapshot

MICROS = 1_000_000
MOST_DAYS = 36_500
LIMITS = {
    "requests-per-minute": ("requests_per_minute", 1),
    "tokens-per-minute": ("tokens_per_minute", 1),
    "budget-tokens": ("budget_tokens", 1),
    "budget-money": ("budget_micros", MICROS),
}
PRINTABLE = re.compile(r"[^\x00-\x1f\x7f]{1,200}")


def create(
    house: House,
    name: str,
    scopes: Sequence[str],
    models: Sequence[str] = (),
    days: int | None = None,
    limits: Sequence[str] = (),
) -> dict[str, Any]:
    """A new key, in the clear under `key`: the only time. `limits` are NAME=VALUE; `models` are routes, none for all.

    Under `no_route_yet` stand those of `models` that no release has made: a key may come first, or a name be mistyped.
    Raises BadInput for an unknown scope or limit.
    """
    if not PRINTABLE.fullmatch(name) or not name.strip():
        raise BadInput("an API key needs a name of 1 to 200 printable characters, so that it is known later")
    if days is not None and not 1 <= days <= MOST_DAYS:
        raise BadInput(f"a key can't be valid for {days} days; expected 1 to {MOST_DAYS}, or none for ever")
    expires = None if days is None else format_time(house.clock() + timedelta(days=days))
    grant, secret = new_grant(scopes, models, expires, parse_limits(limits))
    with house.ledger.write() as tx:
        _record(house, tx, KEY_CREATED, grant.key_id, Created(grant=grant, name=house.rows.put([name])))
    routes = {route.alias for route in _published(house).routes}
    missing = [model for model in models if model not in routes]
    return {"key": secret, **_one(house, grant.key_id), "no_route_yet": missing}


def rotate(house: House, key_id: str) -> dict[str, Any]:
    """A new key with the rights of an old one, which ends in a day. Raises NotFound, and BadInput for a revoked key."""
    with house.ledger.write() as tx:
        old = Access.from_events(tx.events(KEY_EVENTS)).usable(key_id)
        now = house.clock()
        grant, secret = renewed(old, now)
        ends = format_time(now + OVERLAP)
        body = Created(grant=grant, name=old.name, replaces=key_id, replaced_at=ends)
        _record(house, tx, KEY_CREATED, grant.key_id, body)
    _published(house)
    return {"key": secret, **_one(house, grant.key_id), "replaces": key_id}


def revoke(house: House, key_id: str, reason: str | None = None) -> str:
    """End a key now; doing it again changes nothing. Raises NotFound."""
    with house.ledger.write() as tx:
        access = Access.from_events(tx.events(KEY_EVENTS))
        if key_id not in access.keys or access.keys[key_id].revoked_at is None:
            access.usable(key_id)
            why = house.rows.put([reason]) if reason and reason.strip() else None
            _record(house, tx, KEY_REVOKED, key_id, Revoked(reason=why))
    _published(house)
    return f"the API key {key_id} is revoked; it opens nothing any more"


def listed(house: House) -> dict[str, Any]:
    """Every key that was made, without its secret."""
    events = house.existing_ledger.events(KEY_EVENTS) if house.has_ledger else []
    access, now = Access.from_events(events), format_time(house.clock())
    return {"keys": [_shown(house, key, now) for key in access.keys.values()]}


def parse_limits(limits: Sequence[str]) -> Limits:
    """Limits from NAME=VALUE; money in the rate card's currency. Raises BadInput naming the limits there are."""
    found: dict[str, int] = {}
    for limit in limits:
        name, _, value = limit.partition("=")
        if name not in LIMITS:
            raise BadInput(f"there is no limit '{name}'; expected NAME=VALUE with one of {', '.join(LIMITS)}")
        field, unit = LIMITS[name]
        if field in found:
            raise BadInput(f"the limit {name} is given twice; expected it once")
        try:
            amount = Decimal(value) * unit
        except InvalidOperation as error:
            raise BadInput(f"the limit {name} is '{value}'; expected a number") from error
        if not amount.is_finite() or not 0 <= amount < 2**53 or amount != int(amount):
            raise BadInput(f"the limit {name} is '{value}'; expected a whole number from 0, money to the millionth")
        found[field] = int(amount)
    return Limits(**found)


def _record(house: House, tx: Transaction, kind: str, key_id: str, body: Record) -> None:
    tx.append(kind, body.model_dump(mode="json"), subject=key_id, actor=house.person_key(house.person).key_id)


def _published(house: House) -> Snapshot:
    """Sign what was recorded, and tell serving."""
    house.ledger.checkpoint()
    return publish(house)


def _one(house: House, key_id: str) -> dict[str, Any]:
    return next(key for key in listed(house)["keys"] if key["key_id"] == key_id)


def _shown(house: House, key: ApiKey, now: str) -> dict[str, Any]:
    state = "revoked" if key.revoked_at else "expired" if key.is_expired(now) else "valid"
    shown: dict[str, Any] = key.grant.model_dump(mode="json", exclude={"secret_sha256"})
    return {
        **shown,
        "name": house.rows.get(key.name)[0] or "(erased)",
        "state": state,
        "created_at": key.created_at,
        "revoked_at": key.revoked_at,
        "replaced_by": key.replaced_by,
    }
