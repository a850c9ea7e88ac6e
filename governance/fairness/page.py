"""The report as one HTML file that needs nothing else: no script, no font, no picture; light and dark."""

from collections.abc import Sequence
from typing import Any

from governance.fairness.plot import Line, forest, span_of
from governance.fairness.tables import CONFIDENCE, Shown
from tunegate_core.records import Verdict

STYLE = """
:root { color-scheme: light dark; --ink: #1b1f24; --soft: #59636e; --paper: #fff; --line: #d1d9e0;
  --one: #0a5bc4; --two: #8a4b00; --bad: #b3001e; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6edf3; --soft: #9aa4af; --paper: #0d1117; --line: #3d444d;
  --one: #6cb1ff; --two: #f0a04b; --bad: #ff7b82; } }
body { font: 16px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper); max-width: 60rem;
  margin: 2rem auto; padding: 0 1rem; }
h1, h2, h3 { line-height: 1.25; } .soft { color: var(--soft); }
table { border-collapse: collapse; font-size: 14px; } .scroll { overflow-x: auto; margin: 1rem 0; }
th, td { border-bottom: 1px solid var(--line); padding: .35rem .7rem; text-align: right; }
th:first-child, td:first-child { text-align: left; } caption { text-align: left; color: var(--soft); }
.FAIL { color: var(--bad); font-weight: 600; } figure { margin: 1.2rem 0; } figcaption { color: var(--soft); }
svg { width: 100%; max-width: 50rem; height: auto; font: 12px system-ui, sans-serif; }
svg text { fill: var(--ink); } svg .label { text-anchor: end; } svg .tick { text-anchor: middle; fill: var(--soft); }
svg .axis { stroke: var(--line); } svg .mark { stroke: var(--soft); stroke-dasharray: 3 3; }
svg .bounds { stroke-width: 2.5; stroke: var(--one); } svg .dot { fill: var(--one); }
svg .bounds.other { stroke: var(--two); } svg .dot.other { fill: var(--two); } svg .none { fill: var(--soft); }
@media print { :root { color-scheme: light; --ink: #000; --soft: #444; --paper: #fff; --line: #bbb; --one: #0a5bc4;
  --two: #8a4b00; --bad: #b3001e; } @page { margin: 18mm 16mm; } body { margin: 0; padding: 0; max-width: none; }
  h1, h2, caption { break-after: avoid; } tr, figure, li { break-inside: avoid; } .scroll { overflow: visible; } }
"""

TEMPLATE = """\
<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>Fairness report of {{ subject }}</title><style>{{ style }}</style></head><body>
<main>
<h1>Fairness report of {{ subject }}</h1>
<p>Verdict of its policy: <strong class="{{ verdict.outcome }}">{{ verdict.outcome }}</strong>. Bounds are one-sided at
{{ percent }} % each and take items of one cluster together. What was not measured says so; it is never shown as 0.</p>
{% if checks %}<h2>What the policy asked for groups</h2><ul>
{% for check in checks %}<li><strong class="{{ check.outcome }}">{{ check.check }}: {{ check.outcome }}</strong>,
{{ check.reason }}</li>{% endfor %}</ul>{% endif %}
{% if not columns %}<p><strong>No task names groups, so nothing about groups was measured.</strong> That is no finding
of fairness.</p>{% endif %}
{% for column in columns %}
<h2>Task {{ column.task }} by {{ column.column }}</h2>
{% for sentence in column.sentences %}<p>{{ sentence }}</p>
{% endfor %}
<div class="scroll"><table><caption>Group metrics: {{ column.metric }} in percent, with bounds{% if not
column.higher_is_better %}; lower is better{% endif %}</caption>
<thead><tr><th scope="col">{{ column.column }}</th><th scope="col">items</th><th scope="col">clusters</th>
{% for arm in column.arms %}<th scope="col">{{ arm }}</th>{% endfor %}
<th scope="col">not measured, candidate</th></tr></thead><tbody>
{% for row in column.rows %}<tr><th scope="row">{{ row.group }}</th><td>{{ row.n }}</td><td>{{ row.clusters }}</td>
{% for arm in column.arms %}<td>{{ row.arms.get(arm) | share }}</td>{% endfor %}
<td>{{ row.unmeasured.candidate }}</td></tr>
{% endfor %}</tbody></table></div>
{% for plot in column.plots %}<figure>{{ plot.svg }}<figcaption>{{ plot.caption }}</figcaption></figure>
{% endfor %}
<div class="scroll"><table><caption>Disparity between groups</caption>
<thead><tr><th scope="col">arm</th><th scope="col">group minimum</th><th scope="col">group maximum</th>
<th scope="col">difference, points</th><th scope="col">ratio</th></tr></thead><tbody>
{% for row in column.between %}<tr><th scope="row">{{ row.arm }}</th><td>{{ row.minimum | named }}</td>
<td>{{ row.maximum | named }}</td><td>{{ row.difference | points }}</td>
<td>{{ "not measured" if row.ratio is none else "%.2f" | format(row.ratio) }}</td></tr>
{% endfor %}</tbody></table></div>
{% endfor %}
<h2>What this does not show</h2>
<ul><li>It speaks of these groups, tasks and items. Groups that nobody named, and harms that no task measures, are not
in it.</li>
<li>A small difference between groups is no proof that nobody is harmed, and equal scores can be equally bad.</li>
<li>Bounds of one group speak of that group; with many groups some lie apart by chance. The policy's checks correct for
that, the plots do not.</li>
<li>Group names are those of the task's data; who belongs to a group was decided there.</li></ul>
<p class="soft">Formulas and sources: docs/fairness.md. Evidence: {{ verdict.evidence | join(", ") }}.</p>
</main></body></html>
"""


