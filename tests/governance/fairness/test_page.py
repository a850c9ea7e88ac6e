"""The fairness report: figures from evidence alone, every text escaped, and nothing unmeasured that looks fine."""

import random
import re
import xml.etree.ElementTree as ET
from typing import Any

import pytest

from governance.fairness import Earlier, fairness_of, render_fairness, tables
from governance.fairness.page import sentences
from governance.fairness.plot import Line, forest, span_of
from tunegate_core.records import (
    ArmStatistics,
    CheckResult,
    Cluster,
    Evidence,
    GroupOutcome,
    GroupStatistics,
    Interval,
    PairedStatistics,
    Verdict,
)

Scores = list[tuple[int, int]]


def sums(scores: Scores, lost: int = 0) -> dict[str, Any]:
    clusters = tuple(
        Cluster(n=1, candidate=c, reference=r, cross=c * r, candidate_sq=c, reference_sq=r) for c, r in scores
    )
    empty = (Cluster(n=0, candidate=0, reference=0, cross=0, candidate_sq=0, reference_sq=0),) * lost
    own = tuple((1, float(c), float(c)) for c, _ in scores) + ((0, 0.0, 0.0),) * lost
    base = tuple((1, float(r), float(r)) for _, r in scores) + ((1, 1.0, 1.0),) * lost
    unmeasured = {"answer not parsed": lost} if lost else {}
    return {
        "n": len(scores) + lost,
        "arms": (
            ArmStatistics(arm="candidate", subject="a", clusters=own, unmeasured=unmeasured),
            ArmStatistics(arm="base", subject="b", clusters=base),
        ),
        "pairs": (
            PairedStatistics(reference="base", reference_subject="b", clusters=clusters + empty, unmeasured=lost),
        ),
    }


def evidence(groups: dict[str, tuple[Scores, int]], items: str = "i", **changes: Any) -> Evidence:
    told, start = [], 0
    for name, (scores, lost) in groups.items():
        found = sums(scores, lost)
        told.append(
            GroupStatistics(column="plan", value=name, clusters=tuple(range(start, start + found["n"])), **found)
        )
        start += found["n"]
    everything = [score for scores, _ in groups.values() for score in scores]
    whole = sums(everything, sum(lost for _, lost in groups.values()))
    fields = {"task": "t", "metric": "acc", "scale": "binary", "items": items, "settings": "s", "samples": "x"}
    return Evidence(**{**fields, **whole, "groups": tuple(told), **changes})


HOME: Scores = [(1, 0)] * 60 + [(1, 1)] * 120 + [(0, 0)] * 20
FARM: Scores = [(0, 1)] * 30 + [(1, 1)] * 60 + [(0, 0)] * 10


@pytest.fixture
def found() -> Evidence:
    return evidence({"home": (HOME, 0), "farm": (FARM, 0)})


def verdict(**changes: Any) -> Verdict:
    results = (
        CheckResult(
            check="nobody", outcome="FAIL", reason="worse for plan: farm",
            groups=(GroupOutcome(column="plan", group="farm", outcome="FAIL"),),
        ),
    )  # fmt: skip
    fields = {"outcome": "FAIL", "policy": "p", "subject": "a", "evidence": ("e",), "attempt": 1, "figures": ()}
    return Verdict(**{**fields, "results": results, **changes})


def test_figures_are_those_of_the_items(found: Evidence) -> None:
    column = fairness_of([found])[0]
    home, farm = column["rows"]
    assert (home["group"], home["n"], home["arms"]["candidate"]["value"]) == ("home", 200, 0.9)
    assert farm["against"]["base"]["value"] == pytest.approx(-0.3)
    ours = next(row for row in column["between"] if row["arm"] == "candidate")
    assert (ours["minimum"]["group"], ours["minimum"]["value"]) == ("farm", 0.6)
    assert ours["minimum"]["low"] < 0.6 < ours["minimum"]["high"] < 0.7
    assert ours["difference"]["value"] == pytest.approx(0.3)
    assert ours["ratio"]["value"] == pytest.approx(0.6 / 0.9)
    assert 0.5 < ours["ratio"]["low"] < 0.6 / 0.9 < ours["ratio"]["high"] < 0.85
    assert ours["difference"]["low"] > 0.15


def test_minimum_and_ratio_of_equal_groups_are_missed_seldom() -> None:
    """Three groups with the same true score: chance alone sets the smallest and the largest."""
    chance, true, runs = random.Random(11), 0.7, 400
    missed = dict.fromkeys(("minimum low", "minimum high", "ratio low", "ratio high"), 0)
    for _ in range(runs):
        drawn = evidence({name: ([(int(chance.random() < true), 1) for _ in range(60)], 0) for name in "abc"})
        smallest, ratio = tables._extremes(drawn, drawn.groups, "candidate")
        for name, bounds, value in (("minimum", smallest, true), ("ratio", ratio, 1.0)):
            missed[f"{name} low"] += bounds["low"] > value
            missed[f"{name} high"] += bounds["high"] < value
    assert max(missed.values()) / runs <= 0.05 + 3 * (0.05 * 0.95 / runs) ** 0.5, missed


