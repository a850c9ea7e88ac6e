"""Ratings become evidence only when all prompts are rated, only for these answers; the check judges the win rate."""

from typing import Any

import pytest

from eval.feedback.entry import Entry
from eval.feedback.evidence import NOT_YET, SKIPPED, WAITS, Sheet, Side, missing, preference_evidence, ratings
from eval.task import Item
from tunegate_core.records import ArmStatistics, Evidence
from tunegate_core.stats import arm_interval

CANDIDATE, BASE = "sha256:" + "a" * 64, "sha256:" + "b" * 64


def sheet(count: int, raters: int = 1, alike: int = 0) -> Sheet:
    items = tuple(Item(f"p{n}", f"prompt {n}", None, None, f"p{n}") for n in range(count))
    ours = tuple(f"ours {n}" for n in range(count))
    theirs = tuple(ours[n] if n < alike else f"theirs {n}" for n in range(count))
    return Sheet("chat", "sha256:" + "c" * 64, raters, items, "base", Side("bot@1", CANDIDATE, ours),
                 Side("base", BASE, theirs))  # fmt: skip


def said(number: int, value: str, author: str = "ann", **changes: Any) -> Entry:
    """`value`: candidate, base, tie or skip; the base is shown first for odd numbers."""
    sides = [("bot@1", f"ours {number}"), ("base", f"theirs {number}")][:: -1 if number % 2 else 1]
    (a, answer_a), (b, answer_b) = sides
    told = {"candidate": "a" if a == "bot@1" else "b", "base": "b" if a == "bot@1" else "a"}.get(value, value)
    fields: dict[str, Any] = {
        "kind": "preference", "item": f"p{number}", "author": author, "source": "page", "origin": "test",
        "a": a, "b": b, "answer_a": answer_a, "answer_b": answer_b, "value": told,
    }  # fmt: skip
    return Entry(**{**fields, **changes})


def measured(evidence: Evidence) -> ArmStatistics:
    return next(arm for arm in evidence.arms if arm.arm == "candidate")


def test_nothing_counts_before_every_prompt_is_rated() -> None:
    paper = sheet(20)
    almost = preference_evidence(paper, [said(n, "candidate") for n in range(19)], "s", "x")
    assert measured(almost).clusters == () and almost.pairs[0].clusters == ()
    assert measured(almost).unmeasured == {NOT_YET: 1, WAITS: 19}
    whole = preference_evidence(paper, [said(n, "candidate") for n in range(20)], "s", "x")
    assert measured(whole).unmeasured == {} and len(measured(whole).clusters) == 20


def test_win_rate_is_wilsons_where_nobody_ties() -> None:
    from statsmodels.stats.proportion import proportion_confint

    entries = [said(n, "candidate" if n < 26 else "base") for n in range(40)]
    evidence = preference_evidence(sheet(40), entries, "s", "x")
    interval = arm_interval(measured(evidence), evidence.scale, 0.95)
    assert evidence.scale == "binary"
    assert [interval.low, interval.high] == pytest.approx(proportion_confint(26, 40, alpha=0.1, method="wilson"))
    pair = evidence.pairs[0]
    assert sum(c.candidate for c in pair.clusters) == 26 and sum(c.reference for c in pair.clusters) == 14


def test_a_prompts_score_is_the_mean_of_its_raters() -> None:
    entries = [
        *(said(n, "candidate") for n in range(12)),
        *(said(n, "base", "ben") for n in range(6)),
        *(said(n, "tie", "ben") for n in range(6, 11)),
        said(11, "skip", "ben"),
    ]
    evidence = preference_evidence(sheet(12, raters=2), entries, "s", "x")
    assert sorted(total for _, total, _ in measured(evidence).clusters) == [0.5] * 6 + [0.75] * 5 + [1.0]
    assert evidence.scale == "share"
    assert evidence.people == 2


def test_only_the_first_so_many_people_count() -> None:
    entries = [*(said(n, "candidate") for n in range(12)), *(said(n, "base", "ben") for n in range(12))]
    evidence = preference_evidence(sheet(12), entries, "s", "x")
    assert sum(total for _, total, _ in measured(evidence).clusters) == 12
    assert evidence.people == 1
    assert preference_evidence(sheet(12), entries[:11], "s", "x").people is None


def test_the_same_answer_twice_is_a_tie_and_nobody_is_asked() -> None:
    paper = sheet(12, alike=2)
    entries = [said(n, "candidate") for n in range(2, 12)]
    assert missing(paper, ratings(paper, entries)) == 0
    assert sum(total for _, total, _ in measured(preference_evidence(paper, entries, "s", "x")).clusters) == 11


def test_what_everybody_skipped_is_not_measured() -> None:
    entries = [*(said(n, "candidate") for n in range(11)), said(11, "skip")]
    evidence = preference_evidence(sheet(12), entries, "s", "x")
    assert measured(evidence).unmeasured == {SKIPPED: 1} and evidence.pairs[0].unmeasured == 1


@pytest.mark.parametrize(
    "changes", [{"answer_a": "something else"}, {"answer_b": None}, {"a": "bot@2"}, {"item": "p99"}], ids=str
)
def test_what_is_about_other_answers_does_not_count(changes: dict[str, Any]) -> None:
    assert ratings(sheet(4), [said(0, "candidate", **changes)]) == {}


def test_a_sheet_reads_back() -> None:
    paper = sheet(3, raters=2, alike=1)
    assert Sheet.from_json(paper.to_json()) == paper
