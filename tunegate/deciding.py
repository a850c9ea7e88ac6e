"""People's decisions: signed with a key of their own, with a reason, over the digest of what they decided about."""

from datetime import timedelta
from typing import Any

from governance.keys import load_or_create
from governance.lifecycle import Approval, approval_payload
from governance.policy import Policy
from tunegate.house import House, make_folder
from tunegate.recording import Standing, append, standing
from tunegate.steps import complete
from tunegate_core.errors import BadInput


def create_key(house: House, name: str) -> dict[str, Any]:
    """A person's signing key, recorded by its public half. Raises BadInput when the name is taken."""
    make_folder(house.home)
    if (house.keys / f"{name}.key").exists():
        raise BadInput(f"there is a key named '{name}' in {house.keys} already; choose another name")
    key = load_or_create(house.keys, name)
    public = key.public_pem.decode()
    house.ledger.append("key-created", {"key_id": key.key_id, "public": public}, actor=key.key_id)
    house.ledger.checkpoint()
    return {"name": name, "key_id": key.key_id, "public": public, "private": str(house.keys / f"{name}.key")}


def approve(house: House, subject: str, person: str, reason: str) -> str:
    """Sign a PASS verdict; with enough approvals the release follows at once."""
    now = standing(house, subject)
    planned = now.planned
    with house.working_on(subject):
        _decide(house, now, person, reason, "approve")
        complete(house, planned)
    after = standing(house, subject)
    missing = planned.approvals.required - sum(event.kind == "approval" for event in after.events)
    return f"{subject} is {after.state.lower()}" + (f"; {missing} more approvals are needed" if missing > 0 else "")


def refuse(house: House, subject: str, person: str, reason: str) -> str:
    """Sign that a judged candidate must not be released."""
    now = standing(house, subject)
    with house.working_on(subject):
        _decide(house, now, person, reason, "refuse")
    return f"{subject} is refused"
