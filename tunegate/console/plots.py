"""Plots as inline SVG, made from numbers alone. Colours come from the style sheet, so that both themes and paper fit.

Each plot says in words what it shows; the same figures stand as text beside it.
"""

import math
from collections.abc import Collection, Iterable, Mapping, Sequence

from markupsafe import Markup

from tunegate_core.records import Interval

WIDTH, HEIGHT, EDGE = 300, 26, 8
CURVE_WIDTH, CURVE_HEIGHT, LEFT, BOTTOM, TOP = 640, 240, 52, 26, 10
TICKS, STEPS = 4, (1, 2, 2.5, 5, 10)
MOST_POINTS = 600

GROUPS = 6  # as many colours as the style sheet has
MARKS = ("m0 -5l5 5l-5 5l-5 -5", "m-4 -4h8v8h-8", "m0 -5l5 9h-10", "m0 5l5 -9h-10")  # from the middle
NAME, SLOPE = 22, 60  # characters of a version's name below a plot, and the height they take

Domain = tuple[float, float]
Point = tuple[float, float, float]  # value, low, high


def domain_of(values: Iterable[float | None]) -> Domain:
    """A round range around all values that are there."""
    found = [value for value in values if value is not None and math.isfinite(value)]
    low, high = (min(found), max(found)) if found else (0.0, 1.0)
    step = _step(max(high - low, 1e-9))
    return math.floor(low / step) * step, max(math.ceil(high / step), math.floor(low / step) + 1) * step


def interval(value: float | None, low: float | None, high: float | None, domain: Domain, bound: float | None) -> Markup:
    """One row of a forest plot: the figure, its bounds as whiskers, and what it is judged by as a dashed line."""
    parts = []
    if bound is not None:
        parts.append(
            f'<line class="bound" x1="{_x(bound, domain)}" x2="{_x(bound, domain)}" y1="1" y2="{HEIGHT - 1}"/>'
        )
    if value is None or low is None or high is None:
        parts.append(
            f'<text class="none" x="{WIDTH / 2}" y="{HEIGHT / 2 + 4}" text-anchor="middle">not measured</text>'
        )
        words = "not measured"
    else:
        left, right, middle, y = _x(low, domain), _x(high, domain), _x(value, domain), HEIGHT / 2
        parts.append(f'<path class="whisker" d="M{left} {y - 5}V{y + 5}M{left} {y}H{right}M{right} {y - 5}V{y + 5}"/>')
        parts.append(f'<rect class="point" x="{middle - 4}" y="{y - 4}" width="8" height="8"/>')
        words = f"{value:.1f}, bounds {low:.1f} to {high:.1f}" + (
            f", judged by {bound:.1f}" if bound is not None else ""
        )
    return _svg("forest", WIDTH, HEIGHT, words, parts)


def of_interval(found: Interval | None, domain: Domain, bound: float | None) -> Markup:
    """That row for a recorded interval, whose shares are shown in percent."""
    if found is None:
        return interval(None, None, None, domain, bound)
    return interval(percent(found.value), percent(found.low), percent(found.high), domain, bound)


def percent(share: float | None) -> float | None:
    """A share in percent; None stays None."""
    return None if share is None else 100 * share


def axis(domain: Domain) -> Markup:
    """The scale below a forest plot."""
    parts = [f'<path class="axis" d="M{EDGE} 1H{WIDTH - EDGE}"/>']
    for tick in ticks(domain):
        x = _x(tick, domain)
        parts.append(f'<path class="axis" d="M{x} 1V6"/><text x="{x}" y="19" text-anchor="middle">{tick:g}</text>')
    return _svg("forest", WIDTH, HEIGHT, f"scale from {domain[0]:g} to {domain[1]:g}", parts)


