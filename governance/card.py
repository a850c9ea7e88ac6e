"""The report of a release, rendered from its records: nothing in it is typed by hand, so nothing can contradict them.

Markdown for people who approve, audit or install an adapter. Every figure has its n and interval, every check its
reason; what was not measured says so. The same records give the same bytes.
"""

import re
from collections.abc import Sequence

from governance.lifecycle import Planned
from governance.policy import Policy
from tunegate_core.proof.approval import SignedDecision
from tunegate_core.records import (
    AdapterRecord,
    ArmStatistics,
    Evidence,
    GroupStatistics,
    Interval,
    PairedStatistics,
    Verdict,
)
from tunegate_core.stats import arm_interval, mcnemar_midp, paired_interval
from tunegate_core.stats.intervals import discordant

TEMPLATE = """\
# {{ planned.subject }}: {{ verdict.outcome }}

{{ meaning }} The candidate is {{ state }}.
{% if overridden %}
**Released by override.** The evidence did not settle it; people whom the policy names for that decided all the same.
{% endif %}
Attempt {{ verdict.attempt }} of the route `{{ planned.route }}` on these items. Policy `{{ policy.name }}`, rule
`{{ policy.rule }}`; margins and items were fixed before training.

## Why

| check | outcome | reason |
|---|---|---|
{% for result in verdict.results -%}
| {{ result.check | cell }} | {{ result.outcome }} | {{ result.reason | cell }} |
{% endfor %}
## What was measured

Scores in percent; differences (candidate minus reference) in points; each with one-sided {{ percent }} % bounds.

| task | metric | arm | score | bounds | n | clusters | not measured |
|---|---|---|---|---|---|---|---|
{% for row in scores -%}
| {{ row | map("cell") | join(" | ") }} |
{% endfor %}
| task | metric | candidate against | difference | bounds | n | clusters | gained | lost | McNemar mid-p |
|---|---|---|---|---|---|---|---|---|---|
{% for row in differences -%}
| {{ row | map("cell") | join(" | ") }} |
{% endfor %}
McNemar's mid-p takes every item as independent. It is shown for comparison and decides nothing.

{% if groups -%}
## By group

| task | groups | group | candidate against | difference | bounds | n | clusters |
|---|---|---|---|---|---|---|---|
{% for row in groups -%}
| {{ row | map("cell") | join(" | ") }} |
{% endfor %}
{% endif -%}
## Who decided

{% for given in decisions -%}
- {{ words[given.decision] }} by key `{{ given.approver }}`\
{{ ", until " + given.expires if given.expires else "" }}; the reason is kept under \
`{{ given.reason }}`
{% else -%}
Nobody{{ "; the policy asks for none" if policy.approvals.required == 0 else " yet" }}.
{% endfor %}
## Where it comes from

| | |
|---|---|
{% for name, value in lineage -%}
| {{ name }} | {{ value | cell }} |
{% endfor %}
## What this does not show

It speaks of these tasks and items, of this base and template, and of nothing else.
"""

MEANING = {
    "PASS": "Every check of the policy passed.",
    "FAIL": "At least one check shows harm, or a missed aim, beyond what the policy allows.",
    "UNDECIDED": "The evidence is too little to tell. That is not a pass.",
}
CONFIDENCE = 0.95


def render_report(
    planned: Planned,
    adapter: AdapterRecord,
    policy: Policy,
    evidence: Sequence[Evidence],
    verdict: Verdict,
    state: str,
    decisions: Sequence[SignedDecision] = (),
    statement: str | None = None,
) -> str:
    """The report in Markdown. `state`: the lifecycle state now; `statement`: digest of the signed envelope, if any."""
    from jinja2 import Environment, StrictUndefined

    rendering = Environment(undefined=StrictUndefined, keep_trailing_newline=True, autoescape=False)
    rendering.filters["cell"] = cell
    text = rendering.from_string(TEMPLATE).render(
        planned=planned,
        policy=policy,
        verdict=verdict,
        meaning=MEANING[verdict.outcome],
        percent=f"{100 * CONFIDENCE:g}",
        scores=[_score(item, arm) for item in evidence for arm in item.arms],
        differences=[_difference(item, pair) for item in evidence for pair in item.pairs],
        groups=[_group(item, group, pair) for item in evidence for group in item.groups for pair in group.pairs],
        state=state.lower(),
        overridden=verdict.outcome == "UNDECIDED" and statement is not None,
        words={"approve": "approved", "refuse": "refused", "recall": "recalled"},
        decisions=decisions,
        lineage=[(name, value) for name, value in _lineage(planned, adapter, verdict, statement) if value],
    )
    return re.sub(r"\n{3,}", "\n\n", text)


def cell(value: object) -> str:
    """Text that stays in its cell of a Markdown table and is shown as it is."""
    return re.sub(r"([\\|`<>*_\[\]])", r"\\\1", " ".join(str(value).split()))


def _score(evidence: Evidence, arm: ArmStatistics) -> list[str]:
    interval = arm_interval(arm, evidence.scale, CONFIDENCE)
    lost = ", ".join(f"{reason}: {count}" for reason, count in sorted(arm.unmeasured.items()))
    where = [evidence.task, evidence.metric, arm.arm]
    return [*where, _figure(interval.value), _span(interval.low, interval.high), *_size(interval), lost or "none"]


def _difference(evidence: Evidence, pair: PairedStatistics) -> list[str]:
    interval = paired_interval(pair, evidence.scale, CONFIDENCE)
    where = [evidence.task, evidence.metric, pair.reference]
    figures = [_figure(interval.value, "+"), _span(interval.low, interval.high, "+"), *_size(interval)]
    if evidence.scale != "binary":
        return [*where, *figures, "", "", ""]
    gain, loss = (int(count) for count in discordant(pair.clusters))
    return [*where, *figures, str(gain), str(loss), f"{mcnemar_midp(gain, loss):.3g}"]


def _group(evidence: Evidence, group: GroupStatistics, pair: PairedStatistics) -> list[str]:
    interval = paired_interval(pair, evidence.scale, CONFIDENCE)
    where = [evidence.task, group.column, group.value, pair.reference]
    return [*where, _figure(interval.value, "+"), _span(interval.low, interval.high, "+"), *_size(interval)]


def _size(interval: Interval) -> list[str]:
    return [str(interval.n), str(interval.clusters)]


def _figure(value: float | None, sign: str = "") -> str:
    return "not measured" if value is None else f"{100 * value:{sign}z.1f}"


def _span(low: float | None, high: float | None, sign: str = "") -> str:
    return "none" if low is None or high is None else f"{_figure(low, sign)} to {_figure(high, sign)}"


def _lineage(
    planned: Planned, adapter: AdapterRecord, verdict: Verdict, statement: str | None
) -> list[tuple[str, str | None]]:
    data = planned.data
    kept = (
        f"{data.source}: {data.counts.kept} of {data.counts.read} rows kept, commitment {data.rows}" if data else None
    )
    return [
        ("adapter", adapter.tree),
        ("base", f"{planned.base.source}, {planned.base.tree}"),
        ("licence of the base", planned.base.licence),
        ("template", planned.base.template),
        ("data", kept),
        ("adapter of", planned.source_adapter),
        ("config", planned.config),
        ("policy", planned.policy),
        ("champion when planned", planned.champion),
        *((f"items of {task}", str(items["digest"])) for task, items in sorted(planned.items.items())),
        ("evidence", ", ".join(verdict.evidence)),
        ("verdict", verdict.digest()),
        ("statement", statement),
        ("started by key", planned.starter),
    ]
