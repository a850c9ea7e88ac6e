"""The same document in every format: it stands alone, text stays text, links lead somewhere, bytes repeat."""

import json
import re
from html.parser import HTMLParser
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from governance.document.formats.markdown import cell
from governance.document.formats.pdf import compiled
from governance.document.held import Held
from governance.document.making import make, render
from governance.document.model import Document
from tests.governance.document.conftest import Make, base, dataset
from tests.governance.document.test_forms import KINDS
from tunegate_core.errors import BadInput

FORMATS = ("html", "markdown", "json")
NASTY = '<script>alert(1)</script>|`[x](http://x)*#"\'&\\{{ 7*7 }}#link("x")$'


class Page(HTMLParser):
    """Ids, links, tags and attributes of a page, and its text."""

    def __init__(self, text: str):
        super().__init__()
        self.ids: list[str] = []
        self.links: list[str] = []
        self.tags: list[str] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        for name, value in attrs:
            if name == "id":
                self.ids.append(str(value))
            if name in ("href", "src"):
                self.links.append(str(value))

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.mark.parametrize("kind", KINDS)
def test_a_page_stands_alone_and_its_links_lead_somewhere(kind: str, whole: Held) -> None:
    document = make(kind, whole)
    text = render(document, "html").decode()
    page = Page(text)
    assert not {"script", "link", "img", "iframe"} & set(page.tags)
    assert not re.search(r"url\(|@import", text)
    assert len(page.ids) == len(set(page.ids))
    assert all(link.startswith("#") and link[1:] in page.ids for link in page.links)
    assert {f"event-{proof.seq}" for proof in document.extract} <= set(page.ids)
    assert "prefers-color-scheme: dark" in text and "@media print" in text


@pytest.mark.parametrize("kind", KINDS)
def test_markdown_links_lead_somewhere(kind: str, whole: Held) -> None:
    text = render(make(kind, whole), "markdown").decode()
    assert set(re.findall(r"\]\(#(event-\d+)\)", text)) == set(re.findall(r'<a id="(event-\d+)">', text))
    assert "\n\n\n" not in text
    assert all(line.endswith("|") for line in text.splitlines() if line.startswith("|"))


@pytest.mark.parametrize("form", ["html", "markdown"])
@pytest.mark.parametrize("kind", KINDS)
def test_nothing_is_lost_on_the_way(kind: str, form: str, whole: Held) -> None:
    """Every value and every open point of the model is in the text."""
    document = make(kind, whole)
    text = render(document, form).decode()
    shown = Page(text).text if form == "html" else text
    for entry in document.entries():
        assert entry.asks in shown
        values = [fact.value for fact in entry.facts] + [c for t in entry.tables for row in t.rows for c in row.cells]
        lost = [value for value in values if (cell(value) if form == "markdown" else value) not in shown]
        assert lost == []
        assert entry.open is None or entry.open in shown


@pytest.mark.parametrize("form", [*FORMATS, "pdf"])
def test_the_same_records_give_the_same_bytes(form: str, whole: Held) -> None:
    assert render(make("model-card", whole), form) == render(make("model-card", whole), form)


def test_json_is_the_model(whole: Held) -> None:
    document = make("annex-iv", whole)
    assert Document.model_validate(json.loads(render(document, "json"))) == document


def test_text_of_a_record_stays_text(make: Make) -> None:
    from governance.document.making import make as document

    made = document("model-card", make(data=dataset(source=NASTY), base=base(source=NASTY)))
    page = Page(render(made, "html").decode())
    assert "script" not in page.tags
    assert NASTY in page.text
    marked = render(made, "markdown").decode()
    body = marked.split("## Open points")[0]
    assert cell(NASTY) in body
    assert "<script" not in body.replace("\\<", "")
    assert compiled(made, "pdf")[0].startswith(b"%PDF")


@pytest.mark.parametrize("said", ["R&amp;D", "&lt;b&gt;", "~~not~~ used", "$5/$6"])
def test_what_markdown_reads_as_an_entity_a_deletion_or_a_formula_is_shown_as_it_is(said: str) -> None:
    assert not re.search(r"(?<!\\)[&~$]", cell(said))
    assert cell(said).replace("\\", "") == said


def test_a_pdf_needs_no_font_or_clock_of_the_machine(whole: Held, monkeypatch: pytest.MonkeyPatch) -> None:
    """Typst tells of a font that it lacks in its warnings: there are none, and it may use no font but its own."""
    import typst

    seen: list[object] = []

    def watched(source: bytes, **options: Any) -> object:
        assert options["ignore_system_fonts"] is True
        made, warnings = typst.compile_with_warnings(source, **options)
        seen.extend(warnings)
        return made

    monkeypatch.setattr(typst, "compile", watched)
    data = render(make("evaluation-report", whole), "pdf")
    assert seen == []
    assert data.startswith(b"%PDF") and b"CreationDate" not in data


def test_another_format_is_refused(whole: Held) -> None:
    with pytest.raises(BadInput, match="there are: html, json, markdown, pdf"):
        render(make("model-card", whole), "docx")


@given(st.text())
def test_no_text_leaves_its_cell(text: str) -> None:
    shown = cell(text)
    assert "\n" not in shown
    assert "|" not in shown.replace("\\\\", "").replace("\\|", "")
    assert "<" not in shown.replace("\\\\", "").replace("\\<", "")
