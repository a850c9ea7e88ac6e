"""HTML: one file that stands alone, in light and dark, on screen and on paper; it asks for nothing from elsewhere."""

from governance.document.model import Document
from governance.document.templates import plots, template


def write(document: Document) -> bytes:
    """UTF-8 HTML."""
    text: str = template("document.html.jinja", escaped=True).render(document=document, plots=plots(document))
    return text.encode()


PLUGIN = write
