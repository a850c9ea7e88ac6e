"""PDF by Typst, with the fonts that its package carries: no network, no fonts of the machine, no time of day.

The template is fixed; the document reaches it as data, so that no text can be read as markup.
"""

import json
from typing import Any, Literal

from governance.document.model import Document
from governance.document.templates import FOLDER, plots


def write(document: Document) -> bytes:
    """The PDF."""
    return compiled(document, "pdf")[0]


def compiled(document: Document, form: Literal["pdf", "png"]) -> list[bytes]:
    """The pages in a format of Typst; a PDF is one."""
    import typst

    told = {**document.model_dump(mode="json"), "open_points": [entry.id for entry in document.open_points()],
            "plots": plots(document)}  # fmt: skip
    source = (FOLDER / "document.typ").read_bytes()
    made: Any = typst.compile(source, format=form, sys_inputs={"document": json.dumps(told)}, ignore_system_fonts=True)
    return made if isinstance(made, list) else [made]


PLUGIN = write
