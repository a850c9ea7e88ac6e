"""Decisions taken on a page: the rules are the lifecycle's; here stands only who may press which button.

A decision is signed with the Ed25519 key that this server holds for the login. Who keeps their key themselves signs
with `tunegate approve` where it lies.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from starlette.responses import Response

from governance.lifecycle import Judged, asked, asked_roles, holding
from tunegate import deciding
from tunegate.console.visit import Page, Visit
from tunegate.house import House
from tunegate.recording import Standing, standing
from tunegate.users import SignedIn
from tunegate_core.errors import BadInput, IntegrityError


@dataclass(frozen=True)
class Choice:
    """What this person may do about a candidate that can be decided about. `why_not` they can't approve it.

    `required`: approvals that are asked for; `override`: the verdict is UNDECIDED, and the policy lets people release
    it all the same; `has_approved`: an approval of this person holds, and can be recalled.
    """

    why_not: str | None
    required: int
    override: bool
    has_approved: bool


def choice(visit: Visit, now: Standing) -> Choice | None:
    """None for a candidate that waits for nobody."""
    state, person = now.state, visit.person
    if not isinstance(state, Judged) or (required := asked(state)) is None:
        return None
    holders = [given.approver for given in holding(state, now.at(visit.house.clock()))]
    has_approved = person.key_id in holders
    return Choice(_why_not(state, person, has_approved), required, state.outcome == "UNDECIDED", has_approved)


def approve(visit: Visit) -> Response:
    """Sign yes; with enough of them the release follows at once."""
    now = _shown(visit)
    found = choice(visit, now)
    if found is None:
        raise BadInput(f"{now.subject} does not wait for an approval")
    if found.why_not:
        raise visit.deny("policy", f"You can't approve {now.subject}: {found.why_not}.", now.subject)
    return _decided(visit, now, partial(deciding.approve, override=found.override))


def refuse(visit: Visit) -> Response:
    """Sign no."""
    return _decided(visit, _shown(visit), deciding.refuse)


def recall(visit: Visit) -> Response:
    """Take back one's own approval."""
    return _decided(visit, _shown(visit), deciding.recall)


def revoke(visit: Visit) -> Response:
    """Withdraw a release."""
    subject = visit.desk.projection.now().entry(visit.part("subject")).subject
    said = deciding.revoke(visit.acting(), subject, visit.person.name, visit.reason())
    return visit.go("releases", subject, said=said)


def _why_not(state: Judged, person: SignedIn, has_approved: bool) -> str | None:
    roles = asked_roles(state)
    if not person.may("approve"):
        return "your roles do not include approving"
    if roles and not set(roles) & set(person.roles):
        return f"the policy asks for {' or '.join(roles)}"
    if state.planned.approvals.four_eyes and person.key_id == state.planned.starter:
        return "you started this run, and the policy asks for another person's approval"
    if has_approved:
        return "you have approved it already, and another person is needed"
    if not person.signs_here:
        return "your key is kept elsewhere; sign there with 'tunegate approve'"
    return None


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
    Page("/releases/{subject}/recall", recall, "recall", "POST"),
    Page("/releases/{subject}/revoke", revoke, "revoke", "POST"),
)
