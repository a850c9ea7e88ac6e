"""What a candidate came from and where it led, drawn: from data, config and base down to the route, each step leading
to its record. The list beside the drawing says the same in words, and more.

A step that is not recorded yet is drawn with a dashed edge and leads nowhere. Of many pieces of evidence or decisions
the first are drawn, and one step that stands for the others.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

from tunegate.console.showing import short, visible
from tunegate.console.visit import Visit
from tunegate.reading import lineage_of
from tunegate.recording import Standing

WIDTH, HEIGHT, ACROSS, DOWN, EDGE, MOST = 152, 44, 14, 30, 3, 4  # a step, the gaps between two, the margin, in a row
LETTERS = 18  # fit in a wide font, too
DECISIONS = {"approve": "Approval", "refuse": "Refusal", "recall": "Approval taken back"}
ENDS = ("refused", "withdrawn", "revoked", "retired")


@dataclass(frozen=True)
class Step:
    """One box. `url`: its record, None for what is not recorded; `look`: a class of the style sheet."""

    what: str
    name: str
    url: str | None = None
    look: str = ""


@dataclass(frozen=True)
class Layer:
    """Boxes side by side; those of one layer lead to those of the next. `aside` leads to the first of its own."""

    steps: Sequence[Step]
    aside: Step | None = None


def graph(
    visit: Visit, now: Standing, tasks: Mapping[str, str], decided: Sequence[Mapping[str, str]], place: str | None
) -> Markup:
    """The drawing. `tasks`: blob of evidence -> what it is about; `decided`: as `stories.decisions` tells them."""
    return _drawn(now.subject, [*_made(visit, now, tasks), *_let_out(visit, now, decided, place)])


def _made(visit: Visit, now: Standing, tasks: Mapping[str, str]) -> list[Layer]:
    """From what it is made of to what was measured."""
    told, planned = lineage_of(now), now.planned
    sources = [
        Step("Config", _digits(planned.config), visit.url("records", planned.config)),
        Step("Base", planned.base.source, visit.url("records", planned.base.tree)),
    ]
    if planned.data is not None:
        counts = planned.data.counts
        sources.insert(
            0, Step("Data rows", f"{counts.kept} of {counts.read} rows", visit.url("data", planned.data.rows))
        )
    if planned.source_adapter is not None:
        sources.append(Step("Adapter of", planned.source_adapter, visit.url("releases", planned.source_adapter)))
    blobs = now.body("examined")["evidence"] if now.has("examined") else []
    evidence = [Step("Evidence", tasks.get(blob, _digits(blob)), visit.url("records", blob)) for blob in blobs]
    return [
        Layer(sources),
        Layer([_recorded(visit, "Adapter", told["adapter"])]),
        Layer(_few(evidence, "pieces of evidence", "#measured") or [Step("Evidence", "not yet", look="ahead")]),
    ]


def _let_out(visit: Visit, now: Standing, decided: Sequence[Mapping[str, str]], place: str | None) -> list[Layer]:
    """From the verdict to the route, or to where it ended."""
    told, planned = lineage_of(now), now.planned
    verdict = _recorded(visit, "Verdict", told["verdict_digest"])
    if told["verdict_digest"]:
        outcome = str(now.body("judged")["outcome"])
        verdict = Step("Verdict", outcome, verdict.url, outcome.lower())
    layers = [Layer([verdict], Step("Policy", _digits(planned.policy), visit.url("policies", planned.policy)))]
    given = [
        Step(DECISIONS[one["decision"]], one["person"] or one["key"], visit.url("ledger", one["seq"]),
             "fail" if one["decision"] == "refuse" else "")
        for one in decided if one["decision"] in DECISIONS
    ]  # fmt: skip
    ended = next((event for event in now.events if event.kind in ENDS), None)
    is_over = ended is not None or any(one["decision"] == "refuse" for one in decided)
    if given:
        layers.append(Layer(_few(given, "decisions", "#decisions")))
    elif planned.approvals.required and not is_over:
        layers.append(Layer([Step("Approvals", f"0 of {planned.approvals.required}", look="ahead")]))
    if told["statement"] or not is_over:
        layers.append(Layer([_recorded(visit, "Release", told["statement"])]))
    if ended is not None:
        layers.append(
            Layer([Step(ended.kind.capitalize(), f"event {ended.seq}", visit.url("ledger", ended.seq), "fail")])
        )
    elif not is_over:
        url = visit.url("routes", planned.route) if told["statement"] else None
        layers.append(Layer([Step(f"Route, {place or 'no place'}", planned.route, url, "" if place else "ahead")]))
    return layers


def _recorded(visit: Visit, what: str, digest: str | None) -> Step:
    return Step(what, _digits(digest), visit.url("records", digest)) if digest else Step(what, "not yet", look="ahead")


def _digits(digest: str) -> str:
    return short(digest).rpartition(":")[2]


def _few(steps: Sequence[Step], what: str, url: str) -> list[Step]:
    if len(steps) <= MOST:
        return list(steps)
    return [*steps[: MOST - 1], Step(f"{len(steps) - MOST + 1} more", what, url)]


def _drawn(subject: str, layers: Sequence[Layer]) -> Markup:
    """The layers below one another, each in the middle."""
    width = MOST * WIDTH + (MOST - 1) * ACROSS + 2 * EDGE
    lines, boxes, above = [], [], list[float]()
    for number, layer in enumerate(layers):
        y = EDGE + number * (HEIGHT + DOWN)
        wide = len(layer.steps) * (WIDTH + ACROSS) - ACROSS
        places = [(width - wide) / 2 + at * (WIDTH + ACROSS) for at in range(len(layer.steps))]
        lines += [_down(x + WIDTH / 2, y - DOWN, to + WIDTH / 2, y) for x in above for to in places]
        boxes += [_box(step, x, y) for step, x in zip(layer.steps, places, strict=True)]
        if layer.aside is not None:
            left, middle = EDGE, y + HEIGHT / 2
            boxes.insert(len(boxes) - len(places), _box(layer.aside, left, y))
            lines.append(f"M{left + WIDTH} {middle}H{places[0]}m-6 -4l6 4l-6 4")
        above = places
    height = len(layers) * (HEIGHT + DOWN) - DOWN + 2 * EDGE
    words = escape(visible(f"Lineage of {subject}, from what it was made of to where it answers"))
    edges = "".join(f'<path class="edge" d="{line}"/>' for line in lines)
    return Markup(
        f'<svg class="graph" viewBox="0 0 {width} {height}" role="group" aria-label="{words}">'
        f'<g aria-hidden="true">{edges}</g>{"".join(boxes)}</svg>'
    )


def _down(x: float, y: float, to_x: float, to_y: float) -> str:
    half = DOWN / 2
    return f"M{x} {y}C{x} {y + half} {to_x} {to_y - half} {to_x} {to_y}m-4 -6l4 6l4 -6"


def _box(step: Step, x: float, y: float) -> str:
    """A box with two lines of text; a link where there is a record."""
    name = step.name if len(step.name) <= LETTERS else "…" + step.name[1 - LETTERS :]
    what, shown, whole = (escape(visible(text)) for text in (step.what, name, f"{step.what}: {step.name}"))
    inside = (
        f'<rect x="{x}" y="{y}" width="{WIDTH}" height="{HEIGHT}" rx="7"/>'
        f'<text class="what" x="{x + 9}" y="{y + 17}">{what}</text>'
        f'<text class="name" x="{x + 9}" y="{y + 34}">{shown}</text>'
    )
    if step.url is None:
        return f'<g class="{step.look}">{inside}</g>'
    return f'<a href="{escape(step.url)}" class="{step.look}" aria-label="{whole}"><title>{whole}</title>{inside}</a>'
