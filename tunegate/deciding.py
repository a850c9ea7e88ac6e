"""People's decisions: signed with a key of their own, with a reason, over the digest of what they decided about."""

from typing import Any, Literal

from governance.keys import load_or_create
from governance.ledger.event import format_time
from governance.lifecycle import Judged, Planned, decided, expiry, holding
from tunegate import steps
from tunegate.house import House
from tunegate.publishing import publish
from tunegate.recording import append, record_once, standing
from tunegate_core.errors import BadInput
from tunegate_core.proof.approval import SignedDecision


def create_key(house: House, name: str) -> dict[str, Any]:
    """A person's signing key, recorded by its public half. Raises BadInput when the name is taken."""
    ledger = house.ledger  # where nothing can be recorded, no key is made
    if (house.keys / f"{name}.key").exists():
        raise BadInput(f"there is a key named '{name}' in {house.keys} already; choose another name")
    key = load_or_create(house.keys, name)
    public = key.public_pem.decode()
    ledger.append("key-created", {"key_id": key.key_id, "public": public}, actor=key.key_id)
    ledger.checkpoint()
    return {"name": name, "key_id": key.key_id, "public": public, "private": str(house.keys / f"{name}.key")}


def approve(house: House, subject: str, person: str, reason: str) -> str:
    """Sign a PASS verdict; with enough approvals the release follows at once."""
    planned = _decide(house, subject, person, reason, "approve")
    with house.working_on(subject):
        steps.settle(house, planned)
        steps.publish(house, planned)
    state = standing(house, subject).state
    if isinstance(state, Judged):
        missing = planned.approvals.required - len(holding(state, format_time(house.clock())))
        return f"approved; {subject} waits for {missing} more"
    return f"approved; {subject} is {type(state).__name__.lower()} on the route {planned.route}"


def refuse(house: House, subject: str, person: str, reason: str) -> str:
    """Sign that a judged candidate must not be released."""
    _decide(house, subject, person, reason, "refuse")
    return f"{subject} is refused"


def revoke(house: House, subject: str, person: str, reason: str) -> str:
    """Withdraw a release."""
    now = standing(house, subject)

    def work() -> dict[str, Any]:
        return {"by": house.person_key(person).key_id, "reason": house.rows.put([reason])}

    record_once(house, subject, "revoked", work)
    publish(house)
    alias = now.planned.route
    state = house.registry().state(alias)
    if state.route.champion is not None:
        return f"{subject} is revoked; it may not answer any more"
    back = f"'tunegate rollback {alias}' returns to {state.before[-1]}" if state.before else "promote another release"
    return f"{subject} is revoked, and nothing answers on the route {alias} now; {back}"


def _decide(house: House, subject: str, person: str, reason: str, decision: Literal["approve", "refuse"]) -> Planned:
    """Sign and record one decision; the lifecycle refuses one that breaks the policy's rules."""
    if not reason.strip():
        raise BadInput("a decision needs a reason; found none")
    state = standing(house, subject).state
    if not isinstance(state, Judged) or state.outcome != "PASS":
        found = f"judged {state.outcome}" if isinstance(state, Judged) else type(state).__name__.lower()
        raise BadInput(f"{subject} is {found}; only a candidate that was judged PASS can be approved or refused")
    ledger, key = house.ledger, house.person_key(person)
    days = state.planned.approvals.expires_days if decision == "approve" else None
    draft = SignedDecision(
        approver=key.key_id,
        public_key=key.public_pem.decode(),
        decision=decision,
        reason=house.rows.put([reason]),
        expires=expiry(house.clock(), days),
        signature="",
    )
    signed = draft.model_copy(update={"signature": key.sign(decided(state).payload(draft)).hex()})
    # An approval that expired may be given again, so its end is part of what makes it one event.
    decision_key = f"{subject}/approval/{key.key_id}/{draft.expires}"
    with ledger.write() as tx:
        append(house, tx, subject, "approval", signed.model_dump(mode="json"), decision_key)
    ledger.checkpoint()
    return state.planned
