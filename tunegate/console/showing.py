"""How values look on a page."""


def short(digest: str) -> str:
    """The part of a digest that people compare."""
    kind, _, digits = digest.rpartition(":")
    return f"{kind}:{digits[:12]}…" if kind and len(digits) > 12 else digest


def moment(text: str) -> str:
    """RFC 3339 in UTC, to the second, as people read it."""
    return f"{text[:10]} {text[11:19]} UTC"
