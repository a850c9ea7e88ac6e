"""Comparing on a page: blind, sides drawn, one record a click, resumed where it was left, nobody else's said."""

import html
import re
from collections.abc import Callable
from typing import Any

import pytest

from eval.feedback.blind import shown
from eval.feedback.entry import Entry
from tests.tunegate.console.conftest import Browser
from tests.tunegate.rated import said, tell
from tunegate.console.compared import Compared
from tunegate.feedback import enter, record, recorded
from tunegate.house import House
from tunegate.rating import sheets
from tunegate.recording import standing
from tunegate.release import evaluate

HERE = "/annotate/liked@1/chat"
ITEM = re.compile(r'name="item" value="([^"]+)"')
ANSWERS = re.compile(r'<div class="words" dir="auto">((?:ours|theirs) \d+)</div>')


EVIL = "</textarea></div><script>alert(1)</script><img src=x onerror=alert(1)> {{ 7*7 }} \u202eturned\u2066"


@pytest.fixture
def waiting(house: House) -> House:
    """A candidate whose twelve prompts wait for people."""
    tell(house, prompts=12)
    return house


def rate(browser: Browser, choice: str, **more: str) -> Any:
    page = browser.get(HERE).text
    (item,) = ITEM.findall(page)
    return browser.fill(HERE, item=item, choice=choice, **more)


def entries(house: House) -> list[Entry]:
    return [entry for entry in recorded(house).entries if entry.source == "page"]


def test_the_page_never_says_who_answered(waiting: House, visitor: Callable[..., Browser]) -> None:
    page = visitor("reviewer").get(HERE).text
    main = page[page.index("<form id") : page.index("</main>")].replace(HERE, "")
    assert len(ANSWERS.findall(main)) == 2
    assert "base" not in main and "liked@1" not in main and "candidate" not in main


def test_what_was_clicked_is_recorded_for_the_side_that_was_shown(
    waiting: House, visitor: Callable[..., Browser]
) -> None:
    browser = visitor("reviewer")
    page = browser.get(HERE).text
    first, second = ANSWERS.findall(page)
    assert rate(browser, "first", reason="it is shorter").status_code == 200
    (entry,) = entries(waiting)
    assert (entry.answer_a, entry.answer_b, entry.value, entry.author) == (first, second, "a", "reviewer")
    assert entry.a == ("liked@1" if first.startswith("ours") else "base") and entry.reason == "it is shorter"
    assert waiting.existing_ledger.events(kind="feedback")[-1].body["kinds"] == {"preference": 1}
    assert "1 of 12 rated by you" in browser.get(HERE).text


def test_sides_and_order_are_drawn_and_stay(waiting: House) -> None:
    (sheet,) = sheets(waiting, "liked@1")
    ann, ben = shown(sheet, "ann"), shown(sheet, "ben")
    assert ann == shown(sheet, "ann")
    assert {one.item.id for one in ann} == {one.item.id for one in ben}
    assert [one.item.id for one in ann] != [one.item.id for one in ben]
    many = [one.first.name for name in map(str, range(200)) for one in shown(sheet, name)]
    share = many.count("base") / len(many)
    assert abs(share - 0.5) < 3 * (0.25 / len(many)) ** 0.5


def test_who_comes_back_goes_on_and_others_begin(waiting: House, visitor: Callable[..., Browser]) -> None:
    for choice in ("first", "second", "tie", "skip"):
        rate(visitor("reviewer"), choice)
    assert "4 of 12 rated by you" in visitor("reviewer").get(HERE).text
    assert "0 of 12 rated by you" in visitor("trainer").get(HERE).text
    assert [entry.value for entry in entries(waiting)][2:] == ["tie", "skip"]


def test_the_first_page_says_what_waits_for_who_may_compare(waiting: House, visitor: Callable[..., Browser]) -> None:
    told = "Answers for you to compare"
    browser = visitor("reviewer")
    assert told in browser.get("/").text and f'href="{HERE}"' in browser.get("/").text
    for _ in range(12):
        rate(browser, "tie")
    assert told not in browser.get("/").text
    assert told in visitor("trainer").get("/").text
    assert told not in visitor("auditor").get("/").text


def test_undo_is_a_record_and_shows_the_prompt_again(waiting: House, visitor: Callable[..., Browser]) -> None:
    browser = visitor("reviewer")
    rate(browser, "first")
    again = browser.fill(f"{HERE}/undo")
    (item,) = ITEM.findall(again.text)
    said = entries(waiting)
    assert [entry.value for entry in said] == ["a", "withdrawn"] and said[0].item == item
    assert "0 of 12 rated by you" in again.text
    assert browser.fill(f"{HERE}/undo").status_code == 400


def test_ratings_and_corrections_beside_a_comparison(waiting: House, visitor: Callable[..., Browser]) -> None:
    browser = visitor("reviewer")
    _, second = ANSWERS.findall(browser.get(HERE).text)
    rate(browser, "tie", rating_1="4", correction_2="say it <b>so</b>")
    kinds = {entry.kind: entry for entry in entries(waiting)}
    assert kinds["rating"].value == 4
    assert (kinds["correction"].answer_a, kinds["correction"].correction) == (second, "say it <b>so</b>")


