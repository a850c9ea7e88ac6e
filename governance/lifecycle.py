"""The life of a candidate, typed.

    Planned -> Trained -> Sealed -> Examined -> Judged -> Approved -> Released -> Retired | Revoked
        any of them before Released -> Withdrawn

Judged PASS may be approved; FAIL ends in Refused; UNDECIDED may go back to Examined with more items, or be approved by
those whom the plan's policy names for that, if it names any. A person may refuse what can be approved, and recall an
approval until it was acted on. What learnt from data that is withdrawn before it is released ends Withdrawn. `Planned`
holds the digests of the policy, its margins, the items and the champion, so that nothing can be chosen after the answer
is known. A candidate that judges an existing adapter goes from Planned to Sealed. Time never goes back: what expired at
one event is expired at every later one, whatever the clock says.

Each state is a frozen record that only the arrow from the state before can make, and carries that state's digest. An
unjudged adapter can't be released: the arrow `release` refuses every state but an `Approved`, and the release statement
takes nothing else. `replay` walks the same arrows over recorded events and refuses any other order.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from pydantic import Field, ValidationError

from governance.happened import Happened
from governance.policy import ApprovalRule
from governance.roles import Role
from tunegate_core.errors import BadInput, Denied, IntegrityError
from tunegate_core.proof.approval import Decided, SignedDecision, is_over, latest, verify_signer, verify_term
from tunegate_core.records import AdapterRecord, BaseModelRecord, DatasetRecord, Outcome, Record, TrainingRecord


@dataclass(frozen=True)
class _Then:
    """An event at a time that is not before the events it follows."""

    kind: str
    subject: str | None
    at: str
    body: Mapping[str, Any]


class Planned(Record):
    """What a candidate is, and what it will be judged by."""

    name: str
    version: int = Field(ge=1)
    route: str
    run: str  # digest of all inputs but the champion: the same inputs are the same candidate
    starter: str  # key id of who started it
    config: str
    base: BaseModelRecord
    data: DatasetRecord | None
    policy: str
    margins: dict[str, float]
    approvals: ApprovalRule
    items: dict[str, dict[str, Any]]
    champion: str | None
    source_adapter: str | None
    attempt: int = Field(ge=1)

    @property
    def subject(self) -> str:
        """NAME@N."""
        return f"{self.name}@{self.version}"


class State(Record):
    """A state after Planned: the plan, and the digest of the state before."""

    planned: Planned
    before: str


class Trained(State):
    """An adapter exists; nothing is known about it."""

    training: TrainingRecord
    output: str
    environment: str


class Sealed(State):
    """The adapter lies in the store under its digest."""

    adapter: AdapterRecord


class Examined(State):
    """Evidence was recorded."""

    adapter: AdapterRecord
    evidence: tuple[str, ...] = Field(min_length=1)


class Judged(State):
    """The policy's verdict."""

    adapter: AdapterRecord
    evidence: tuple[str, ...] = Field(min_length=1)
    verdict: str
    outcome: Outcome
    approvals: tuple[SignedDecision, ...] = ()
    spent: tuple[str, ...] = ()  # the signatures of all decisions about it: none counts twice


class Approved(State):
    """PASS, and as many people as the policy asks for said yes; or UNDECIDED, and those who may override it did."""

    adapter: AdapterRecord
    evidence: tuple[str, ...] = Field(min_length=1)
    verdict: str
    outcome: Outcome
    approvals: tuple[SignedDecision, ...]


class Released(State):
    """May answer on its route."""

    adapter: AdapterRecord
    statement: str
    route: str


class Refused(State):
    """Ended by a FAIL verdict or by a person."""

    by: Literal["verdict", "person"]


class Retired(State):
    """Was released; another took its place."""


class Revoked(State):
    """Was released; may not answer any more."""


class Withdrawn(State):
    """Ended before it was released: data that it learnt from was withdrawn."""

    erased: int  # the event that erased the data


AnyState = (
    Planned | Trained | Sealed | Examined | Judged | Approved | Released | Refused | Retired | Revoked | Withdrawn
)


def decided(judged: Judged) -> Decided:
    """What an approver signs for: change any of it and the approval is void."""
    return Decided(
        subject=judged.planned.subject,
        adapter=judged.adapter.tree,
        evidence=judged.evidence,
        policy=judged.planned.policy,
        verdict=judged.verdict,
        outcome=judged.outcome,
    )


