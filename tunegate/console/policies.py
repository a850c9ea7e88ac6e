"""Policies: those that candidates were planned with, those in force, and what another one would have said.

A backtest judges every past candidate again from stored evidence; it runs and records nothing. Only proposing a policy
and approving what somebody else proposed are recorded.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from starlette.responses import Response

from governance.policy import Policy
from tunegate import policies as changing
from tunegate.console.visit import Page, Visit
from tunegate_core.errors import BadInput, NotFound

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
        **_law(visit),
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


def backtest(visit: Visit) -> Response:
    """What the policy in the form would have said about every past candidate."""
    with _file(visit) as path:
        found = changing.backtest(visit.house, path, visit.form.get("tasks", "").split())
    return visit.page("backtest.html", found=found, text=visit.form["policy"], tasks=visit.form.get("tasks", ""))


def propose(visit: Visit) -> Response:
    """Propose the policy in the form, with what its backtest finds."""
    with _file(visit) as path:
        said = changing.propose(visit.acting(), path, visit.reason())
    return visit.go("policies", said=said)


def approve(visit: Visit) -> Response:
    """Sign what another person proposed."""
    said = changing.approve(visit.acting(), visit.part("name"), visit.person.name, visit.reason())
    return visit.go("policies", said=said)


def _law(visit: Visit) -> dict[str, Any]:
    law = visit.desk.projection.now().law
    return {"in_force": list(law.in_force.values()), "waiting": list(law.waiting.values())}


@contextmanager
def _file(visit: Visit) -> Iterator[Path]:
    """The form's policy as the file that the command line would be given. Raises BadInput for an empty one."""
    text = visit.form.get("policy", "")
    if not text.strip():
        raise BadInput("the policy is empty; paste one, such as configs/policies/strict.yaml")
    with TemporaryDirectory() as folder:
        path = Path(folder) / "policy.yaml"
        path.write_text(text, encoding="utf-8")
        yield path


PAGES = (
    Page("/policies", policies),
    Page("/policies/backtest", backtest, method="POST"),
    Page("/policies/propose", propose, "propose-policy", "POST"),
    Page("/policies/approve/{name}", approve, "approve-policy", "POST"),
    Page("/policies/{digest}", policy),
)