def curve(points: Sequence[tuple[float, float]], last: float, what: str) -> Markup:
    """A line over steps up to `last`, such as a loss. `points`: (step, value) in order; thinned when many."""
    shown = points[:: max(1, len(points) // MOST_POINTS)]
    if points and shown[-1] != points[-1]:
        shown = [*shown, points[-1]]
    domain = domain_of(value for _, value in shown)
    right, floor = max(last, 1.0), CURVE_HEIGHT - BOTTOM
    parts = []
    for tick in ticks(domain):
        y = _y(tick, domain)
        parts.append(f'<path class="grid" d="M{LEFT} {y}H{CURVE_WIDTH - EDGE}"/>')
        parts.append(f'<text x="{LEFT - 8}" y="{y + 4}" text-anchor="end">{tick:g}</text>')
    for tick in ticks((0, right)):
        x = round(LEFT + tick / right * (CURVE_WIDTH - LEFT - EDGE), 1)
        parts.append(f'<text x="{x}" y="{CURVE_HEIGHT - 6}" text-anchor="middle">{tick:g}</text>')
    line = " ".join(
        f"{round(LEFT + step / right * (CURVE_WIDTH - LEFT - EDGE), 1)},{_y(value, domain)}" for step, value in shown
    )
    parts.append(
        f'<path class="axis" d="M{LEFT} {TOP}V{floor}H{CURVE_WIDTH - EDGE}"/><polyline class="line" points="{line}"/>'
    )
    words = f"{what} over steps, from {shown[0][1]:.3g} to {shown[-1][1]:.3g}" if shown else f"{what}: no step yet"
    return _svg("curve", CURVE_WIDTH, CURVE_HEIGHT, words, parts)


def over_versions(
    title: str, versions: Sequence[str], lines: Mapping[str, Sequence[Point | None]], breaks: Collection[int]
) -> Markup:
    """A line a group over versions, each point with its bounds. `breaks`: versions that no line leads to."""
    domain = domain_of(edge for line in lines.values() for point in line if point for edge in point)
    width = (CURVE_WIDTH - LEFT - EDGE) / max(1, len(versions))
    parts = []
    for tick in ticks(domain):
        y = _y(tick, domain)
        parts.append(f'<path class="grid" d="M{LEFT} {y}H{CURVE_WIDTH - EDGE}"/>')
        parts.append(f'<text x="{LEFT - 8}" y="{y + 4}" text-anchor="end">{tick:g}</text>')
    for at, version in enumerate(versions):
        x, y = round(LEFT + (at + 0.5) * width, 1), CURVE_HEIGHT - BOTTOM + 16
        name = Markup.escape(version if len(version) <= NAME else "…" + version[-NAME:])
        parts.append(f'<text x="{x}" y="{y}" text-anchor="end" transform="rotate(-30 {x} {y})">{name}</text>')
    for number, line in enumerate(lines.values()):
        shift = (number + 1) / (len(lines) + 1) * 0.6 + 0.2  # side by side, so that bounds don't hide each other
        places = [LEFT + (at + shift) * width for at in range(len(line))]
        parts += _line(number, places, line, domain, breaks)
    words = [f"{group}: {_said(line)}" for group, line in lines.items()]
    return _svg("curve", CURVE_WIDTH, CURVE_HEIGHT + SLOPE, f"{title}. {'; '.join(words)}", parts)


def _line(
    number: int, places: Sequence[float], line: Sequence[Point | None], domain: Domain, breaks: Collection[int]
) -> list[str]:
    parts, path = [], ""
    for at, (place, point) in enumerate(zip(places, line, strict=True)):
        if point is None:
            continue
        x, (y, low, high) = round(place, 1), (_y(edge, domain) for edge in point)
        leads = at > 0 and line[at - 1] is not None and at not in breaks
        path += f"{'L' if leads else 'M'}{x} {y}"
        parts.append(f'<path class="whisker" d="M{x - 4} {low}H{x + 4}M{x} {low}V{high}M{x - 4} {high}H{x + 4}"/>')
        parts.append(_mark(number, x, y))
    return [f'<g class="g{number % GROUPS}"><path class="line" d="{path or "M0 0"}"/>', *parts, "</g>"]


def mark(number: int) -> Markup:
    """The mark of a group's line, for the table beside the plot."""
    return Markup(
        f'<svg class="key g{number % GROUPS}" viewBox="0 0 14 14" aria-hidden="true">{_mark(number, 7, 7)}</svg>'
    )


def _mark(number: int, x: float, y: float) -> str:
    """Another shape for each group, so that colour is not all that tells them apart."""
    return f'<path class="dot" d="M{x} {y}{MARKS[number % len(MARKS)]}z"/>'


def _said(line: Sequence[Point | None]) -> str:
    measured = [point for point in line if point]
    return f"from {measured[0][0]:.1f} to {measured[-1][0]:.1f}" if measured else "not measured"


def ticks(domain: Domain) -> list[float]:
    """Round numbers in a range."""
    step = _step(domain[1] - domain[0])
    first = math.ceil(domain[0] / step - 1e-9)
    return [round((first + at) * step, 10) + 0.0 for at in range(int((domain[1] - first * step) / step + 1e-9) + 1)]


def _step(width: float) -> float:
    power = 10 ** math.floor(math.log10(width / TICKS))
    return float(next(step * power for step in STEPS if step * power >= width / TICKS - 1e-12))


def _x(value: float, domain: Domain) -> float:
    share = (min(max(value, domain[0]), domain[1]) - domain[0]) / (domain[1] - domain[0])
    return round(EDGE + share * (WIDTH - 2 * EDGE), 1)


def _y(value: float, domain: Domain) -> float:
    share = (value - domain[0]) / (domain[1] - domain[0])
    return round(CURVE_HEIGHT - BOTTOM - share * (CURVE_HEIGHT - BOTTOM - TOP), 1)


def _svg(kind: str, width: int, height: int, words: str, parts: Sequence[str]) -> Markup:
    label = Markup.escape(words)
    inside = "".join(parts)
    return Markup(f'<svg class="{kind}" viewBox="0 0 {width} {height}" role="img" aria-label="{label}">{inside}</svg>')
