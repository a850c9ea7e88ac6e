"""Four eyes and n of m count people, not keys: keys that took over from one another are one person's.

The lifecycle compares keys, which is all that a bundle shows; here stands what only the whole log tells.
"""

from governance.lifecycle import Judged, holding
from governance.people import People
from tunegate_core.errors import Denied


def verify_apart(people: People, judged: Judged, approver: str, at: str) -> None:
    """Raises Denied for an approval at the time `at` by who started the run, or approved it, with an earlier key."""
    planned = judged.planned
    if planned.approvals.four_eyes:
        verify_other(people, approver, planned.starter, f"{planned.subject} was started")
    for given in holding(judged, at):
        verify_other(people, approver, given.approver, f"{planned.subject} was approved")


def verify_other(people: People, approver: str, before: str, what: str) -> None:
    """Raises Denied when the key `approver` is another one of the person whose key `before` did `what`."""
    if approver != before and people.origin(approver) == people.origin(before):
        raise Denied(f"{what} with the key {before}, of the same person as {approver}; another person is needed")
