"""Decisions taken on a page: the rules are the lifecycle's; here stands only who may press which button.

A decision is signed with the Ed25519 key that this server holds for the login. Who keeps their key themselves signs
with `tunegate approve` where it lies.
"""

from collections.abc import Callable

from starlette.responses import Response

from governance.ledger.event import format_time
from governance.lifecycle import Judged, holding
from tunegate import deciding
from tunegate.console.visit import Page, Visit
from tunegate.house import House
from tunegate.recording import Standing, standing
from tunegate_core.errors import BadInput, IntegrityError


def why_not(visit: Visit, now: Standing) -> str | None:
    """Why this person can't approve this candidate; None when they can."""
    state, person = now.state, visit.person
    if not isinstance(state, Judged) or state.outcome != "PASS":
        return "it does not wait for an approval"
    if not person.may("approve"):
        return "your roles do not include approving"
    if state.planned.approvals.four_eyes and person.key_id == state.planned.starter:
        return "you started this run, and the policy asks for another person's approval"
    if any(given.approver == person.key_id for given in holding(state, format_time(visit.house.clock()))):
        return "you have approved it already, and another person is needed"
    if not person.signs_here:
        return "your key is kept elsewhere; sign there with 'tunegate approve'"
    return None


def approve(visit: Visit) -> Response:
    """Sign yes; with enough of them the release follows at once."""
    now = _shown(visit)
    if why := why_not(visit, now):
        raise visit.deny("policy", f"You can't approve {now.subject}: {why}.", now.subject)
    return _decided(visit, now, deciding.approve)


def refuse(visit: Visit) -> Response:
    """Sign no."""
    now = _shown(visit)
    return _decided(visit, now, deciding.refuse)


def revoke(visit: Visit) -> Response:
    """Withdraw a release."""
    subject = visit.desk.projection.now().entry(visit.part("subject")).subject
    said = deciding.revoke(visit.acting(), subject, visit.person.name, visit.reason())
    return visit.go("releases", subject, said=said)


def _decided(visit: Visit, now: Standing, decide: Callable[[House, str, str, str], str]) -> Response:
    """Decide, unless somebody else was first."""
    try:
        said = decide(visit.acting(), now.subject, visit.person.name, visit.reason())
    except IntegrityError as error:
        state = type(standing(visit.house, now.subject).state).__name__
        if state == type(now.state).__name__:
            raise
        raise BadInput(f"somebody else was first: {now.subject} is {state.lower()} now") from error
    return visit.go("releases", now.subject, said=said)


def _shown(visit: Visit) -> Standing:
    """Where the candidate stands. Raises BadInput when its verdict is not the one that was on the page."""
    subject = visit.desk.projection.now().entry(visit.part("subject")).subject
    now = standing(visit.house, subject)
    if now.has("judged") and visit.form.get("verdict") != now.body("judged")["verdict"]:
        raise BadInput(f"the verdict about {subject} is not the one on the page you saw; look at it again")
    return now


PAGES = (
    Page("/releases/{subject}/approve", approve, "approve", "POST"),
    Page("/releases/{subject}/refuse", refuse, "refuse", "POST"),
    Page("/releases/{subject}/revoke", revoke, "revoke", "POST"),
)
