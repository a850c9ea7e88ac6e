"""Comparing answers without knowing whose they are: one prompt at a time, by keyboard, left and resumed at will.

The browser never learns who answered. It sends first, second, tie or skip; which of the two that was is drawn again
here, from person and prompt. Every click is recorded before the next prompt is shown; undoing is another record.
"""

from collections.abc import Sequence
from datetime import UTC
from typing import Any
from urllib.parse import unquote

from starlette.responses import RedirectResponse, Response

from eval.feedback.blind import Shown, shown
from eval.feedback.entry import BEST_RATING, TEXT_CHARACTERS, WITHDRAWN, Entry
from eval.feedback.evidence import Sheet, missing, ratings
from tunegate.console.visit import Page, Visit
from tunegate.feedback import enter
from tunegate.rating import open_subjects, sheets
from tunegate_core.errors import BadInput, NotFound

CHOICES = {"first": "a", "second": "b", "tie": "tie", "skip": "skip"}
CANDIDATES_LISTED = 50


def choose(visit: Visit) -> Response:
    """The sheets that wait for ratings, and how far this person is with each."""
    return visit.page("annotate.html", rows=waiting(visit))


def waiting(visit: Visit) -> list[dict[str, Any]]:
    """The sheets that wait for ratings: what `asked` and `done` are of this person, and what is `missing` of all."""
    rows = []
    for subject in open_subjects(visit.desk.projection.now().registry)[:CANDIDATES_LISTED]:
        for sheet in sheets(visit.house, subject):
            rated = ratings(sheet, _about(visit, sheet))
            asked = shown(sheet, visit.person.name)
            done = sum(visit.person.name in rated.get(one.item.id, {}) for one in asked)
            rows.append({"subject": subject, "sheet": sheet, "done": done, "asked": len(asked),
                         "missing": missing(sheet, rated)})  # fmt: skip
    return rows


def compare(visit: Visit) -> Response:
    """One prompt with both answers: the one asked for (`at`, from 1), or the next that this person has not rated."""
    sheet = _sheet(visit)
    asked, now = shown(sheet, visit.person.name), _about(visit, sheet)
    said = _said(visit, sheet, now)
    waiting = [one.index for one in asked if one.item.id not in said]
    given = visit.number("at")
    at = min(given, len(asked)) - 1 if given else (waiting[0] if waiting else None)
    is_whole = at is None and not missing(sheet, ratings(sheet, now))
    return visit.page(
        "annotate_item.html",
        sheet=sheet,
        asked=asked,
        done=len(asked) - len(waiting),
        one=asked[at] if at is not None and asked else None,
        mine=_mine(asked[at], said) if at is not None and asked else None,
        ratings=range(1, BEST_RATING + 1),
        address=_address(visit),
        subject=visit.part("subject"),
        is_whole=is_whole,
        undo_url=visit.url(*_address(visit), "undo") if said else None,
    )


def rate(visit: Visit) -> Response:
    """Record what was chosen, and what else was said about the two answers."""
    sheet = _sheet(visit)
    one = _asked(sheet, visit.person.name, unquote(visit.form.get("item", "")))
    choice = visit.form.get("choice", "")
    if choice not in CHOICES:
        raise BadInput(f"expected one of {', '.join(CHOICES)}; found {choice!r}")
    for entry in _entries(visit, one, CHOICES[choice]):
        enter(visit.house, entry)
    return visit.go(*_address(visit))


def undo(visit: Visit) -> Response:
    """Take back this person's last comparison on this sheet: a record that says so; then show it again."""
    sheet = _sheet(visit)
    said = _said(visit, sheet, _about(visit, sheet))
    if not said:
        raise BadInput("there is nothing to undo")
    last = list(said.values())[-1]
    at = _at(visit)
    enter(visit.house, last.model_copy(update={"value": WITHDRAWN, "reason": "undone on the page", "at": at}))
    one = _asked(sheet, visit.person.name, last.item)
    return RedirectResponse(visit.url(*_address(visit), at=one.index + 1), 303)


def _entries(visit: Visit, one: Shown, value: str) -> list[Entry]:
    """The comparison, and the ratings and corrections that were filled in beside it."""
    form = visit.form
    shared: dict[str, Any] = {
        "item": one.item.id, "author": visit.person.name, "at": _at(visit), "source": "page", "origin": "console",
        "prompt": one.item.text,
    }  # fmt: skip
    both: dict[str, Any] = {
        "a": one.first.name,
        "b": one.second.name,
        "answer_a": one.answers[0],
        "answer_b": one.answers[1],
    }
    reason = _text(form.get("reason", ""))
    entries = [Entry(kind="preference", value=value, reason=reason, **both, **shared)]
    for number, (side, answer) in enumerate(zip((one.first, one.second), one.answers, strict=True), start=1):
        about = {"a": side.name, "answer_a": answer, **shared}
        rating, correction = form.get(f"rating_{number}", ""), _text(form.get(f"correction_{number}", ""))
        if rating in {str(known) for known in range(1, BEST_RATING + 1)}:
            entries.append(Entry(kind="rating", value=int(rating), **about))
        if correction is not None and correction != answer:
            entries.append(Entry(kind="correction", correction=correction, **about))
    return entries


def _sheet(visit: Visit) -> Sheet:
    subject, task = visit.part("subject"), visit.part("task")
    for sheet in sheets(visit.house, subject):
        if sheet.task == task:
            return sheet
    raise NotFound(f"{subject} has no task '{task}' that people rate")


def _asked(sheet: Sheet, author: str, item: str) -> Shown:
    for one in shown(sheet, author):
        if one.item.id == item:
            return one
    raise NotFound(f"there is no prompt '{item}' to compare here")


def _about(visit: Visit, sheet: Sheet) -> list[Entry]:
    """What counts now of all that compares a sheet's two."""
    return visit.desk.compared.of(sheet.candidate.name, sheet.other.name)


def _said(visit: Visit, sheet: Sheet, now: Sequence[Entry]) -> dict[str, Entry]:
    """item -> what this person's comparison of it is now, oldest first."""
    own = [entry for entry in now if entry.author == visit.person.name]
    return {entry.item: entry for entry in own if entry.item in ratings(sheet, [entry])}


def _mine(one: Shown, said: dict[str, Entry]) -> str | None:
    """What this person chose, in the words of the sides they see."""
    entry = said.get(one.item.id)
    if entry is None or entry.value in ("tie", "skip"):
        return None if entry is None else str(entry.value)
    chosen = entry.a if entry.value == "a" else entry.b
    return "first" if chosen == one.first.name else "second"


def _address(visit: Visit) -> Sequence[str]:
    return ("annotate", visit.part("subject"), visit.part("task"))


def _at(visit: Visit) -> str:
    return visit.house.clock().astimezone(UTC).isoformat()


def _text(given: str) -> str | None:
    return given.strip()[:TEXT_CHARACTERS] or None


PAGES = (
    Page("/annotate", choose, "annotate"),
    Page("/annotate/{subject}/{task}", compare, "annotate"),
    Page("/annotate/{subject}/{task}", rate, "annotate", method="POST"),
    Page("/annotate/{subject}/{task}/undo", undo, "annotate", method="POST"),
)
