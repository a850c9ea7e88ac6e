"""A policy tried on the past: every candidate that was judged is judged again from the evidence that was stored.

Nothing is run and nothing is recorded: evidence keeps sufficient statistics, and bounds are pure functions of them. The
verdict that was recorded is judged again too, under the policy of its plan: where that does not give the recorded
outcome, the row says so, because then the comparison speaks of something else than the policy.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import Field

from governance.judge import judge
from governance.policy import Policy
from tunegate_core.records import CheckResult, Evidence, Outcome, Record, Verdict


@dataclass(frozen=True)
class Past:
    """A candidate that was judged: its stored evidence, the policy of its plan, and the verdict recorded then.

    `champion` is the tree of the planned champion; `approvals`: how many people said yes.
    """

    subject: str
    adapter: str
    policy: Policy
    evidence: tuple[Evidence, ...]
    verdict: Verdict
    champion: str | None
    approvals: int


class ChangedCheck(Record):
    """One check whose result differs; None where one of the two policies has no such check."""

    check: str
    before: Outcome | None
    after: Outcome | None
    why: str


class Retried(Record):
    """One candidate under both policies. `repeats`: judging it again under its own policy gives what was recorded."""

    subject: str
    before: Outcome
    after: Outcome
    changed: bool
    repeats: bool
    checks: tuple[ChangedCheck, ...]
    reasons: tuple[str, ...]
    approvals_given: int
    approvals_asked: int


class Backtest(Record):
    """What a policy would have said. `policy` is its digest; `skipped`: who could not be judged, and why."""

    policy: str
    name: str
    rows: tuple[Retried, ...]
    changed: int
    skipped: Mapping[str, str] = Field(default_factory=dict)


def retry(policy: Policy, past: Past) -> Retried:
    """One candidate judged by the policy. Raises IntegrityError for evidence that is not about it."""
    old = past.verdict
    new = judge(policy, past.adapter, past.evidence, old.attempt, past.champion)
    again = judge(past.policy, past.adapter, past.evidence, old.attempt, past.champion)
    return Retried(
        subject=past.subject,
        before=old.outcome,
        after=new.outcome,
        changed=new.outcome != old.outcome,
        repeats=(again.outcome, _outcomes(again)) == (old.outcome, _outcomes(old)),
        checks=_differences(old.results, new.results),
        reasons=tuple(f"{result.check}: {result.outcome}: {result.reason}" for result in new.results),
        approvals_given=past.approvals,
        approvals_asked=policy.approvals.required,
    )


def called(policy: Policy, tasks: Mapping[str, str]) -> Policy:
    """The policy with its tasks called as the past candidates' were: `tasks` maps the policy's names to theirs."""
    checks: list[dict[str, Any]] = [{**raw, "task": tasks.get(raw["task"], raw["task"])} for raw in policy.checks]
    return policy.model_copy(update={"checks": tuple(checks)})


def _outcomes(verdict: Verdict) -> list[Outcome]:
    return [result.outcome for result in verdict.results]


def _differences(old: Sequence[CheckResult], new: Sequence[CheckResult]) -> tuple[ChangedCheck, ...]:
    before, after = ({result.check: result for result in results} for results in (old, new))
    found = []
    for check in dict.fromkeys([*before, *after]):
        was, is_now = before.get(check), after.get(check)
        outcomes = (was.outcome if was else None, is_now.outcome if is_now else None)
        if outcomes[0] != outcomes[1]:
            why = is_now.reason if is_now else "the policy has no such check"
            found.append(ChangedCheck(check=check, before=outcomes[0], after=outcomes[1], why=why))
    return tuple(found)
