"""Plots as SVG inside a page: lines with a dot and bounds, in the page's own colours, read out by their titles."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape

LABEL, WIDTH, VALUES, ROW, TOP = 190, 640, 190, 26, 34  # of an SVG, in its units


@dataclass(frozen=True)
class Line:
    """One row: all numbers are shares; without bounds it says that it was not measured. `kind` picks the colour."""

    label: str
    value: float | None
    low: float | None
    high: float | None
    kind: str = "candidate"
    text: str = ""


def forest(title: str, lines: Sequence[Line], marks: Sequence[tuple[float, str]], span: tuple[float, float]) -> str:
    """A forest plot: one line a row over a common axis from `span`; `marks` are upright lines with a name."""
    height, low, high = TOP + ROW * len(lines) + 24, span[0], span[1]

    def at(value: float) -> float:
        return round(LABEL + (min(max(value, low), high) - low) / (high - low) * (WIDTH - LABEL - VALUES), 1)

    base = TOP + ROW * len(lines)
    parts = [
        f'<svg role="img" viewBox="0 0 {WIDTH} {height}" xmlns="http://www.w3.org/2000/svg">',
        f"<title>{escape(title)}</title>",
        f'<line class="axis" x1="{LABEL}" y1="{base}" x2="{WIDTH - VALUES}" y2="{base}"/>',
    ]
    for tick in (low, (low + high) / 2, high):
        parts.append(f'<text class="tick" x="{at(tick)}" y="{base + 16}">{_signed(100 * tick)}</text>')
    for number, (value, name) in enumerate(marks):
        parts.append(f'<line class="mark" x1="{at(value)}" y1="{TOP - 8}" x2="{at(value)}" y2="{base}"/>')
        parts.append(f'<text class="tick" x="{at(value)}" y="{TOP - 10 - 14 * (number % 2)}">{escape(name)}</text>')
    for number, line in enumerate(lines):
        parts += _row(line, TOP + ROW * number + ROW / 2, at)
    return "".join([*parts, "</svg>"])


def _signed(points: float) -> str:
    return f"{points:+.0f}" if round(points) else "0"


def span_of(lines: Sequence[Line], always: Sequence[float]) -> tuple[float, float]:
    """The axis that shows everything, to the next ten points."""
    shown = [*always, *(x for line in lines for x in (line.low, line.value, line.high) if x is not None)]
    low, high = min(shown), max(shown)
    return (low * 10 // 1) / 10, -((-high * 10) // 1) / 10 if high > low else low + 0.1


def _row(line: Line, y: float, place: Callable[[float], float]) -> list[str]:
    name = f'<text class="label {line.kind}" x="{LABEL - 10}" y="{y + 4}">{escape(line.label)}</text>'
    if line.value is None or line.low is None or line.high is None:
        return [name, f'<text class="none" x="{WIDTH - VALUES + 10}" y="{y + 4}">not measured</text>']
    low, high, value = place(line.low), place(line.high), place(line.value)
    return [
        name,
        f'<line class="bounds {line.kind}" x1="{low}" y1="{y}" x2="{high}" y2="{y}"/>',
        f'<circle class="dot {line.kind}" cx="{value}" cy="{y}" r="4.5"/>',
        f'<text class="value" x="{WIDTH - VALUES + 10}" y="{y + 4}">{escape(line.text)}</text>',
    ]
