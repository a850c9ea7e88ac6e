"""Evidence and a policy become a verdict: pure, and the same for the same inputs.

FAIL if any check fails, else UNDECIDED if any is undecided, else PASS. Every check is judged and every reason kept,
not just the first. No evidence is never a pass.
"""

from collections.abc import Mapping, Sequence

from governance.check import BoundBlock, Check, CheckBlock, ComparingBlock, find_evidence, not_measured
from governance.holm import HOLM, corrected
from governance.policy import Policy
from tunegate_core.errors import IntegrityError
from tunegate_core.records import CheckResult, Evidence, Figure, Outcome, Record, Verdict
from tunegate_core.stats import arm_interval, detectable

TESTS = (ComparingBlock, BoundBlock)  # checks that test a score; others count
FIGURE_CONFIDENCE = 0.95
DISCORDANCE = (0.1, 0.2)  # shares of items that a small adapter answers differently from its base, few and many
WORST_VARIANCE = 0.25  # of a yes/no score


class Foresight(Record):
    """What one check can tell with the items it has, before anything is trained."""

    check: str
    detectable: float | None
    warning: bool
    what: str


def judge(policy: Policy, subject: str, evidence: Sequence[Evidence], attempt: int, champion: str | None) -> Verdict:
    """The verdict on an adapter (`subject` is its tree). `attempt` counts the candidates judged on these items;
    `champion` is the tree of the planned champion, None where the route had none.

    Raises IntegrityError when the evidence compares with another champion, or with none where a check needs it.
    """
    blocks = policy.blocks()
    _verify_champion([block for _, block in blocks], evidence, champion)
    results = [_judge_check(check, block, subject, evidence) for check, block in blocks]
    if policy.rule == HOLM:
        alphas = {i: 1 - block.confidence for i, (_, block) in enumerate(blocks) if isinstance(block, TESTS)}

        def judge_at(index: int, level: float) -> CheckResult:
            check, block = blocks[index]
            return _judge_check(check, block.model_copy(update={"confidence": 1 - level}), subject, evidence)

        results = corrected(results, alphas, judge_at)
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


Sizes = Mapping[str, tuple[int, int]]


def foresee(policy: Policy, sets: Sizes, groups: Mapping[str, Mapping[str, Sizes]] | None = None) -> list[Foresight]:
    """For each check that tests a score, the smallest difference its items can detect. `sets`: task -> (items,
    clusters); `groups`: task -> column -> value -> the same, of which the smallest counts for a check by group; the
    items of a cluster are taken as independent, so the truth may be worse."""
    return [
        _foresee(block, check.threshold(block), *_smallest(block, sets[block.task], (groups or {}).get(block.task, {})))
        for check, block in policy.blocks()
        if isinstance(block, TESTS) and block.task in sets
    ]


def _smallest(block: CheckBlock, whole: tuple[int, int], columns: Mapping[str, Sizes]) -> tuple[int, int, str]:
    """What a check has to go by: the task's items, or those of its smallest group."""
    if "column" not in type(block).model_fields:
        return *whole, ""
    column = getattr(block, "column", None)
    sizes = [
        (*size, f" in the smallest group, {name}: {value}")
        for name, values in columns.items()
        if column in (None, name)
        for value, size in values.items()
    ]
    return min(sizes, default=(0, 0, f" in the groups of '{column or 'any column'}'"))


def _foresee(block: ComparingBlock | BoundBlock, threshold: float, n: int, clusters: int, where: str) -> Foresight:
    is_bound = isinstance(block, BoundBlock)
    few, many = (detectable(n, v, block.confidence) for v in ((WORST_VARIANCE,) * 2 if is_bound else DISCORDANCE))
    if few is None or many is None:
        return Foresight(check=block.id, detectable=None, warning=True, what=f"no items{where}: nothing can be shown")
    span = f"{100 * many:.1f} points (80 % power)"
    if not is_bound:
        span = f"{100 * few:.1f} to {100 * many:.1f} points (80 % power, 10 to 20 % of items answered differently)"
    is_weak = not is_bound and 0 < -threshold < many
    what = f"{n} items in {clusters} clusters{where} can show a difference of {span}"
    if is_weak:
        what += f"; the margin is {-100 * threshold:.1f} points, so an equal candidate may end UNDECIDED"
    elif not is_bound and threshold >= 0:
        what += f"; to pass with that power a candidate must be better by {100 * (threshold + many):.1f}"
    return Foresight(check=block.id, detectable=many, warning=is_weak, what=what)


def _verify_champion(blocks: Sequence[CheckBlock], evidence: Sequence[Evidence], champion: str | None) -> None:
    """The champion is the planned one: fixed before anything was measured, not chosen by what was measured."""
    for item in evidence:
        told = {arm.subject for arm in item.arms if arm.arm == "champion"}
        pairs = [*item.pairs, *(pair for group in item.groups for pair in group.pairs)]
        told |= {pair.reference_subject for pair in pairs if pair.reference == "champion"}
        if told - {champion}:
            raise IntegrityError(
                f"the evidence for '{item.task}' is about the champion {', '.join(sorted(told))}; planned was "
                f"{champion or 'none'}; plan a new candidate and examine that"
            )
    needing = [block for block in blocks if isinstance(block, ComparingBlock) and block.against == "champion"]
    for item in [item for block in needing for item in find_evidence(evidence, block)]:
        if champion is not None and all(arm.arm != "champion" for arm in item.arms):
            raise IntegrityError(
                f"the evidence for '{item.task}' is without the champion, and the policy compares with it; planned was "
                f"{champion}; plan a new candidate and examine that"
            )


def _judge_check(check: Check, block: CheckBlock, subject: str, evidence: Sequence[Evidence]) -> CheckResult:
    fitting = find_evidence(evidence, block)
    why = _unfit(fitting, block, subject)
    return not_measured(block, why) if why else check.judge(block, fitting[0])


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
            doubtful=arm.doubtful,
        )
        for arm in evidence.arms
    ]
