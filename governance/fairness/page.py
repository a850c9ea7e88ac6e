"""The report as one HTML file that needs nothing else: no script, no font, no picture; light and dark."""

from collections.abc import Sequence
from typing import Any

from governance.fairness.plot import Line, forest, span_of
from governance.fairness.tables import CONFIDENCE, Shown
from tunegate_core.records import CheckResult, Interval, Verdict

MOST_NAMED = 6  # groups that pass

STYLE = """
:root { color-scheme: light dark; --ink: #1b1f24; --soft: #59636e; --paper: #fff; --line: #d1d9e0;
  --one: #0a5bc4; --two: #8a4b00; --bad: #b3001e; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6edf3; --soft: #9aa4af; --paper: #0d1117; --line: #3d444d;
  --one: #6cb1ff; --two: #f0a04b; --bad: #ff7b82; } }
body { overflow-wrap: anywhere; font: 16px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper);
  max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
h1, h2, h3 { line-height: 1.25; } .soft { color: var(--soft); }
table { border-collapse: collapse; font-size: 14px; overflow-wrap: normal; }
.scroll { overflow-x: auto; margin: 1rem 0; }
th, td { border-bottom: 1px solid var(--line); padding: .35rem .7rem; text-align: right; }
th:first-child, td:first-child { text-align: left; } caption { text-align: left; color: var(--soft); }
.FAIL { color: var(--bad); font-weight: 600; }
.lead { border-left: 4px solid var(--line); padding: .2rem 0 .2rem .9rem; margin: .6rem 0; font-size: 1.1rem; }
.lead.FAIL { border-color: var(--bad); } figure { margin: 1.2rem 0; } figcaption { color: var(--soft); }
svg { width: 100%; min-width: 34rem; max-width: 50rem; height: auto; font: 12px system-ui, sans-serif; }
svg text { fill: var(--ink); } svg .label { text-anchor: end; } svg .tick { text-anchor: middle; fill: var(--soft); }
svg .axis { stroke: var(--line); } svg .mark { stroke: var(--soft); stroke-dasharray: 3 3; }
svg .bounds { stroke-width: 2.5; stroke: var(--one); } svg .dot { fill: var(--one); }
svg .bounds.other { stroke: var(--two); } svg .dot.other { fill: var(--two); }
svg .bounds.harmed { stroke: var(--bad); } svg .dot.harmed { fill: var(--bad); } svg .harmed { fill: var(--bad); }
svg .none { fill: var(--soft); }
@media print { :root { color-scheme: light; --ink: #000; --soft: #444; --paper: #fff; --line: #bbb; --one: #0a5bc4;
  --two: #8a4b00; --bad: #b3001e; } @page { margin: 18mm 16mm; } body { margin: 0; padding: 0; max-width: none; }
  h1, h2, caption { break-after: avoid; } tr, figure, li { break-inside: avoid; } .scroll { overflow: visible; }
  svg { min-width: 0; } }
"""