def verify_decision(judged: Judged, decision: SignedDecision, at: str) -> SignedDecision:
    """The decision if it may count at the time `at`. Raises IntegrityError, Denied or BadInput saying which rule it
    breaks."""
    planned = judged.planned
    if decision.decision == "approve" and planned.approvals.four_eyes and decision.approver == planned.starter:
        raise Denied(
            f"{planned.subject} was started with key {planned.starter}; the policy asks for another person's approval"
        )
    verify_signer(decided(judged), decision)
    if decision.signature in judged.spent:
        raise BadInput(f"this very decision by {decision.approver} was recorded before; it must be signed anew")
    if decision.decision == "approve":
        verify_term(decision, at, planned.approvals.expires_days)
    if is_over(decision, at):
        raise BadInput(f"the approval by {decision.approver} expired at {decision.expires}; ask for a new one")
    return decision


def holding(judged: Judged, at: str) -> tuple[SignedDecision, ...]:
    """The approvals that have not expired at the time `at`, RFC 3339."""
    return tuple(given for given in judged.approvals if not is_over(given, at))


def asked(judged: Judged) -> int | None:
    """How many approvals a verdict needs; None when no number of them is enough."""
    rule = judged.planned.approvals
    if judged.outcome == "PASS":
        return rule.required
    return rule.override.required if judged.outcome == "UNDECIDED" and rule.override is not None else None


def asked_roles(judged: Judged) -> tuple[Role, ...]:
    """The roles of which each approver must have one; none for any key that counts."""
    rule = judged.planned.approvals
    return rule.roles if judged.outcome == "PASS" or rule.override is None else rule.override.roles


def replay(events: Iterable[Happened]) -> AnyState:
    """The state one candidate's events lead to.

    Raises IntegrityError for events of two candidates, any other order than the arrows allow, and a body that is not
    its kind's; BadInput for a decision that breaks the plan's rules.
    """
    state: AnyState | None = None
    at: str | None = None
    subjects: set[str | None] = set()
    for event in events:
        subjects.add(event.subject)
        if len(subjects) > 1:
            raise IntegrityError(f"these are events of several candidates: {sorted(map(str, subjects))}")
        at = event.at if at is None else latest([at, event.at])
        state = follow(state, event, at)
    if state is None:
        raise IntegrityError("no events to replay")
    return state


def follow(state: AnyState | None, event: Happened, at: str) -> AnyState:
    """The state after one more event of a candidate. `at`: the latest time of its events, this one included (RFC 3339).

    Raises what `replay` does.
    """
    arrow = ARROWS.get(event.kind)
    if arrow is None:
        raise IntegrityError(f"'{event.kind}' is no event of a candidate's life")
    try:
        return arrow(state, _Then(event.kind, event.subject, at, event.body))
    except (ValidationError, TypeError) as error:  # TypeError: the body names what only the arrow may set
        raise IntegrityError(f"{event.subject}: '{event.kind}' does not hold what it must: {error}") from error


def plan(state: AnyState | None, event: Happened) -> Planned:
    """The first event."""
    if state is not None:
        raise _out_of_order(state, event)
    planned = Planned.model_validate(event.body)
    if planned.subject != event.subject:
        raise IntegrityError(f"an event about {event.subject} plans {planned.subject}")
    return planned


def train(state: AnyState | None, event: Happened) -> Trained:
    """Planned -> Trained."""
    if not isinstance(state, Planned) or state.source_adapter is not None:
        raise _out_of_order(state, event)
    return Trained(planned=state, before=state.digest(), **event.body)


def seal(state: AnyState | None, event: Happened) -> Sealed:
    """Trained -> Sealed, or Planned -> Sealed for an existing adapter."""
    if isinstance(state, Planned) and state.source_adapter is not None:
        return Sealed(planned=state, before=state.digest(), **event.body)
    if not isinstance(state, Trained):
        raise _out_of_order(state, event)
    return Sealed(planned=state.planned, before=state.digest(), **event.body)


def examine(state: AnyState | None, event: Happened) -> Examined:
    """Sealed -> Examined, or Judged UNDECIDED -> Examined with more items."""
    if not (isinstance(state, Sealed) or (isinstance(state, Judged) and state.outcome == "UNDECIDED")):
        raise _out_of_order(state, event)
    return Examined(planned=state.planned, before=state.digest(), adapter=state.adapter, **event.body)


def judge(state: AnyState | None, event: Happened) -> Judged:
    """Examined -> Judged."""
    if not isinstance(state, Examined):
        raise _out_of_order(state, event)
    return Judged(
        planned=state.planned, before=state.digest(), adapter=state.adapter, evidence=state.evidence,
        approvals=(), **event.body,
    )  # fmt: skip