def test_sentences_can_be_quoted(found: Evidence) -> None:
    told = sentences(fairness_of([found])[0])
    assert told[0].startswith("On the candidate, acc is between 60.0 % (farm, the group minimum) and 90.0 % (home)")
    assert any(one.startswith("For plan farm the candidate is worse than the base: -30.0 (") for one in told)
    assert any(one.startswith("For plan home the candidate is better than the base: +30.0 (") for one in told)


def test_lower_is_better_is_told_the_right_way_round(found: Evidence) -> None:
    told = sentences(fairness_of([found.model_copy(update={"higher_is_better": False})])[0])
    assert any("plan farm the candidate is better than" in one for one in told)


def test_a_group_without_a_score_gives_no_disparity_and_is_named() -> None:
    column = fairness_of([evidence({"home": (HOME, 0), "farm": ([], 30)})])[0]
    ours = column["between"][0]
    assert (ours["difference"], ours["ratio"], ours["minimum"]) == (None, None, None)
    assert column["small"] == ["farm"]
    page = render_fairness("bot@1", verdict(), [column])
    assert "only 1 of 2 groups could be measured, so no disparity is given" in page
    assert "<td>30</td>" in page


def test_without_groups_it_says_that_nothing_was_measured(found: Evidence) -> None:
    page = render_fairness("bot@1", verdict(), fairness_of([found.model_copy(update={"groups": ()})]))
    assert "nothing about groups was measured" in page


def test_the_page_stands_alone_and_repeats(found: Evidence) -> None:
    one, two = Earlier("bot@1", [found]), Earlier("bot@2", [evidence({"home": (HOME, 0), "farm": (FARM, 0)}, "other")])
    columns = fairness_of([found], [one, two, Earlier("bot@0", [])])
    page = render_fairness("bot@1", verdict(), columns, margin=0.1)
    assert page == render_fairness("bot@1", verdict(), columns, margin=0.1)
    assert not re.search(r"<script|<link|<img|@import|url\(|src=", page)
    assert "prefers-color-scheme: dark" in page
    assert page.count("<svg") == 2
    assert "bot@2 (other items)" in page
    assert "margin -10" in page
    assert "unbiased" not in page
    for svg in re.findall(r"<svg.*?</svg>", page):
        assert next(iter(ET.fromstring(svg))).tag.endswith("title")


def test_the_harmed_group_is_told_first_and_marked(found: Evidence) -> None:
    seen = Interval(value=-0.3, low=-0.38, high=-0.22, confidence=0.95, n=100, clusters=100, method="m")
    (check,) = verdict().results
    groups = (GroupOutcome(column="plan", group="farm", outcome="FAIL", interval=seen),)
    failed = check.model_copy(
        update={"groups": (*groups, GroupOutcome(column="plan", group="home", outcome="PASS"))}
    )  # fmt: skip
    page = render_fairness("bot@1", verdict(results=(failed,)), fairness_of([found]))
    lead = "Worse than the policy allows: plan farm (-30.0 points, -38.0 to -22.0, 100 items)."
    assert 0 < page.index(lead) < page.index("Verdict of its policy")
    assert "All items of t together, against the base: +10.0 (" in page
    assert re.findall(r'<strong\s+class="FAIL">(\w+), FAIL', page) == ["farm"]
    assert re.findall(r'class="label harmed"[^>]*>(\w+)<', page) == ["farm"]


def test_a_check_that_passes_or_can_not_tell_leads_as_such(found: Evidence) -> None:
    (check,) = verdict().results
    for outcome, lead in (("PASS", "Groups that pass: farm."), ("UNDECIDED", "Too little to tell: plan farm.")):
        told = check.model_copy(
            update={"outcome": outcome, "groups": (GroupOutcome(column="plan", group="farm", outcome=outcome),)}
        )
        page = render_fairness("bot@1", verdict(results=(told,)), fairness_of([found]))
        assert lead in page and ", FAIL" not in page and "together, against" not in page


def test_texts_of_others_are_escaped() -> None:
    nasty = "<script>x</script>"
    columns = fairness_of([evidence({nasty: (HOME, 0), "b&c": (FARM, 0)}, task=nasty)])
    page = render_fairness(nasty, verdict(), columns)
    assert "<script" not in page
    assert "b&amp;c" in page


def test_what_was_not_measured_is_written_not_drawn() -> None:
    svg = forest("t", [Line("a", None, None, None), Line("b", 0.1, 0.0, 0.2, text="10")], [], (-0.1, 0.2))
    assert svg.count("<circle") == 1
    assert "not measured" in svg


@pytest.mark.parametrize(
    ("lines", "expected"),
    [([], (0.0, 0.1)), ([Line("a", -0.12, -0.31, 0.02)], (-0.4, 0.1)), ([Line("a", None, None, None)], (0.0, 0.1))],
)
def test_the_axis_shows_everything(lines: list[Line], expected: tuple[float, float]) -> None:
    assert span_of(lines, [0.0]) == pytest.approx(expected)
