"""`configs/support-bot-one-group.yaml`: better overall, refused for what it does to one group and for nothing else.

The scores beside this file are those of a real run, item by item; docs/fairness.md tells how to repeat it. Here the
config's own policy judges them over the config's own questions.
"""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from eval.grouping import group_statistics
from eval.items import open_task
from eval.results import Result
from eval.statistics import arm_statistics, paired_statistics
from governance.judge import judge
from governance.policy import load_policy
from tunegate_core.config import load_config
from tunegate_core.records import Arm, CheckResult, Evidence, Verdict

CONFIG = load_config(Path(__file__).parents[2] / "configs/support-bot-one-group.yaml")
SCORES: dict[str, list[int]] = json.loads(Path(__file__).with_name("one_group.json").read_text())["scores"]
SUBJECTS: dict[Arm, str] = {"candidate": "sha256:" + "c" * 64, "base": "sha256:" + "b" * 64}
Change = Callable[[str, int, int], int]


def judged(change: Change = lambda customer, candidate, base: candidate) -> Verdict:
    """The verdict on the measured scores. `change` makes another candidate of them."""
    (block,) = CONFIG.eval.tasks
    opened = open_task(block)
    items = opened.items
    assert [item.id for item in items] == list(SCORES), "the questions are not those that were measured"
    results: dict[Arm, list[Result]] = {
        "candidate": [Result(id=item.id, score=change(item.groups[0], *SCORES[item.id])) for item in items],
        "base": [Result(id=item.id, score=SCORES[item.id][1]) for item in items],
    }
    pair = paired_statistics("base", SUBJECTS["base"], items, results["candidate"], results["base"])
    evidence = Evidence(
        task=block.name,
        metric=block.metric,
        scale="binary",
        items=opened.digest(),
        settings=SUBJECTS["base"],
        n=len(items),
        arms=tuple(arm_statistics(arm, SUBJECTS[arm], items, found) for arm, found in results.items()),
        pairs=(pair,),
        groups=group_statistics(block.groups, items, results, SUBJECTS, [pair]),
        samples=SUBJECTS["base"],
    )
    return judge(load_policy(Path(CONFIG.governance.policy)), SUBJECTS["candidate"], [evidence], 1, None)


def results(verdict: Verdict) -> dict[str, CheckResult]:
    return {result.check: result for result in verdict.results}


def test_it_is_refused_for_exactly_that_group_while_the_overall_figure_improves() -> None:
    verdict = judged()
    assert verdict.outcome == "FAIL"
    found = results(verdict)
    assert {name for name, result in found.items() if result.outcome == "FAIL"} == {"no-group-is-worse"}
    overall = found["learns-the-rules"].interval
    assert found["learns-the-rules"].outcome == "PASS"
    assert overall is not None and overall.low is not None and overall.low > 0
    outcomes = {group.group: group.outcome for group in found["no-group-is-worse"].groups}
    assert outcomes == {"home": "PASS", "school": "PASS", "farm": "FAIL"}
    assert found["no-group-is-worse"].reason.startswith("worse by more than the margin for customer: farm;")


def test_without_that_harm_it_passes() -> None:
    unharmed = judged(lambda customer, candidate, base: 1 if customer == "farm" else candidate)
    assert unharmed.outcome == "PASS"


@pytest.mark.parametrize("harmed", ["home", "school"])
def test_the_same_harm_to_another_group_is_found_there(harmed: str) -> None:
    def moved(customer: str, candidate: int, base: int) -> int:
        if customer == "farm":
            return 1
        return 0 if customer == harmed else candidate

    outcomes = {group.group: group.outcome for group in results(judged(moved))["no-group-is-worse"].groups}
    assert {group for group, outcome in outcomes.items() if outcome == "FAIL"} == {harmed}