def decide(state: AnyState | None, event: Happened) -> Judged | Refused:
    """One person's signed decision about what can be approved; a refusal ends it, a recall takes back a yes."""
    if not isinstance(state, Judged) or asked(state) is None:
        raise _out_of_order(state, event)
    approval = verify_decision(state, SignedDecision.model_validate(event.body), event.at)
    if approval.decision == "refuse":
        return Refused(planned=state.planned, before=state.digest(), by="person")
    taken = {"before": state.digest(), "spent": (*state.spent, approval.signature)}
    still = holding(state, event.at)  # who approved and let it expire may approve again
    others = tuple(given for given in still if given.approver != approval.approver)
    if approval.decision == "recall":
        if others == still:
            raise BadInput(f"{approval.approver} has no approval of {state.planned.subject} that could be recalled")
        return Judged(**{**dict(state), **taken, "approvals": others})
    if others != still:
        raise BadInput(f"{approval.approver} has approved {state.planned.subject} already; another person is needed")
    return Judged(**{**dict(state), **taken, "approvals": (*still, approval)})


def approve(state: AnyState | None, event: Happened) -> Approved:
    """Judged PASS (or UNDECIDED, where that may be overridden) -> Approved, with enough approvals that still hold."""
    required = asked(state) if isinstance(state, Judged) else None
    if not isinstance(state, Judged) or required is None:
        raise _out_of_order(state, event)
    still = holding(state, event.at)
    if len(still) < required:
        over = len(state.approvals) - len(still)
        raise BadInput(
            f"{state.planned.subject} has {len(still)} approvals; the policy asks for {required}"
            + (f"; {over} expired and must be given again" if over else "")
        )
    return Approved(
        planned=state.planned, before=state.digest(), adapter=state.adapter, evidence=state.evidence,
        verdict=state.verdict, outcome=state.outcome, approvals=still,
    )  # fmt: skip


def refuse(state: AnyState | None, event: Happened) -> Refused:
    """Judged FAIL -> Refused."""
    if not isinstance(state, Judged) or state.outcome != "FAIL":
        raise _out_of_order(state, event)
    return Refused(planned=state.planned, before=state.digest(), by="verdict")


def release(state: AnyState | None, event: Happened) -> Released:
    """Approved -> Released, on the route that was planned."""
    if not isinstance(state, Approved):
        raise _out_of_order(state, event)
    released = Released(planned=state.planned, before=state.digest(), adapter=state.adapter, **event.body)
    if released.route != state.planned.route:
        raise IntegrityError(f"{event.subject} was planned for {state.planned.route!r}, not for {released.route!r}")
    return released


def retire(state: AnyState | None, event: Happened) -> Retired:
    """Released -> Retired."""
    if not isinstance(state, Released):
        raise _out_of_order(state, event)
    return Retired(planned=state.planned, before=state.digest())


def revoke(state: AnyState | None, event: Happened) -> Revoked:
    """Released -> Revoked, or Retired -> Revoked."""
    if not isinstance(state, Released | Retired):
        raise _out_of_order(state, event)
    return Revoked(planned=state.planned, before=state.digest())


def withdraw(state: AnyState | None, event: Happened) -> Withdrawn:
    """Planned, Trained, Sealed, Examined, Judged or Approved -> Withdrawn."""
    if isinstance(state, Planned):
        return Withdrawn(planned=state, before=state.digest(), **event.body)
    if not isinstance(state, Trained | Sealed | Examined | Judged | Approved):
        raise _out_of_order(state, event)
    return Withdrawn(planned=state.planned, before=state.digest(), **event.body)


ARROWS: dict[str, Callable[[AnyState | None, Happened], AnyState]] = {
    "planned": plan,
    "trained": train,
    "sealed": seal,
    "examined": examine,
    "judged": judge,
    "approval": decide,
    "approved": approve,
    "refused": refuse,
    "released": release,
    "retired": retire,
    "revoked": revoke,
    "withdrawn": withdraw,
}


def expiry(at: datetime, days: int | None) -> str | None:
    """When an approval given at `at` stops to count, RFC 3339; None for never."""
    return None if days is None else (at + timedelta(days=days)).isoformat()


def _out_of_order(state: AnyState | None, event: Happened) -> IntegrityError:
    found = "nothing" if state is None else type(state).__name__
    return IntegrityError(f"{event.subject} is {found}; '{event.kind}' does not follow from that")
