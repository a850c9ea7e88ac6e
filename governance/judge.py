"""Evidence and a policy become a verdict: pure, and the same for the same inputs.

FAIL if any check fails, else UNDECIDED if any is undecided, else PASS. Every check is judged and every reason kept,
not just the first. No evidence is never a pass.
"""

from collections.abc import Mapping, Sequence

from governance.check import CheckBlock, ComparingBlock, find_evidence, not_measured
from governance.policy import Policy
from tunegate_core.records import CheckResult, Evidence, Figure, Outcome, Record, Verdict
from tunegate_core.stats import arm_interval, detectable

FIGURE_CONFIDENCE = 0.95


class Foresight(Record):
    """What one check can tell with the items it has, before anything is trained."""

    check: str
    detectable: float | None
    warning: bool
    what: str


def judge(policy: Policy, subject: str, evidence: Sequence[Evidence], attempt: int) -> Verdict:
    """The verdict on an adapter (`subject` is its tree). `attempt` counts the candidates judged on these items."""
    results = []
    for check, block in policy.blocks():
        fitting = find_evidence(evidence, block)
        why = _unfit(fitting, block, subject)
        results.append(not_measured(block, why) if why else check.judge(block, fitting[0]))
    return Verdict(
        outcome=outcome_of(results),
        policy=policy.digest(),
        subject=subject,
        evidence=tuple(item.digest() for item in evidence),
        attempt=attempt,
        results=tuple(results),
        figures=tuple(figure for item in evidence for figure in _figures(item)),
    )


def outcome_of(results: Sequence[CheckResult]) -> Outcome:
    """The policy's rule over its checks; UNDECIDED when there are none."""
    outcomes = {result.outcome for result in results}
    if "FAIL" in outcomes:
        return "FAIL"
    return "PASS" if outcomes == {"PASS"} else "UNDECIDED"


def foresee(policy: Policy, sets: Mapping[str, tuple[int, int]]) -> list[Foresight]:
    """For each comparing check, the smallest difference its items can detect. `sets`: task -> (items, clusters)."""
    found = []
    for check, block in policy.blocks():
        if not isinstance(block, ComparingBlock) or block.task not in sets:
            continue
        n, clusters = sets[block.task]
        least = detectable(n, confidence=block.confidence)
        margin = abs(check.threshold(block))
        weak = least is None or (margin > 0 and least > margin)
        what = f"{n} items in {clusters} clusters can show a difference of " + (
            f"{100 * least:.1f} points (80 % power, 20 % of items answered differently)" if least else "nothing"
        )
        if weak:
            what += f"; the margin is {100 * margin:.1f} points, so an equal candidate may end UNDECIDED"
        found.append(Foresight(check=block.id, detectable=least, warning=weak, what=what))
    return found


def _unfit(fitting: Sequence[Evidence], block: CheckBlock, subject: str) -> str | None:
    """Why the evidence found for a check can't be judged; None when it can."""
    if len(fitting) != 1:
        metric = getattr(block, "metric", None)
        what = f"the task '{block.task}'" + (f" and the metric '{metric}'" if metric else "")
        return (
            f"there is no evidence for {what}" if not fitting else f"{len(fitting)} pieces of evidence are for {what}"
        )
    if fitting[0].n == 0:
        return f"the task '{block.task}' has no items"
    candidates = [arm.subject for arm in fitting[0].arms if arm.arm == "candidate"]
    return None if candidates == [subject] else "the evidence is not about this adapter"


def _figures(evidence: Evidence) -> list[Figure]:
    return [
        Figure(
            task=evidence.task,
            metric=evidence.metric,
            arm=arm.arm,
            interval=arm_interval(arm, evidence.scale, FIGURE_CONFIDENCE),
            unmeasured=arm.unmeasured,
        )
        for arm in evidence.arms
    ]
