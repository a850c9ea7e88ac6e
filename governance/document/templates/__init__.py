"""Templates, and what they are given beside the document."""

from pathlib import Path
from typing import Any

from governance.document.model import Document, Source, Span

FOLDER = Path(__file__).parent
WIDTH = 100.0


def template(name: str, escaped: bool, **filters: Any) -> Any:
    """A Jinja template of this folder; what is not defined is an error."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    rendering = Environment(
        loader=FileSystemLoader(FOLDER),
        undefined=StrictUndefined,
        autoescape=escaped,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    rendering.filters.update(filters, cited=cited)
    return rendering.get_template(name)


def cited(sources: tuple[Source, ...]) -> list[int]:
    """The events of some sources, each once, in order."""
    return sorted({source.event for source in sources})


def drawn(span: Span, axis: tuple[float, float]) -> dict[str, float]:
    """Where a span's ends, its value and zero lie on an axis of 100 units."""
    low, high = axis
    return {
        name: round(WIDTH * (value - low) / (high - low), 2)
        for name, value in (("low", span.low), ("value", span.value), ("high", span.high), ("zero", 0.0))
    }


def plots(document: Document) -> dict[str, dict[str, float]]:
    """Each drawn span by entry, table and row."""
    return {
        f"{entry.id}/{at}/{line}": drawn(row.span, table.axis)
        for entry in document.entries()
        for at, table in enumerate(entry.tables)
        for line, row in enumerate(table.rows)
        if row.span and table.axis
    }
