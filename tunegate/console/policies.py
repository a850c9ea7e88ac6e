"""Policies: those that candidates were planned with, each as it was fixed."""

from starlette.responses import Response

from governance.policy import Policy
from tunegate.console.visit import Page, Visit
from tunegate_core.errors import NotFound

STEP = 50


def policies(visit: Visit) -> Response:
    """Every policy in use, with how many candidates it judged and how."""
    known = visit.desk.projection.now()
    found, first = list(reversed(known.policies.items())), visit.number("first")
    rows = [
        {"digest": digest, "policy": Policy.parse(visit.house.store.get(digest)), "used": used}
        for digest, used in found[first : first + STEP]
    ]
    return visit.page(
        "policies.html",
        rows=rows,
        first=first,
        step=STEP,
        total=len(found),
        page_url=lambda at: visit.url("policies", first=at),
    )


def policy(visit: Visit) -> Response:
    """One policy: its checks, who must agree, and what it said."""
    known, digest = visit.desk.projection.now(), visit.part("digest")
    used = known.policies.get(digest)
    if used is None:
        raise NotFound("no candidate was planned with such a policy")
    entries = [known.registry.entries[subject] for subject in reversed(used)]
    counts: dict[str, int] = {}
    for entry in entries:
        counts[entry.verdict or "not judged yet"] = counts.get(entry.verdict or "not judged yet", 0) + 1
    found = Policy.parse(visit.house.store.get(digest))
    return visit.page(
        "policy.html",
        digest=digest,
        policy=found,
        blocks=found.blocks(),
        entries=entries[:STEP],
        counts=counts,
        total=len(entries),
    )


PAGES = (Page("/policies", policies), Page("/policies/{digest}", policy))
