"""Documents from the release page: every kind in every format, its digest, what it cites, and nothing that runs."""

import base64
import hashlib
import re
from collections.abc import Callable
from typing import Any

import pytest

from governance.document.making import kinds, suffix
from tunegate import documenting
from tunegate.console.papers import TYPES
from tunegate.house import House

Visitor = Callable[..., Any]


@pytest.mark.parametrize("kind", kinds())
def test_every_document_in_its_formats(visitor: Visitor, house: House, kind: str) -> None:
    """The release page leads to the document's page, and that to files whose header tells their digest."""
    browser, against = visitor("auditor"), "?against=bot@1" if kind == "change-log" else ""
    assert f'href="/releases/bot@4/documents/{kind}"' in browser.get("/releases/bot@4").text
    page = browser.get(f"/releases/bot@4/documents/{kind}{against}")
    assert page.status_code == 200, page.text
    made = documenting.document(house, "bot@4", kind, "bot@1" if against else None)
    for entry in made.open_points():
        assert str(entry.asks) in page.text.replace("&#39;", "'").replace("&amp;", "&")
    for proof in made.extract:
        assert f'href="/ledger/{proof.seq}"' in page.text
    forms = [form for form in TYPES if form != "pdf" or kind == "model-card"]  # one PDF: each takes its time
    for form in forms:
        link = f"/releases/bot@4/documents/{kind}/file.{suffix(form)}{against}"
        assert link in page.text
        answer = browser.get(link)
        digest = base64.b64encode(hashlib.sha256(answer.content).digest()).decode()
        assert answer.headers["content-digest"] == f"sha-256=:{digest}:"
        assert answer.headers["content-type"] == TYPES[form]
        assert answer.headers["content-disposition"] == f'attachment; filename="bot@4-{kind}.{suffix(form)}"'
        if form == "json":
            assert hashlib.sha256(answer.content).hexdigest() in page.text


def test_making_one_records_nothing(visitor: Visitor, house: House) -> None:
    browser, before = visitor("auditor"), house.ledger.size()
    first = browser.get("/releases/bot@1/documents/model-card/file.md").content
    assert browser.get("/releases/bot@1/documents/model-card/file.md").content == first
    assert house.ledger.size() == before


def test_a_change_log_asks_where_to_start(visitor: Visitor) -> None:
    browser = visitor("auditor")
    page = browser.get("/releases/bot@1/documents/change-log")
    assert page.status_code == 200 and "Name the one to start from" in page.text
    assert not re.search(r'href="[^"]*file\.', page.text)
    assert "file.html" in browser.get("/releases/bot@2/documents/change-log").text  # its champion when planned
    assert browser.get("/releases/bot@1/documents/change-log?against=bot@77").status_code == 404


def test_a_candidate_without_a_verdict_has_documents_of_open_points(visitor: Visitor) -> None:
    page = visitor("auditor").get("/releases/bot@5/documents/evaluation-report")
    assert page.status_code == 200 and "Open points" in page.text
