"""What people said: by batch and word for word, with what is erased left out and open ratings kept back."""

from collections.abc import Callable

from tests.tunegate.console.conftest import Browser
from tests.tunegate.rated import said, tell
from tunegate.feedback import record
from tunegate.house import House

EVIL = "</div><script>alert(1)</script><img src=x onerror=alert(1)> \u202eturned"


def test_words_are_shown_as_text(house: House, visitor: Callable[..., Browser]) -> None:
    told = [said(n, True, a="bot@1", kind=kind, **about) for n, (kind, about) in enumerate(
        {
            "preference": {"reason": EVIL, "answer_a": EVIL, "answer_b": EVIL, "prompt": EVIL, "author": EVIL},
            "correction": {"value": None, "b": None, "answer_b": None, "correction": EVIL, "item": EVIL},
            "rubric": {"value": 3, "b": None, "answer_b": None, "criterion": EVIL},
        }.items()
    )]  # fmt: skip
    record(house, told, "file")
    (event,) = house.ledger.events("feedback")
    browser = visitor("auditor")
    assert "1 correction, 1 preference, 1 rubric" in browser.get("/feedback").text
    assert f'href="/feedback/{event.seq}"' in browser.get(f"/ledger/{event.seq}").text
    page = browser.get(f"/feedback/{event.seq}").text
    assert "<script>alert" not in page and "<img src=x" not in page and "\u202e" not in page
    assert page.count("&lt;script&gt;alert(1)") == 8 and page.count("\\u202eturned") == 8


def test_what_was_erased_is_not_there(house: House, visitor: Callable[..., Browser]) -> None:
    record(house, [said(0, True, a="bot@1"), said(1, True, a="bot@1")], "file")
    (event,) = house.ledger.events("feedback")
    house.rows.erase(event.body["rows"], 0)
    page = visitor("auditor").get(f"/feedback/{event.seq}").text
    assert page.count('<p class="muted">erased</p>') == 1 and "ours 0" not in page and "ours 1" in page


def test_ratings_of_what_waits_are_kept_back(house: House, visitor: Callable[..., Browser]) -> None:
    """Who rates must not learn here whose an answer is, or what others think of it."""
    tell(house, prompts=3)
    record(house, [said(0, True), said(1, True, a="bot@1")], "file")
    (event,) = house.ledger.events("feedback")
    page = visitor("reviewer").get(f"/feedback/{event.seq}").text
    assert "Kept back" in page and "ours 0" not in page and "liked@1" not in page and "ours 1" in page


def test_batches_are_turned_over(house: House, visitor: Callable[..., Browser]) -> None:
    for number in range(51):
        record(house, [said(number, True, a="bot@1")], "file")
    browser, events = visitor("auditor"), house.ledger.events("feedback")
    first = browser.get("/feedback").text
    assert f">{events[-1].seq}</a>" in first and f">{events[0].seq}</a>" not in first
    assert f'href="/feedback?before={events[1].seq}"' in first
    assert f">{events[0].seq}</a>" in browser.get(f"/feedback?before={events[1].seq}").text


def test_what_is_no_batch_is_not_there(visitor: Callable[..., Browser]) -> None:
    for path in ("/feedback/0", "/feedback/x", "/feedback/" + "9" * 30, "/feedback/%F0%9D%9F%97"):
        assert visitor("auditor").get(path).status_code == 404