def test_when_all_is_rated_the_candidate_is_judged_by_it(waiting: House, visitor: Callable[..., Browser]) -> None:
    browser = visitor("reviewer")
    for _ in range(12):
        first, _ = ANSWERS.findall(browser.get(HERE).text)
        rate(browser, "first" if first.startswith("ours") else "second")
    said = browser.get(HERE).text
    assert "You have rated every prompt" in said and "tunegate evaluate liked@1" in said
    evaluate(waiting, "liked@1")
    assert standing(waiting, "liked@1").body("judged")["outcome"] == "PASS"
    assert "liked@1" not in browser.get("/annotate").text.partition("<main")[2]


def test_prompts_answers_and_ids_are_text(house: House, visitor: Callable[..., Browser]) -> None:
    """Nothing in them is markup or turns what follows around; an id that holds such things can be rated as well."""
    tell(house, prompts=2, more=EVIL)
    browser = visitor("reviewer")
    assert rate(browser, "first", reason=EVIL, correction_1=EVIL).status_code == 200
    for page in (browser.get(HERE).text, browser.get(f"{HERE}?at=1").text, browser.get("/annotate").text):
        assert "<script>alert" not in page and "<img src=x" not in page
        assert not set(page) & set("\u202e\u2066")
    assert page_text(browser.get(HERE).text).count("{{ 7*7 }} \\u202eturned\\u2066") == 3
    (preference, _) = entries(house)
    assert preference.item.endswith(EVIL) and preference.reason == EVIL and preference.answer_a.endswith(EVIL)


def page_text(page: str) -> str:
    return html.unescape(re.sub("<[^>]*>", "", page))


@pytest.mark.parametrize(
    "fields", [{"item": "p1", "choice": "third"}, {"item": "p1"}, {"item": "p99", "choice": "tie"}]
)
def test_nonsense_is_refused(fields: dict[str, str], waiting: House, visitor: Callable[..., Browser]) -> None:
    assert visitor("reviewer").fill(HERE, **fields).status_code in (400, 404)
    assert entries(waiting) == []


def test_only_annotators_annotate(waiting: House, visitor: Callable[..., Browser]) -> None:
    auditor = visitor("auditor")
    assert auditor.get(HERE).status_code == 403
    assert auditor.post(HERE, data={"csrf": auditor.token("/"), "item": "p1", "choice": "tie"}).status_code == 403
    assert visitor("reviewer").post(HERE, data={"item": "p1", "choice": "tie"}).status_code == 403
    assert visitor("reviewer").get("/annotate/nobody@1/chat").status_code == 404
    assert visitor("reviewer").get("/annotate/liked@1/other").status_code == 404
    assert entries(waiting) == []


def test_the_list_says_what_waits(waiting: House, visitor: Callable[..., Browser]) -> None:
    page = visitor("reviewer").get("/annotate").text
    assert "liked@1" in page and "Begin" in page and "0 of 12" in page and "12 of 12" in page


def test_a_page_reads_what_is_about_its_two_and_nothing_else(
    waiting: House, visitor: Callable[..., Browser], monkeypatch: pytest.MonkeyPatch
) -> None:
    """However much is said of others: a console reads each batch once, to learn whom it is about."""
    others = [said(n, True, a="old@1") for n in range(3)]
    for entry in others:
        enter(waiting, entry)
    record(waiting, [said(n, True, author="kim") for n in range(2)], "file")
    browser = visitor("reviewer")
    assert rate(browser, "first").status_code == 200
    browser.get("/annotate")
    read: list[str] = []
    get = type(waiting.rows).get
    monkeypatch.setattr(type(waiting.rows), "get", lambda rows, named: read.append(named) or get(rows, named))  # type: ignore[func-returns-value]

    def batches() -> list[str]:
        """What was read since, less the rows that hold the names of people."""
        known = [event.body["rows"] for event in waiting.existing_ledger.events("feedback")]
        found = [rows for rows in read if rows in known]
        read.clear()
        return found

    ours = [event.body["rows"] for event in waiting.existing_ledger.events("feedback")][len(others) :]
    for path in ("/annotate", HERE):
        assert browser.get(path).status_code == 200
        assert batches() == ours
    enter(waiting, said(5, True, a="old@1"))
    assert browser.get(HERE).status_code == 200
    assert len(batches()) == len(ours) + 1  # the new one once
    assert "1 of 12 rated by you" in browser.get(HERE).text
    assert batches() == ours


def test_an_older_ledger_in_its_place_is_read_anew(waiting: House) -> None:
    pair = ("liked@1", "base")
    compared = Compared(waiting)
    record(waiting, [said(1, True), said(2, False)], "file")
    assert (
        [entry.item for entry in compared.of(*pair)]
        == ["p1", "p2"]
        == [entry.item for entry in compared.of(*reversed(pair))]
    )
    record(waiting, [said(1, True, value="withdrawn")], "file")
    assert [entry.item for entry in compared.of(*pair)] == ["p2"]
    compared._size = 10**9
    assert compared.of(*pair) == [entry for entry in recorded(waiting).standing() if entry.item == "p2"]
