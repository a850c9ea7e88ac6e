"""Training data: what each set is, whom it trained, and its rows as far as they were not erased."""

import json

from starlette.responses import Response

from tunegate.console.visit import Page, Visit
from tunegate_core.errors import NotFound

STEP = 50
ROWS = 25


def datasets(visit: Visit) -> Response:
    """Every data set, the newest first."""
    found, first = list(reversed(visit.desk.projection.now().datasets.values())), visit.number("first")
    return visit.page(
        "datasets.html",
        rows=found[first : first + STEP],
        first=first,
        step=STEP,
        total=len(found),
        page_url=lambda at: visit.url("data", first=at),
    )


def dataset(visit: Visit) -> Response:
    """One data set, a page of its rows."""
    commitment, first = visit.part("commitment"), visit.number("first")
    known = visit.desk.projection.now()
    found = known.datasets.get(commitment)
    if found is None:
        raise NotFound("no candidate was trained on such data")
    texts = visit.house.rows.get(commitment)
    return visit.page(
        "dataset.html",
        found=found,
        trained=[known.registry.entries[subject] for subject in found.subjects],
        rows=[(number, _pretty(text)) for number, text in enumerate(texts[first : first + ROWS], start=first)],
        erased=sum(text is None for text in texts),
        first=first,
        step=ROWS,
        total=len(texts),
        page_url=lambda at: visit.url("data", commitment, first=at),
    )


def _pretty(text: str | None) -> str | None:
    """A row as its fields, one a line, when it is JSON."""
    try:
        return None if text is None else json.dumps(json.loads(text), indent=1, ensure_ascii=False)
    except ValueError:
        return text


PAGES = (Page("/data", datasets), Page("/data/{commitment}", dataset))
