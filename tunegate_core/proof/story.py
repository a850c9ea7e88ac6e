"""The events of one release, read as what they must be: planned, sealed, examined, judged, approved, released."""

import json
from collections.abc import Sequence
from typing import Any, Literal

from pydantic import Field, ValidationError

from tunegate_core.canonical import canonical_json
from tunegate_core.errors import BadInput, IntegrityError
from tunegate_core.proof.approval import Decided, SignedDecision, latest, verify_approvals, verify_term
from tunegate_core.records import Record

ONCE = ("planned", "sealed", "approved", "released")


class LoggedEvent(Record):
    """An event as its bytes say; the form that governance writes."""

    v: Literal[1]
    seq: int = Field(ge=0)
    at: str
    kind: str
    subject: str | None
    key: str | None
    actor: str
    body: dict[str, Any]


class Story(Record):
    """What the events of one release say together. Digests; `released_at` is RFC 3339. `outcome` is PASS, or UNDECIDED
    where people overrode it as the plan allows."""

    subject: str
    adapter: str
    policy: str
    verdict: str
    outcome: str
    approvals: int = Field(ge=0)
    statement: str
    released_at: str


def parse_event(data: bytes) -> LoggedEvent:
    """The event in canonical bytes. Raises IntegrityError for anything else."""
    event = LoggedEvent.parse(data)
    try:
        is_canonical = canonical_json(json.loads(data)) == data
    except BadInput:
        is_canonical = False
    if not is_canonical:
        raise IntegrityError(f"event {event.seq} is not in canonical form")
    return event


def verify_story(events: Sequence[LoggedEvent]) -> Story:
    """What a release's events say together. Raises IntegrityError unless they tell of one release, in order:

    1. All are of one subject, none is there twice; one is `planned` (the first), one `released` (the last).
    2. The last verdict is PASS, over the last evidence, and lies between `sealed` and `approved`; or it is UNDECIDED,
       and the plan says that people may override it.
    3. As many people as the plan asks for signed over exactly this adapter, evidence, policy and verdict, each for no
       longer than the plan lets them.

    Who had which role is not shown by these events: the plan's roles are held by the ledger's own verification.
    """
    ordered = sorted(events, key=lambda event: event.seq)
    if len({event.subject for event in ordered}) != 1 or len({event.seq for event in ordered}) != len(ordered):
        raise IntegrityError("the events shown are not of one release, or one is shown twice")
    once = {kind: _only(ordered, kind) for kind in ONCE}
    examined, judged = _last(ordered, "examined"), _last(ordered, "judged")
    told = [once["planned"], once["sealed"], examined, judged, once["approved"], once["released"]]
    if told != sorted(told, key=lambda event: event.seq) or (told[0], told[-1]) != (ordered[0], ordered[-1]):
        raise IntegrityError("the events shown are not in the order of a release")
    decided = _decided(once, examined, judged)
    plan = once["planned"].body
    rule = _rule(plan)
    required = _required(rule, decided.outcome)
    barred = str(plan.get("starter")) if rule.get("four_eyes", True) else None
    said = [event for event in ordered if event.kind == "approval" and event.seq > judged.seq]
    decisions = [_decision(event) for event in said]
    for event, decision in zip(said, decisions, strict=True):
        if decision.decision == "approve":
            now = latest(earlier.at for earlier in ordered if earlier.seq <= event.seq)
            verify_term(decision, now, rule.get("expires_days"))
    at = latest(event.at for event in ordered if event.seq <= once["approved"].seq)
    return Story(
        subject=decided.subject,
        adapter=decided.adapter,
        policy=decided.policy,
        verdict=decided.verdict,
        outcome=decided.outcome,
        approvals=verify_approvals(decided, decisions, required, barred, at),
        statement=str(once["released"].body.get("statement")),
        released_at=once["released"].at,
    )


def _rule(plan: dict[str, Any]) -> dict[str, Any]:
    rule = plan.get("approvals")
    if not isinstance(rule, dict):
        raise IntegrityError("the plan does not say how many approvals it asks for")
    return rule


def _required(rule: dict[str, Any], outcome: str) -> int:
    """How many approvals the plan asks for. Raises IntegrityError where it does not say, or lets nobody through."""
    if outcome not in ("PASS", "UNDECIDED"):
        raise IntegrityError(f"the verdict was {outcome}; expected PASS")
    asked = rule if outcome == "PASS" else rule.get("override")
    if asked is None:
        raise IntegrityError("the verdict was UNDECIDED, and the plan lets nobody override it; expected PASS")
    found = asked.get("required") if isinstance(asked, dict) else None
    if type(found) is not int or (outcome == "UNDECIDED" and found < 1):
        raise IntegrityError("the plan does not say how many approvals it asks for")
    return found


def _decided(once: dict[str, LoggedEvent], examined: LoggedEvent, judged: LoggedEvent) -> Decided:
    try:
        return Decided(
            subject=str(once["released"].subject),
            adapter=once["sealed"].body["adapter"]["tree"],
            evidence=tuple(examined.body["evidence"]),
            policy=once["planned"].body["policy"],
            verdict=judged.body["verdict"],
            outcome=judged.body["outcome"],
        )
    except (KeyError, TypeError, ValidationError) as error:
        raise IntegrityError("the events shown do not name adapter, evidence, policy and verdict") from error


def _decision(event: LoggedEvent) -> SignedDecision:
    try:
        return SignedDecision.model_validate(event.body)
    except ValidationError as error:
        raise IntegrityError(f"event {event.seq} is no signed decision: {error}") from error


def _only(events: Sequence[LoggedEvent], kind: str) -> LoggedEvent:
    found = [event for event in events if event.kind == kind]
    if len(found) != 1:
        raise IntegrityError(f"{len(found)} events {kind!r} are shown; expected exactly one")
    return found[0]


def _last(events: Sequence[LoggedEvent], kind: str) -> LoggedEvent:
    found = [event for event in events if event.kind == kind]
    if not found:
        raise IntegrityError(f"no event {kind!r} is shown; expected at least one")
    return found[-1]
