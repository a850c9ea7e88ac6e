"""What people said about answers: every batch, the newest first, and the words of one as far as they were not erased.

What is about a candidate that still waits for people is kept back: who rates must not read whose an answer is, nor how
the ratings stand, before everything is rated.
"""

from starlette.responses import Response

from eval.feedback.entry import Entry
from tunegate.console.visit import Page, Visit
from tunegate.feedback import RECORDED
from tunegate.rating import open_subjects
from tunegate_core.errors import NotFound

STEP = 50
ENTRIES = 25


def batches(visit: Visit) -> Response:
    """The batches: where each came from, and what it holds."""
    events = []
    if visit.house.has_ledger:
        ledger = visit.house.existing_ledger
        start = visit.number("before") or ledger.size()
        events = ledger.events(RECORDED, limit=STEP + 1, before=start)
    older = events[STEP - 1].seq if len(events) > STEP else None
    return visit.page("feedback.html", rows=events[:STEP], older=older)


def batch(visit: Visit) -> Response:
    """One batch, a page of its entries. Raises NotFound for an event that is none."""
    said, first = visit.part("batch"), visit.number("first")
    start = int(said) if said.isascii() and said.isdigit() and len(said) < 16 else None
    found = visit.house.existing_ledger.events(RECORDED, start=start, limit=1) if start is not None else []
    if not found or found[0].seq != start:
        raise NotFound(f"event {said[:40]} is no feedback")
    rows = found[0].body["rows"]
    texts = visit.house.rows.get(rows) if rows else []
    open_now = set(open_subjects(visit.desk.projection.now().registry))
    entries = [None if text is None else Entry.parse(text.encode()) for text in texts[first : first + ENTRIES]]
    return visit.page(
        "feedback_batch.html",
        event=found[0],
        rows=[(entry, entry is not None and bool({entry.a, entry.b} & open_now)) for entry in entries],
        first=first,
        step=ENTRIES,
        total=len(texts),
        page_url=lambda at: visit.url("feedback", said, first=at),
    )


PAGES = (Page("/feedback", batches), Page("/feedback/{batch}", batch))
