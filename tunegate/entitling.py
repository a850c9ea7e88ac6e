"""Whether every candidate's, route's and policy's events follow from one another, and every recorded decision was
somebody's to make.

Somebody's to make: their key counted then, they had the role asked for, and they were another person where another is
asked for. Recording checks the same. This looks again with nothing but the events in hand, so that what somebody put
into the ledger past that check is found. What events say of stored records is compared with these by `disagreement`.
"""

from collections.abc import Iterator

from governance.apart import verify_apart, verify_other
from governance.ledger import Event, Problem
from governance.lifecycle import ARROWS, AnyState, Judged, asked_roles, decided, follow
from governance.people import People
from governance.policies import APPROVED, Policies
from governance.policy import Policy
from governance.registry import Registry
from governance.routing import FOLLOWING
from tunegate.house import House
from tunegate_core.errors import Denied, IntegrityError, NotFound, TunegateError
from tunegate_core.proof.approval import latest
from tunegate_core.records import Verdict


class Entitled:
    """Goes through all events in order."""

    def __init__(self) -> None:
        self._people, self._policies, self._routes = People(), Policies(), Registry()
        self._lives: dict[str, tuple[AnyState, str]] = {}

    def look(self, event: Event) -> Iterator[Problem]:
        """Take one event; what is wrong with who decided it, or with its place among the others."""
        where = f"event {event.seq} ({event.kind} {event.subject or ''})".replace(" )", ")")
        found = [self._objection(event), *self._take(event)]
        for what in filter(None, found):
            yield Problem(where=where, what=what, first=event.seq, last=event.seq)

    def place(self, event: Event) -> Iterator[Problem]:
        """Take an event of a candidate or route of which no later one is looked at: only routes need to know it."""
        for what in self._route(event):
            yield Problem(where=f"event {event.seq}", what=what, first=event.seq, last=event.seq)

    def state(self, subject: str | None) -> AnyState | None:
        """Where a candidate stands after the events so far."""
        return self._lives.get(str(subject), (None, ""))[0]

    def _take(self, event: Event) -> Iterator[str]:
        """Go on with the event; what does not follow is told, and leaves everything as it was."""
        try:
            self._people.take(event)
        except IntegrityError as error:
            yield str(error)
        try:
            self._policies.follow(event)
        except (TunegateError, ValueError) as error:  # ValueError: a body that is not its kind's
            yield str(error)
        follows = True
        if event.kind in ARROWS:
            state, before = self._lives.get(str(event.subject), (None, event.at))
            try:
                at = latest([before, event.at])
                self._lives[str(event.subject)] = follow(state, event, at), at
            except TunegateError as error:
                follows = False
                yield str(error)
        if follows and (event.kind in ARROWS or event.kind in FOLLOWING):
            yield from self._route(event)

    def _route(self, event: Event) -> Iterator[str]:
        try:
            self._routes.take(event)
        except (TunegateError, LookupError) as error:
            yield f"it does not follow from what the route was: {error}"

    def _objection(self, event: Event) -> str | None:
        """Why a decision was not that person's to make, by what was recorded before it."""
        approver, decision = str(event.body.get("approver")), str(event.body.get("decision"))
        objection = None
        try:
            if event.kind == APPROVED:
                objection = self._people.objection(approver, "approve-policy")
                said = self._policies.proposal(str(event.body.get("policy")))
                verify_other(self._people, approver, said.proposer, f"'{said.name}' was proposed")
            elif event.kind == "approval":
                state, before = self._lives.get(str(event.subject), (None, event.at))
                roles = asked_roles(state) if isinstance(state, Judged) else ()
                objection = self._people.objection(approver, decision, roles)
                if isinstance(state, Judged) and decision == "approve":
                    verify_apart(self._people, state, approver, latest([before, event.at]))
        except NotFound:  # told by the policies themselves
            pass
        except Denied as error:
            objection = objection or str(error)
        return objection and f"it does not count: {objection}"


def disagreement(house: House, event: Event, state: AnyState | None) -> Iterator[str]:
    """What an event says otherwise than the stored record that it names; `state`: the candidate's after the event.

    Raises what reading the record does.
    """
    if state is None:
        return
    if event.kind == "planned":
        planned = state if not hasattr(state, "planned") else state.planned
        policy = Policy.parse(house.store.get(planned.policy))
        if (policy.approvals, policy.margins()) != (planned.approvals, planned.margins):
            yield "it plans other approvals or margins than its policy has"
    elif event.kind == "judged" and isinstance(state, Judged):
        verdict, said = Verdict.parse(house.store.get(state.verdict)), decided(state)
        found = (verdict.outcome, verdict.policy, verdict.subject, verdict.evidence)
        if found != (said.outcome, said.policy, said.adapter, said.evidence):
            yield f"the verdict that it names says {verdict.outcome}, or judges something else"
