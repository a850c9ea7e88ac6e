"""Whether every candidate's events follow from one another, and every recorded decision was somebody's to make.

Somebody's to make: their key counted then, and they had the role asked for. Recording checks the same. This looks again
with nothing but the events in hand, so that what somebody put into the ledger past that check is found.
"""

from collections.abc import Iterator
from typing import Any

from governance.ledger import Event, Problem
from governance.lifecycle import ARROWS, AnyState, follow
from governance.people import People
from governance.policies import APPROVED
from tunegate_core.errors import IntegrityError, TunegateError
from tunegate_core.proof.approval import latest


class Entitled:
    """Goes through all events in order."""

    def __init__(self) -> None:
        self._people = People()
        self._rules: dict[str, dict[str, Any]] = {}
        self._outcomes: dict[str, str] = {}
        self._lives: dict[str, tuple[AnyState, str]] = {}

    def look(self, event: Event) -> Iterator[Problem]:
        """Take one event; what is wrong with who decided it."""
        where = f"event {event.seq} ({event.kind} {event.subject or ''})".replace(" )", ")")
        try:
            self._people.take(event)
        except IntegrityError as error:
            yield Problem(where=where, what=str(error), first=event.seq, last=event.seq)
        subject = str(event.subject)
        if event.kind in ARROWS:
            yield from self._live(event, subject, where)
        if event.kind == "planned":
            self._rules[subject] = event.body.get("approvals") or {}
        elif event.kind == "judged":
            self._outcomes[subject] = str(event.body.get("outcome"))
        elif event.kind in ("approval", APPROVED):
            objection = self._objection(event, subject)
            if objection is not None:
                yield Problem(where=where, what=f"it does not count: {objection}", first=event.seq, last=event.seq)

    def _live(self, event: Event, subject: str, where: str) -> Iterator[Problem]:
        """The candidate's next state; an event that does not follow is told, and leaves the state as it was."""
        state, before = self._lives.get(subject, (None, event.at))
        try:
            at = latest([before, event.at])
            self._lives[subject] = follow(state, event, at), at
        except TunegateError as error:
            yield Problem(where=where, what=str(error), first=event.seq, last=event.seq)

    def _objection(self, event: Event, subject: str) -> str | None:
        approver, decision = str(event.body.get("approver")), str(event.body.get("decision"))
        if event.kind == APPROVED:
            return self._people.objection(approver, "approve-policy")
        rule = self._rules.get(subject, {})
        if self._outcomes.get(subject) == "UNDECIDED":
            rule = rule.get("override") or {}
        return self._people.objection(approver, decision, tuple(rule.get("roles") or ()))