def render_fairness(subject: str, verdict: Verdict, columns: Sequence[Shown], margin: float | None = None) -> str:
    """The page. `columns`: from `fairness_of`; `margin`: what the policy allows a group to lose, for the plots."""
    from jinja2 import Environment, StrictUndefined
    from markupsafe import Markup

    rendering = Environment(undefined=StrictUndefined, autoescape=True)
    rendering.filters.update(share=_share, named=_named, points=_points)
    shown = [
        {
            **column,
            "arms": [row["arm"] for row in column["between"]],
            "sentences": sentences(column),
            "plots": [
                {"svg": Markup(svg), "caption": caption}  # made here, its texts are escaped
                for svg, caption in _plots(column, margin)
            ],
        }
        for column in columns
    ]
    return rendering.from_string(TEMPLATE).render(
        subject=subject,
        verdict=verdict,
        checks=[check for check in verdict.results if check.groups],
        columns=shown,
        percent=f"{100 * CONFIDENCE:g}",
        style=Markup(STYLE),
    )


def sentences(column: Shown) -> list[str]:
    """What a reviewer may quote."""
    told = []
    for row in column["between"]:
        if row["minimum"] is None:
            known = f"{row['measured']} of {row['of']} groups"
            told.append(f"On the {row['arm']}, only {known} could be measured, so no disparity is given.")
            continue
        told.append(
            f"On the {row['arm']}, {column['metric']} is between {100 * row['minimum']['value']:.1f} % "
            f"({row['minimum']['group']}, the group minimum) and {100 * row['maximum']['value']:.1f} % "
            f"({row['maximum']['group']}): a difference of {_points(row['difference'])} points."
        )
    for row in column["rows"]:
        for reference, against in row["against"].items():
            told += _moved(column, row, reference, against)
    if column["small"]:
        told.append(
            f"Too few items to tell much (bounds more than 20 points apart, or none): {', '.join(column['small'])}."
        )
    return told


def _moved(column: Shown, row: Shown, reference: str, against: Shown) -> list[str]:
    """A group whose score surely changed, and which way."""
    low, high = against["low"], against["high"]
    if low is None or high is None or low <= 0 <= high:
        return []
    is_better = (low > 0) == column["higher_is_better"]
    return [
        f"For {column['column']} {row['group']} the candidate is {'better' if is_better else 'worse'} than the "
        f"{reference}: {_points(against, signed=True)} points on {against['n']} items."
    ]


def _plots(column: Shown, margin: float | None) -> list[tuple[str, str]]:
    plots = []
    for reference in dict.fromkeys(name for row in column["rows"] for name in row["against"]):
        lines = [_line(row["group"], row["against"].get(reference), signed=True) for row in column["rows"]]
        marks = [(0.0, "0"), *([(-margin, f"margin {-100 * margin:.0f}")] if margin else [])]
        title = f"{column['task']}: candidate minus {reference} by {column['column']}, in points"
        svg = forest(title, lines, marks, span_of(lines, [place for place, _ in marks]))
        plots.append((svg, f"Candidate minus {reference} for each group, in points, with bounds."))
    over = column["over_releases"]
    if len(over) > 1:
        lines = [
            _line(one["subject"] + ("" if one["same_items"] else " (other items)"), one,
                  kind="candidate" if one["same_items"] else "other")
            for one in over
        ]  # fmt: skip
        title = f"{column['task']}: difference between groups of {column['column']} over releases, in points"
        plots.append((forest(title, lines, [(0.0, "0")], span_of(lines, [0.0])),
                      "Largest minus smallest group score of each candidate of this route, with bounds."))  # fmt: skip
    return plots


def _line(label: str, figure: Shown | None, kind: str = "candidate", signed: bool = False) -> Line:
    if figure is None or figure["low"] is None:
        return Line(label, None, None, None)
    return Line(label, figure["value"], figure["low"], figure["high"], kind, _points(figure, signed))


def _points(figure: Shown | None, signed: bool = False) -> str:
    if figure is None or figure["value"] is None or figure["low"] is None:
        return "not measured"
    sign = "+" if signed else ""
    low, high = (f"{100 * figure[key]:{sign}z.1f}" for key in ("low", "high"))
    return f"{100 * figure['value']:{sign}z.1f} ({low} to {high})"


def _share(figure: Any) -> str:
    return _points(figure or None)


def _named(figure: Shown | None) -> str:
    return "not measured" if figure is None else f"{figure['group']}, {100 * figure['value']:.1f}"
