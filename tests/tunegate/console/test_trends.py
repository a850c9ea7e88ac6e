"""Fairness over time: each group of each judged version with its bounds, its evidence, and nothing made up."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.tunegate.console.test_pages import EVIL, waiting
from tunegate import reading
from tunegate.house import House
from tunegate.recording import append, record_once, standing
from tunegate_core.records import ArmStatistics, Evidence, GroupStatistics

Visitor = Callable[..., Any]


def score(right: int, wrong: int) -> tuple[tuple[int, float, float], ...]:
    return ((1, 1.0, 1.0),) * right + ((1, 0.0, 0.0),) * wrong


def tell(house: House, version: int, groups: dict[str, tuple[tuple[int, float, float], ...]], **other: Any) -> str:
    """A candidate like bot@4 whose evidence names groups."""
    told, subject = standing(house, "bot@4"), f"bot@{version}"
    found = reading.evidence_of(house, told.body("examined")["evidence"][0])
    tree = told.adapter.tree
    named, at = [], 0
    for value, clusters in groups.items():
        arm = ArmStatistics(arm="candidate", subject=tree, clusters=clusters)
        numbers = tuple(range(at, at + len(clusters)))
        at += len(clusters)
        named.append(GroupStatistics(
            column="language", value=value, n=len(clusters), clusters=numbers, arms=(arm,), pairs=()
        ))  # fmt: skip
    evidence = Evidence.model_validate(
        {**found.model_dump(), "groups": [group.model_dump() for group in named], **other}
    )
    blob = house.store.put(evidence.canonical())
    body = {**told.planned.model_dump(mode="json"), "version": version, "run": f"run-{version}"}
    with house.ledger.write() as tx:
        append(house, tx, subject, "planned", body, f"plan/{version}")
    record_once(house, subject, "sealed", lambda: told.body("sealed"))
    record_once(house, subject, "examined", lambda: {"evidence": [blob]})
    record_once(house, subject, "judged", lambda: told.body("judged"))
    return blob


def test_each_version_has_its_row_and_each_group_its_bounds(visitor: Visitor, house: House) -> None:
    blobs = [
        tell(house, 7, {"en": score(90, 10), "de": score(88, 12)}),
        tell(house, 8, {"en": score(92, 8), "de": score(60, 40), "fr": ()}),
    ]
    browser = visitor("auditor")
    page = browser.get("/routes/bot/fairness").text
    rows = page.partition("<tbody>")[2].partition("</tbody>")[0].split("<tr>")[1:]
    assert ["bot@7" in rows[0], "bot@8" in rows[1], len(rows)] == [True, True, 2]
    assert "90.0" in rows[0] and "88.0" in rows[0] and "2.0" in rows[0] and "n 100" in rows[0]
    assert "60.0" in rows[1] and rows[1].count("not measured") == 2  # fr, and so how far they lie apart
    assert rows[0].count("not measured") == 1  # fr was no group then
    assert all(f"/records/{blob}" in row for blob, row in zip(blobs, rows, strict=True))
    assert "en: from 90.0 to 92.0; de: from 88.0 to 60.0; fr: not measured" in page
    assert 'href="/routes/bot/fairness"' in browser.get("/releases/bot@7").text
    assert 'href="/routes/bot/fairness"' in browser.get("/").text


def test_other_items_break_the_line(visitor: Visitor, house: House) -> None:
    groups = {"en": score(90, 10), "de": score(88, 12)}
    tell(house, 7, groups)
    tell(house, 8, groups)
    tell(house, 9, groups, items="sha256:" + "1" * 64)
    page = visitor("auditor").get("/routes/bot/fairness").text
    assert page.count("other items than before") == 1
    lines = [part.partition('"')[0] for part in page.split('class="line" d="')[1:]]
    assert [(line.count("M"), line.count("L")) for line in lines] == [(2, 1), (2, 1)]


def test_without_groups_it_says_that_nothing_was_measured(visitor: Visitor) -> None:
    page = visitor("auditor").get("/routes/bot/fairness").text
    assert "nothing about groups was measured" in page and "no finding of fairness" in page


def test_many_versions_are_turned_page_by_page(visitor: Visitor, house: House) -> None:
    for version in range(7, 21):
        waiting(house, version)
    browser = visitor("auditor")
    assert 'rel="next" href="/routes/bot/fairness?first=10"' in browser.get("/routes/bot/fairness").text
    assert 'rel="prev"' in browser.get("/routes/bot/fairness?first=10").text


@pytest.mark.parametrize("path", ["/routes/bot/fairness", "/releases/bot@7", "/releases/bot@7/fairness.html",
                                  "/releases/bot@7/documents/evaluation-report"])  # fmt: skip
def test_names_of_groups_are_text(visitor: Visitor, house: House, path: str) -> None:
    """They come from the rows of a data set."""
    tell(house, 7, {EVIL: score(9, 1), "de": score(5, 5)}, task="<img src=x onerror=alert(2)>")
    page = visitor("auditor").get(path)
    assert page.status_code == 200 and "<script>alert" not in page.text and "<img src=x" not in page.text
    if path.endswith("fairness"):
        assert "&lt;/script&gt;" in page.text and "&lt;img src=x" in page.text
