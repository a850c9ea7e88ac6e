"""How values look on a page, and how what they name is followed."""

import json
import re
from collections.abc import Callable, Container
from typing import Any

from markupsafe import Markup, escape

TURNING = re.compile("[\u202a-\u202e\u2066-\u2069]")  # Unicode's embeddings, overrides and isolates
NUMBERS = re.compile(r"\[\n\s+(-?[\d.eE+-]+(?:,\n\s+-?[\d.eE+-]+)*)\n\s+\]")
NAMED = re.compile(r"(?P<blob>(?:sha256|rows):[0-9a-f]{64})|&#34;(?P<subject>[a-z0-9][a-z0-9._-]*@[1-9][0-9]*)&#34;")


def visible(value: Any) -> Any:
    """What a template is about to write; characters that would show what follows them in another order stand as their
    number, as on the command line. Text in a script that runs from right to left needs none of them."""
    if not isinstance(value, str) or not TURNING.search(value):
        return value
    shown = TURNING.sub(lambda found: f"\\u{ord(found[0]):04x}", value)
    return Markup(shown) if isinstance(value, Markup) else shown


def short(digest: str) -> str:
    """The part of a digest that people compare."""
    kind, _, digits = digest.rpartition(":")
    return f"{kind}:{digits[:12]}…" if kind and len(digits) > 12 else digest


def moment(text: str) -> str:
    """RFC 3339 in UTC, to the second, as people read it."""
    return f"{text[:10]} {text[11:19]} UTC"


def percent(value: float | None, sign: str = "") -> str:
    """A share in percent, or that there is none."""
    return "not measured" if value is None else f"{100 * value:{sign}z.1f}"


def basis_points(value: int) -> str:
    """Basis points in percent."""
    return f"{value / 100:g} %"


def linked_json(value: Any, url: Callable[..., str], sets: Container[str]) -> Markup:
    """JSON in which every digest and version leads to its page, and a list of numbers is one line. `sets`: the rows
    that have one, which is training data; others are reasons, names and feedback."""

    def link(found: re.Match[str]) -> str:
        if blob := found["blob"]:
            if blob.startswith("rows:") and blob not in sets:
                return str(blob)
            target = url("data", blob) if blob.startswith("rows:") else url("records", blob)
            return f'<a href="{target}">{blob}</a>'
        return f'&#34;<a href="{url("releases", found["subject"])}">{found["subject"]}</a>&#34;'

    told = json.dumps(value, indent=2, ensure_ascii=False)
    told = NUMBERS.sub(lambda found: f"[{' '.join(found[1].split())}]", told)
    text = str(escape(told))
    return Markup(NAMED.sub(link, text))
