"""The drawing of a lineage: its boxes are what was recorded, each leads to its record, and none hides another."""

import re
from collections.abc import Callable
from typing import Any
from xml.etree import ElementTree

import pytest

from tests.tunegate.console.conftest import Browser
from tunegate.console.lineage import HEIGHT, LETTERS, MOST, WIDTH, Layer, Step, _drawn, _few

DRAWING = re.compile(r'<svg class="graph".*?</svg>', re.DOTALL)
EVIL = '</text><script>alert(1)</script>"&\u202e'


def drawing(page: str) -> Any:
    (found,) = DRAWING.findall(page)
    return ElementTree.fromstring(found)  # well formed, or it raises


def boxes(drawn: Any) -> list[tuple[str, str, str | None]]:
    """What each says, and where it leads."""
    told = []
    for box in drawn[1:]:
        what, name = (text.text for text in box.iter("text"))
        told.append((what, name, box.get("href")))
    return told


def places(drawn: Any) -> list[tuple[float, float]]:
    return [(float(rect.get("x")), float(rect.get("y"))) for rect in drawn.iter("rect")]


def test_a_release_is_drawn_from_its_data_to_its_route(visitor: Callable[..., Browser]) -> None:
    browser = visitor("auditor")
    drawn = drawing(browser.get("/releases/bot@1").text)
    told = boxes(drawn)
    assert [what for what, _, _ in told] == [
        "Config", "Base", "Adapter of", "Adapter", "Evidence", "Policy", "Verdict", "Release", "Route, champion",
    ]  # fmt: skip
    assert told[-1][1] == "bot" and told[4][1] == "facts" and told[6][1] == "PASS"
    for what, _, url in told:
        if what != "Adapter of":  # it was made elsewhere
            assert url is not None and browser.get(url).status_code == 200, what
    assert drawn.get("aria-label") == "Lineage of bot@1, from what it was made of to where it answers"
    assert all(link.get("aria-label") for link in drawn.iter("a"))


def test_what_is_not_recorded_leads_nowhere(visitor: Callable[..., Browser]) -> None:
    told = boxes(drawing(visitor("auditor").get("/releases/bot@4").text))
    assert told[-3:] == [("Approvals", "0 of 1", None), ("Release", "not yet", None), ("Route, no place", "bot", None)]


def test_what_was_refused_ends_there(visitor: Callable[..., Browser]) -> None:
    browser = visitor("auditor")
    told = boxes(drawing(browser.get("/releases/bot@2").text))
    assert [what for what, _, _ in told][-2:] == ["Verdict", "Refused"]
    assert "refused" in browser.get(str(told[-1][2])).text


def test_a_decision_is_a_step_of_its_own(visitor: Callable[..., Browser]) -> None:
    browser = visitor("reviewer")
    page = browser.get("/releases/bot@4").text
    verdict = re.search(r'name="verdict" value="([^"]+)"', page)
    browser.fill("/releases/bot@4/approve", verdict=verdict[1] if verdict else "", reason="fine")
    told = boxes(drawing(browser.get("/releases/bot@4").text))
    assert [(what, name) for what, name, _ in told][-3:-2] == [("Approval", "reviewer")]
    assert browser.get(str(told[-3][2])).status_code == 200 and told[-2][2] is not None


@pytest.mark.parametrize("many", [1, 2, MOST, MOST + 1, 40])
def test_boxes_stay_inside_and_apart_however_many_there_are(many: int) -> None:
    steps = _few([Step("Evidence", f"task {at}", f"/records/{at}") for at in range(many)], "pieces", "#measured")
    layers = [Layer(steps), Layer([Step("Verdict", "PASS", "/v", "pass")], Step("Policy", "p", "/p")), Layer(steps[:2])]
    drawn = ElementTree.fromstring(_drawn("bot@1", layers))
    width, height = (float(size) for size in str(drawn.get("viewBox")).split()[2:])
    found = sorted(places(drawn))
    assert len(found) == min(many, MOST) + 2 + min(many, 2)
    assert all(0 < x < width - WIDTH and 0 < y < height - HEIGHT for x, y in found)
    assert not any(
        abs(x - other_x) < WIDTH and abs(y - other_y) < HEIGHT
        for at, (x, y) in enumerate(found) for other_x, other_y in found[at + 1 :]
    )  # fmt: skip
    if many > MOST:
        assert (f"{many - MOST + 1} more", "pieces", "#measured") in boxes(drawn)


def test_what_people_wrote_stays_text() -> None:
    drawn = str(_drawn(EVIL, [Layer([Step(EVIL, EVIL + "x" * 99, '/records/"><script>')])]))
    assert "<script" not in drawn and "\u202e" not in drawn
    ((_, name, _),) = boxes(ElementTree.fromstring(drawn))
    assert name == "…" + "x" * (LETTERS - 1)