TEMPLATE = """\
<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>Fairness report of {{ subject }}</title><style>{{ style }}</style></head><body>
<main>
<h1>Fairness report of {{ subject }}</h1>
{% for lead in leads %}<p class="lead {{ lead.outcome }}">{{ lead.text }}</p>
{% endfor %}<p>Verdict of its policy: <strong class="{{ verdict.outcome }}">{{ verdict.outcome }}</strong>. Bounds are
one-sided at {{ percent }} % each and take items of one cluster together. What was not measured says so; it is never
shown as 0.</p>
{% if checks %}<h2>What the policy asked for groups</h2><ul>
{% for check in checks %}<li><strong class="{{ check.outcome }}">{{ check.check }}: {{ check.outcome }}</strong>,
{{ check.reason }}</li>{% endfor %}</ul>{% endif %}
{% if not columns %}<p><strong>No task names groups, so nothing about groups was measured.</strong> That is no finding
of fairness.</p>{% endif %}
{% for column in columns %}
<h2>Task {{ column.task }} by {{ column.column }}</h2>
{% for sentence in column.sentences %}<p>{{ sentence }}</p>
{% endfor %}
<div class="scroll" tabindex="0" role="region" aria-label="Group metrics"><table>
<caption>Group metrics: {{ column.metric }} in percent, with bounds{% if not
column.higher_is_better %}; lower is better{% endif %}</caption>
<thead><tr><th scope="col">{{ column.column }}</th><th scope="col">items</th><th scope="col">clusters</th>
{% for arm in column.arms %}<th scope="col">{{ arm }}</th>{% endfor %}
<th scope="col">not measured, candidate</th></tr></thead><tbody>
{% for row in column.rows %}<tr><th scope="row">{% if row.group in column.harmed %}<strong
class="FAIL">{{ row.group }}, FAIL</strong>{% else %}{{ row.group }}{% endif %}</th><td>{{ row.n }}</td>
<td>{{ row.clusters }}</td>
{% for arm in column.arms %}<td>{{ row.arms.get(arm) | share }}</td>{% endfor %}
<td>{{ row.unmeasured.candidate }}</td></tr>
{% endfor %}</tbody></table></div>
{% for plot in column.plots %}<figure>
<div class="scroll" tabindex="0" role="region" aria-label="{{ plot.caption }}">{{ plot.svg }}</div>
<figcaption>{{ plot.caption }}</figcaption></figure>
{% endfor %}
<div class="scroll" tabindex="0" role="region" aria-label="Disparity"><table><caption>Disparity between groups.
Which one is least is not known either, so the bounds of a minimum are wider than those of that group</caption>
<thead><tr><th scope="col">arm</th><th scope="col">group minimum</th><th scope="col">group maximum</th>
<th scope="col">difference, points</th><th scope="col">ratio</th></tr></thead><tbody>
{% for row in column.between %}<tr><th scope="row">{{ row.arm }}</th><td>{{ row.minimum | named }}</td>
<td>{{ row.maximum | named }}</td><td>{{ row.difference | points }}</td>
<td>{{ row.ratio | ratio }}</td></tr>
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
    rendering.filters.update(share=_share, named=_named, points=_points, ratio=_ratio)
    checks = [check for check in verdict.results if check.groups]
    shown = [
        {
            **column,
            "harmed": worse,
            "arms": [row["arm"] for row in column["between"]],
            "sentences": sentences(column),
            "plots": [
                {"svg": Markup(svg), "caption": caption}  # made here, its texts are escaped
                for svg, caption in _plots(column, margin, worse)
            ],
        }
        for column, worse in ((column, harmed(column, checks)) for column in columns)
    ]
    return rendering.from_string(TEMPLATE).render(
        subject=subject,
        verdict=verdict,
        checks=checks,
        leads=leads(checks, columns),
        columns=shown,
        percent=f"{100 * CONFIDENCE:g}",
        style=Markup(STYLE),
    )


def leads(checks: Sequence[CheckResult], columns: Sequence[Shown]) -> list[Shown]:
    """What to know first: the groups that the policy's checks fail or can't tell about, and how all items together did.

    One entry a check: its `outcome` and a `text`.
    """
    told = []
    for check in checks:
        of = [group for group in check.groups if group.outcome == check.outcome]
        named = ", ".join(f"{group.column} {group.group}{_seen(group.interval)}" for group in of)
        words = {"FAIL": "Worse than the policy allows", "UNDECIDED": "Too little to tell"}
        if check.outcome == "PASS":
            named = f"all {len(check.groups)}" if len(of) > MOST_NAMED else ", ".join(group.group for group in of)
        told.append({"outcome": check.outcome, "text": f"{words.get(check.outcome, 'Groups that pass')}: {named}."})
    is_split = any(check.outcome == "FAIL" for check in checks)
    for column in columns if is_split else ():
        for reference, found in column["overall"].items():
            seen = _points(found, signed=True)
            text = f"All items of {column['task']} together, against the {reference}: {seen} points."
            told.append({"outcome": "all", "text": text})
    return told


def harmed(column: Shown, checks: Sequence[CheckResult]) -> list[str]:
    """The groups of a column that a check fails and whose score surely fell against some arm."""
    failed = {
        group.group
        for check in checks
        for group in check.groups
        if (group.column, group.outcome) == (column["column"], "FAIL")
    }
    return [row["group"] for row in column["rows"] if row["group"] in failed and _has_fallen(column, row)]


def _has_fallen(column: Shown, row: Shown) -> bool:
    bounds = [(found["low"], found["high"]) for found in row["against"].values() if found["low"] is not None]
    return any(high < 0 if column["higher_is_better"] else low > 0 for low, high in bounds)


def _seen(interval: Interval | None) -> str:
    if interval is None or interval.value is None or interval.low is None or interval.high is None:
        return ""
    low, high = (f"{100 * bound:+z.1f}" for bound in (interval.low, interval.high))
    return f" ({100 * interval.value:+z.1f} points, {low} to {high}, {interval.n} items)"


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


def _plots(column: Shown, margin: float | None, worse: Sequence[str]) -> list[tuple[str, str]]:
    plots = []
    for reference in dict.fromkeys(name for row in column["rows"] for name in row["against"]):
        lines = [
            _line(row["group"], row["against"].get(reference), "harmed" if row["group"] in worse else "candidate", True)
            for row in column["rows"]
        ]
        lines.append(_line("all items", column["overall"].get(reference), "other", True))
        marks = [(0.0, "0"), *([(-margin, f"margin {-100 * margin:.0f}")] if margin else [])]
        title = f"{column['task']}: candidate minus {reference} by {column['column']}, in points"
        svg = forest(title, lines, marks, span_of(lines, [place for place, _ in marks]))
        plots.append((svg, f"Candidate minus {reference} for each group, and for all items, in points, with bounds."))
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
    if figure is None:
        return "not measured"
    shown = _points(figure) if figure.get("low") is not None else f"{100 * figure['value']:.1f}"
    return f"{figure['group']}, {shown}"


def _ratio(figure: Shown | None) -> str:
    if figure is None:
        return "not measured"
    bounds = "" if figure["low"] is None else f" ({figure['low']:.2f} to {figure['high']:.2f})"
    return f"{figure['value']:.2f}{bounds}"
