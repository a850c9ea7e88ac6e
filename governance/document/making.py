"""A document of a kind, and its bytes in a format; both are plug-ins by name."""

from governance.document.form import Form, fill
from governance.document.held import Held
from governance.document.model import Document
from tunegate_core import registry
from tunegate_core.errors import BadInput

KINDS, FORMATS = "governance.documents", "governance.document.formats"


def kinds() -> list[str]:
    """Every kind of document."""
    return [name.replace("_", "-") for name in registry.names(KINDS)]


def form_of(kind: str) -> Form:
    """The form of a kind. Raises BadInput naming those there are."""
    if kind not in kinds():
        hint = registry.nearest(kind, kinds())
        raise BadInput(f"there is no document '{kind}'{hint}; there are: {', '.join(kinds())}")
    form: Form = registry.load(KINDS, kind.replace("-", "_"))
    return form


def make(kind: str, held: Held) -> Document:
    """The document as data."""
    return fill(kind, form_of(kind), held)


def render(document: Document, form: str) -> bytes:
    """The document in a format: html, markdown, json or pdf. Raises BadInput for another."""
    found: bytes = registry.load(FORMATS, form)(document)
    return found


def suffix(form: str) -> str:
    """How files of a format end."""
    return {"markdown": "md"}.get(form, form)
