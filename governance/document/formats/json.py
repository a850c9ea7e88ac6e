"""JSON: the form's own kind of file where it has one (a CycloneDX file), else the document's model."""

import json

from governance.document.model import Document


def write(document: Document) -> bytes:
    """UTF-8 JSON, keys in order."""
    value = document.model_dump(mode="json") if document.own_form is None else document.own_form
    return (json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False) + "\n").encode()


PLUGIN = write
