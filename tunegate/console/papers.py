"""The documents of a candidate: which there are, what each rests on, and each in its formats, made when asked for.

A document is made from the records of the tree as it is now, and making it records nothing: the page names the tree
head, the events that are cited and the digest. Documents of the same tree are the same bytes.
"""

import base64
import hashlib

from starlette.responses import Response

from governance.document.making import form_of, kinds, render, suffix
from tunegate import documenting
from tunegate.console.visit import Page, Visit
from tunegate_core.errors import BadInput, NotFound

TYPES = {
    "html": "text/html; charset=utf-8",
    "markdown": "text/markdown; charset=utf-8",
    "json": "application/json",
    "pdf": "application/pdf",
}
CHOICES = 50


def all_kinds() -> list[tuple[str, str]]:
    """Every kind of document with its title."""
    return [(kind, form_of(kind).title) for kind in kinds()]


def paper(visit: Visit) -> Response:
    """One document: what it rests on, what it leaves open, and its formats."""
    subject, kind, against = _asked(visit)
    known, form = visit.desk.projection.now().registry, form_of(kind)
    others = [entry.subject for entry in reversed(known.entries.values()) if entry.subject != subject][:CHOICES]
    try:
        made = documenting.document(visit.house, subject, kind, against or None)
    except BadInput:
        if against or not form.compares:
            raise
        made = None  # nothing answered before it, so a person says what to compare it with
    return visit.page(
        "paper.html",
        subject=subject,
        kind=kind,
        form=form,
        made=made,
        digest=f"sha256:{hashlib.sha256(render(made, 'json')).hexdigest()}" if made else None,
        against=against,
        others=others,
        formats=[(name, suffix(name)) for name in TYPES],
    )


def paper_file(visit: Visit) -> Response:
    """The document in one format, to keep; its digest is in the header `Content-Digest` (RFC 9530)."""
    subject, kind, against = _asked(visit)
    form = next((name for name in TYPES if suffix(name) == visit.part("suffix")), None)
    if form is None:
        raise NotFound(f"a document is written as {', '.join(TYPES)}; its page leads to each of them")
    data = render(documenting.document(visit.house, subject, kind, against or None), form)
    digest = base64.b64encode(hashlib.sha256(data).digest()).decode()
    told = {
        "Content-Disposition": f'attachment; filename="{subject}-{kind}.{suffix(form)}"',
        "Content-Digest": f"sha-256=:{digest}:",
    }
    return Response(data, media_type=TYPES[form], headers=told)


def _asked(visit: Visit) -> tuple[str, str, str]:
    """Candidate, kind and the release to compare it with. Raises NotFound for one that is not there."""
    known, against = visit.desk.projection.now(), visit.query("against").strip()
    subject, kind = known.entry(visit.part("subject")).subject, visit.part("kind")
    if kind not in kinds():
        raise NotFound(f"there is no such document; there are: {', '.join(kinds())}")
    return subject, kind, known.entry(against).subject if against else ""


PAGES = (
    Page("/releases/{subject}/documents/{kind}", paper),
    Page("/releases/{subject}/documents/{kind}/file.{suffix}", paper_file),
)
