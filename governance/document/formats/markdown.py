"""Markdown; a card's metadata stands before it as YAML front matter, as the Hub reads it."""

import re

import yaml

from governance.document.model import Document
from governance.document.templates import template


def write(document: Document) -> bytes:
    """UTF-8 Markdown."""
    front = ""
    if document.metadata is not None:
        told = yaml.safe_dump(document.metadata, sort_keys=False, allow_unicode=True, width=1000)
        front = f"---\n{told}---\n\n"
    text = template("document.md.jinja", escaped=False, cell=cell).render(document=document)
    return (front + re.sub(r"\n{3,}", "\n\n", text)).encode()


def cell(value: object) -> str:
    """Text that stays in its cell of a Markdown table and is shown as it is."""
    return re.sub(r"([\\|`<>*_\[\]&~$])", r"\\\1", " ".join(str(value).split()))


PLUGIN = write
