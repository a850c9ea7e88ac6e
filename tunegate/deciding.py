"""People's decisions: signed with a key of their own, with a reason, over the digest of what they decided about."""

from datetime import datetime
from typing import Any, Literal

from governance.apart import verify_apart
from governance.keys import load_or_create
from governance.lifecycle import Judged, asked, asked_roles, decided, expiry, holding
from governance.people import PEOPLE_EVENTS, People
from tunegate import steps
from tunegate.house import House
from tunegate.publishing import publish
from tunegate.recording import Standing, append, record_once, standing
from tunegate.signing import sign_decision, signing_now
from tunegate_core.errors import BadInput


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


def approve(house: House, subject: str, person: str, reason: str, override: bool = False) -> str:
    """Sign a verdict; with enough approvals the release follows at once. `override`: one that is UNDECIDED."""
    judged = _decide(house, subject, person, reason, "approve", override)
    planned = judged.planned
    with house.working_on(subject):
        steps.settle(house, planned)
        steps.publish(house, planned)
    now = standing(house, subject)
    state = now.state
    if isinstance(state, Judged):
        missing = (asked(state) or 0) - len(holding(state, now.at(house.clock())))
        return f"approved; {subject} waits for {missing} more"
    return f"approved; {subject} is {type(state).__name__.lower()} for the route {planned.route}"


def refuse(house: House, subject: str, person: str, reason: str) -> str:
    """Sign that a judged candidate must not be released."""
    _decide(house, subject, person, reason, "refuse")
    return f"{subject} is refused"


def recall(house: House, subject: str, person: str, reason: str) -> str:
    """Take back one's own approval, as long as nothing was released on it."""
    _decide(house, subject, person, reason, "recall")
    return f"the approval by {person} is recalled; {subject} waits"


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


def _decide(
    house: House,
    subject: str,
    person: str,
    reason: str,
    decision: Literal["approve", "refuse", "recall"],
    override: bool = False,
) -> Judged:
    """Sign and record one decision; the lifecycle refuses one that breaks the policy's rules, and that is recorded."""
    if not reason.strip():
        raise BadInput("a decision needs a reason; found none")
    roles = asked_roles(_open(standing(house, subject), override, decision))
    with signing_now(house, person, decision, subject, roles) as (tx, key):
        now = Standing(subject, tuple(tx.events(subject=subject)))
        judged = _open(now, override, decision)
        if decision == "approve":
            known = People.from_events(tx.events(PEOPLE_EVENTS))
            verify_apart(known, judged, key.key_id, now.at(house.clock()))
        days = judged.planned.approvals.expires_days if decision == "approve" else None
        until = expiry(datetime.fromisoformat(now.at(house.clock())), days)
        signed = sign_decision(house, decided(judged), key, decision, reason, until)
        # Who approved may approve again after a recall or an expiry: each decision is an event of its own.
        before = sum(event.kind == "approval" and event.body["approver"] == key.key_id for event in now.events)
        append(
            house, tx, subject, "approval", signed.model_dump(mode="json"), f"{subject}/approval/{key.key_id}/{before}"
        )
    house.ledger.checkpoint()
    return judged


def _open(now: Standing, override: bool, decision: str) -> Judged:
    """The verdict that is to be decided about. Raises BadInput when there is none, or not without `--override`."""
    state = now.state
    if not isinstance(state, Judged) or asked(state) is None:
        found = f"judged {state.outcome}" if isinstance(state, Judged) else type(state).__name__.lower()
        undecided = "; its policy lets nobody override that" if found == "judged UNDECIDED" else ""
        raise BadInput(
            f"{now.subject} is {found}{undecided}; only a candidate that was judged PASS can be decided about"
        )
    if decision == "approve" and override != (state.outcome == "UNDECIDED"):
        told = "give --override to release it all the same" if not override else "there is nothing to override"
        raise BadInput(f"{now.subject} was judged {state.outcome}; {told}")
    return state
