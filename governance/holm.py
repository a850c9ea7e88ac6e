"""Holm's step-down procedure over a policy's tests for harm (Holm 1979, Scandinavian Journal of Statistics 6:65).

With m tests open, those that fail at the level alpha / m are harm for certain and close; this repeats until none does.
A check that fails by itself but stays open is UNDECIDED. The chance that a candidate without any harm fails is then at
most alpha over all checks together. It makes no PASS: that is still for every check to give.
"""

from collections.abc import Callable, Mapping, Sequence

from tunegate_core.records import CheckResult

HOLM = "any-harm-holm"


def corrected(
    results: Sequence[CheckResult],
    alphas: Mapping[int, float],
    judge_at: Callable[[int, float], CheckResult],
    what: str = "checks",
) -> list[CheckResult]:
    """`results` with the correction applied. `alphas`: the level of each check that is a test, by its index; the
    smallest is the level of all. `judge_at` judges one check at a level; `what` they are, in words."""
    is_open = set(alphas)
    while is_open:
        level = min(alphas.values()) / len(is_open)
        harmed = {index for index in is_open if judge_at(index, level).outcome == "FAIL"}
        if not harmed:
            break
        is_open -= harmed
    return [
        _told(result, index in is_open, f"{len(alphas)} {what}") if index in alphas else result
        for index, result in enumerate(results)
    ]


def _told(result: CheckResult, is_open: bool, count: str) -> CheckResult:
    if result.outcome != "FAIL":
        return result
    if is_open:
        told = f"{result.reason}; a FAIL by itself, but not after Holm's correction for {count}"
        return result.model_copy(update={"outcome": "UNDECIDED", "reason": told})
    return result.model_copy(update={"reason": f"{result.reason}; it stands after Holm's correction for {count}"})
