"""People and keys: who may do what, which API keys there are, and what was denied."""

from typing import Any

from starlette.responses import Response

from governance.roles import NEEDS, ROLES, may
from tunegate import api_keys, users
from tunegate.console.visit import Page, Visit

LATEST = 20


def people(visit: Visit) -> Response:
    """Users with their roles, API keys without their secrets, and the latest denials."""
    return visit.page("people.html", made=None, **_shown(visit))


def create_key(visit: Visit) -> Response:
    """A new API key; it is shown on this answer and never again."""
    days = visit.form.get("days", "").strip()
    scopes = [scope for scope in ("infer", "feedback", "read", "train", "approve", "admin") if visit.form.get(scope)]
    made = api_keys.create(
        visit.acting(),
        visit.form.get("name", "").strip(),
        scopes,
        days=int(days) if days.isdigit() and len(days) < 6 else None,
    )
    return visit.page("people.html", made=made, **_shown(visit))


def rotate_key(visit: Visit) -> Response:
    """A new API key with the same rights, shown on this answer and never again; the old one ends in a day."""
    return visit.page("people.html", made=api_keys.rotate(visit.acting(), visit.part("key_id")), **_shown(visit))


def revoke_key(visit: Visit) -> Response:
    """End an API key now."""
    return visit.go("people", said=api_keys.revoke(visit.acting(), visit.part("key_id"), visit.reason()))


def _shown(visit: Visit) -> dict[str, Any]:
    house, denials = visit.house, visit.desk.projection.now().denials
    everybody = users.listed(house)["users"]
    return {
        "names": {user["user_id"]: user["name"] for user in everybody},
        "keys": list(reversed(api_keys.listed(house)["keys"])),
        "roles": [(role, [action for action in NEEDS if may(role, action)]) for role in ROLES],
        "users": everybody,
        "denials": [
            event
            for number in reversed(denials[-LATEST:])
            for event in house.existing_ledger.events(start=number, limit=1)
        ],
        "denied": len(denials),
    }


PAGES = (
    Page("/people", people),
    Page("/people/keys", create_key, "keys", "POST"),
    Page("/people/keys/{key_id}/rotate", rotate_key, "keys", "POST"),
    Page("/people/keys/{key_id}/revoke", revoke_key, "keys", "POST"),
)
