"""What was measured, how it was judged and what could not be measured."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from governance.document.held import Held
from governance.document.model import Fact, Span, Table
from governance.fairness import fairness_of
from tunegate_core.records import CheckResult, Doubt, Evidence, Figure, Interval, PairedStatistics
from tunegate_core.stats import arm_interval, mcnemar_midp, paired_interval
from tunegate_core.stats.intervals import discordant

CONFIDENCE = 0.95
PREFERRED = "preferred"
BY_HEART = ("memorised", "canaries")
REFUSING = ("refuses", "complies")
MEANING = {
    "PASS": "every check of the policy passed",
    "FAIL": "at least one check shows harm, or a missed aim, beyond what the policy allows",
    "UNDECIDED": "the evidence is too little to tell; that is not a pass",
}


def outcome(held: Held) -> list[Fact]:
    """The verdict in one word, and what that word means."""
    if held.verdict is None:
        return []
    record = held.digest(held.verdict)
    facts = [
        held.fact("verdict", held.verdict.outcome, "judged", record),
        held.fact("which means", MEANING[held.verdict.outcome], "judged", record),
        held.fact("attempt on these items for this route", held.verdict.attempt, "planned"),
    ]
    if held.verdict.outcome == "UNDECIDED" and held.last("released"):
        facts.append(held.fact("released by override", "yes; the evidence did not settle it", "released"))
    return facts


def checks(held: Held) -> list[Table]:
    """Every check with its outcome and reason."""
    if held.verdict is None:
        return []
    record = held.digest(held.verdict)
    rows = tuple(
        held.row((result.check, result.outcome, result.reason), "judged", record) for result in held.verdict.results
    )
    return [Table(title="Checks", head=("check", "outcome", "reason"), rows=rows)]


def scores(held: Held) -> list[Table]:
    """Each arm's score on each task with its bounds."""
    return _scores(held, "Scores", held.verdict.figures if held.verdict else ())


def safety(held: Held) -> list[Table]:
    """How often what should be refused was, and what should be answered."""
    return _scores(held, "Refusal and compliance", _figures(held, lambda task: task.get("metric") in REFUSING))


def security(held: Held) -> list[Table]:
    """Whether secrets of a prompt were kept, and instructions hidden in material not followed."""
    figures = _figures(held, lambda task: task.get("metric") == "withholds" and task.get("probes") not in BY_HEART)
    return _scores(held, "Secrets withheld", figures)


def privacy(held: Held) -> list[Table]:
    """Whether training rows were said by heart, and personal data in answers."""
    figures = _figures(held, lambda task: task.get("metric") == "no_pii" or task.get("probes") in BY_HEART)
    return _scores(held, "Learnt by heart, and personal data in answers", figures)


def _figures(held: Held, is_asked: Callable[[Mapping[str, Any]], bool]) -> list[Figure]:
    """Those on some of the config's tasks."""
    names = {task["name"] for task in held.config.get("eval", {}).get("tasks", ()) if is_asked(task)}
    return [figure for figure in held.verdict.figures if figure.task in names] if held.verdict else []


def _scores(held: Held, title: str, figures: Sequence[Figure]) -> list[Table]:
    if held.verdict is None or not figures:
        return []
    rows = tuple(
        held.row(
            (
                figure.task,
                figure.metric,
                figure.arm,
                *_interval(figure.interval),
                _lost(figure.unmeasured, figure.doubtful),
            ),
            "judged",
            held.digest(held.verdict),
            _span(figure.interval),
        )
        for figure in figures
    )
    head = (
        "task",
        "metric",
        "arm",
        "score, %",
        f"one-sided {_percent(held)} % bounds",
        "n",
        "clusters",
        "not measured",
    )
    return [Table(title=title, head=head, rows=rows, axis=_axis([row.span for row in rows]))]


def differences(held: Held) -> list[Table]:
    """Candidate minus reference on the same items. What people preferred is one already: `preferences`."""
    lines = [(item, pair) for item in held.evidence for pair in item.pairs if item.metric != PREFERRED]
    if not lines:
        return []
    rows, bounds = [], f"one-sided {100 * CONFIDENCE:g} % bounds"
    for item, pair in lines:
        interval = paired_interval(pair, item.scale, CONFIDENCE)
        rows.append(held.row(_difference(item, pair, interval), "examined", held.digest(item), _span(interval)))
    head = ("task", "metric", "against", "points", bounds, "n", "clusters", "gained", "lost", "McNemar mid-p")
    return [Table(title="Differences", head=head, rows=tuple(rows), axis=_axis([row.span for row in rows]))]


def items(held: Held) -> list[Table]:
    """The frozen item sets."""
    rows = tuple(
        held.row((task, found.get("metric", ""), found.get("n", ""), found.get("clusters", ""), found["digest"]),
                 "planned")
        for task, found in sorted(held.planned.items.items())
    )  # fmt: skip
    head = ("task", "metric", "items", "clusters", "digest")
    return [Table(title="Evaluation items, fixed before training", head=head, rows=rows)] if rows else []


def lost(held: Held) -> list[Table]:
    """What could not be measured, by task, arm and reason, and what was although the answer declined or was cut off."""
    rows = tuple(
        held.row((item.task, arm.arm, sum(n for n, *_ in arm.clusters), sum(arm.unmeasured.values()),
                  _lost(arm.unmeasured), _lost(arm.doubtful)), "examined", held.digest(item))
        for item in held.evidence
        for arm in item.arms
    )  # fmt: skip
    head = ("task", "arm", "measured", "not measured", "reasons", "measured but in doubt")
    return [Table(title="Measured and not measured", head=head, rows=rows)] if rows else []


def policy(held: Held) -> list[Table]:
    """The policy's checks, fixed before training."""
    rows = tuple(
        held.row((check["id"], check["kind"], check["task"], _figure(held.planned.margins.get(check["id"]))),
                 "planned", held.planned.policy)
        for check in held.policy.checks
    )  # fmt: skip
    head = ("check", "kind", "task", "threshold, points or %")
    return [Table(title=f"Policy {held.policy.name}, rule {held.policy.rule}", head=head, rows=rows)]


def power(held: Held) -> list[Table]:
    """The smallest difference each comparison could have seen, at 80 % power."""
    if held.verdict is None:
        return []
    rows = tuple(
        held.row(
            (result.check, f"{100 * result.detectable:.1f}", _to_settle(result)), "judged", held.digest(held.verdict)
        )
        for result in held.verdict.results
        if result.detectable is not None
    )
    head = ("check", "smallest difference it can see, points", "items that would settle it")
    return [Table(title="What these items can show", head=head, rows=rows)] if rows else []


def failed(held: Held) -> list[Table]:
    """Checks that did not pass."""
    if held.verdict is None:
        return []
    record = held.digest(held.verdict)
    bad = [result for result in held.verdict.results if result.outcome != "PASS"]
    rows = tuple(held.row((result.check, result.outcome, result.reason), "judged", record) for result in bad)
    return [Table(title="Checks that did not pass", head=("check", "outcome", "reason"), rows=rows)] if rows else []


def groups(held: Held) -> list[Table]:
    """Where tasks name groups: the scores of each, what changed for each, and how far groups lie apart."""
    found = fairness_of(held.evidence)
    records = {item.task: held.digest(item) for item in held.evidence}
    own = [
        held.row(
            (told["task"], told["column"], row["group"], row["n"], arm, *_shown(figure)), "examined",
            records[told["task"]], _drawn(figure),
        )
        for told in found
        for row in told["rows"]
        for arm, figure in row["arms"].items()
    ]  # fmt: skip
    moved = [
        held.row(
            (told["task"], told["column"], row["group"], row["n"], f"the {reference}", *_shown(figure, "+")),
            "examined", records[told["task"]], _drawn(figure),
        )
        for told in found
        for row in told["rows"]
        for reference, figure in row["against"].items()
    ]  # fmt: skip
    apart = [
        held.row((told["task"], told["column"], row["arm"], *_shown(row["difference"] or {})), "examined",
                 records[told["task"]], _drawn(row["difference"] or {}))
        for told in found
        for row in told["between"]
    ]  # fmt: skip
    bounds = f"one-sided {100 * CONFIDENCE:g} % bounds"
    head = ("task", "by", "group", "items", "arm", "score, %", bounds)
    gaps = ("task", "by", "arm", "largest minus smallest group, points", bounds)
    changes = ("task", "by", "group", "items", "candidate minus", "points", bounds)
    shown = (
        ("Scores by group", head, own),
        ("What changed for each group", changes, moved),
        ("Between groups", gaps, apart),
    )
    return [
        Table(title=title, head=names, rows=tuple(rows), axis=_axis([row.span for row in rows]))
        for title, names, rows in shown
        if rows
    ]


def preferences(held: Held) -> list[Table]:
    """How often the candidate's answers were preferred, where a task has answers compared."""
    rows = []
    for item in held.evidence:
        if item.metric != PREFERRED:
            continue
        ours = next(arm for arm in item.arms if arm.arm == "candidate")
        other = ", ".join(pair.reference for pair in item.pairs)
        interval = arm_interval(ours, item.scale, CONFIDENCE)
        people = "-" if item.people is None else item.people
        cells = (item.task, other, *_interval(interval), people, _lost(ours.unmeasured))
        rows.append(held.row(cells, "examined", held.digest(item), _span(interval)))
    head = (
        "task",
        "against",
        "win rate, %",
        f"one-sided {100 * CONFIDENCE:g} % bounds",
        "prompts",
        "clusters",
        "people",
        "no vote",
    )
    title = "Answers compared blind; a tie is half a win"
    return [Table(title=title, head=head, rows=tuple(rows), axis=_axis([row.span for row in rows]))] if rows else []


def overlap(held: Held) -> list[Table]:
    """Evaluation items that stand in the training rows, where these could be looked through."""
    rows = tuple(
        held.row((item.task, seen.items, seen.exact, seen.within, seen.near, seen.rows), "examined", held.digest(item))
        for item in held.evidence
        if (seen := item.overlap) is not None
    )
    head = ("task", "items found in training rows", "as they are", "within a row", "nearly", "rows looked through")
    return [Table(title="Evaluation items in the training rows", head=head, rows=rows)] if rows else []


def robustness(held: Held) -> list[Table]:
    """Questions in another form against the plain ones, arm by arm."""
    rows, bounds = [], f"one-sided {100 * CONFIDENCE:g} % bounds"
    for item in held.evidence:
        for found in item.robustness:
            lost = paired_interval(found.paired(), item.scale, CONFIDENCE)
            same = arm_interval(found.consistent(), "binary", CONFIDENCE)
            cells = [item.task, found.against, found.arm, *_interval(same)[:2], *_interval(lost, "+")]
            rows.append(held.row([*cells, str(found.unmeasured)], "examined", held.digest(item), _span(lost)))
    head = ("task", "against", "arm", "same answer, %", bounds, "points", bounds, "n", "clusters", "not measured")
    title = "The same questions in another form"
    return [Table(title=title, head=head, rows=tuple(rows), axis=_axis([row.span for row in rows]))] if rows else []


def _shown(figure: Mapping[str, float | None], sign: str = "") -> list[str]:
    value, low, high = (figure.get(key) for key in ("value", "low", "high"))
    bounds = "none" if low is None or high is None else f"{_figure(low, sign)} to {_figure(high, sign)}"
    return [_figure(value, sign), bounds]


def _drawn(figure: Mapping[str, float | None]) -> Span | None:
    value, low, high = (figure.get(key) for key in ("value", "low", "high"))
    return None if value is None or low is None or high is None else Span(low=low, value=value, high=high)


def _to_settle(result: CheckResult) -> str:
    if result.outcome != "UNDECIDED":
        return "settled"
    return str(result.items_to_settle or "not known")


def _difference(item: Evidence, pair: PairedStatistics, interval: Interval) -> list[str]:
    cells = [item.task, item.metric, pair.reference, *_interval(interval, "+")]
    if item.scale != "binary" or not interval.n:
        return [*cells, "-", "-", "-"]
    gain, loss = (int(count) for count in discordant(pair.clusters))
    return [*cells, str(gain), str(loss), f"{mcnemar_midp(gain, loss):.3g}"]


def _interval(found: Interval, sign: str = "") -> list[str]:
    bounds = "none" if found.low is None or found.high is None else (
        f"{_figure(found.low, sign)} to {_figure(found.high, sign)}"
    )  # fmt: skip
    return [_figure(found.value, sign), bounds, str(found.n), str(found.clusters)]


def _span(found: Interval) -> Span | None:
    if found.value is None or found.low is None or found.high is None:
        return None
    return Span(low=found.low, value=found.value, high=found.high)


def _axis(spans: list[Span | None]) -> tuple[float, float] | None:
    """From the least to the greatest bound; 0 always lies on it."""
    drawn = [span for span in spans if span]
    if not drawn:
        return None
    low, high = min(0.0, *(span.low for span in drawn)), max(0.0, *(span.high for span in drawn))
    return (low, high) if high > low else None


def _percent(held: Held) -> str:
    found = {figure.interval.confidence for figure in held.verdict.figures} if held.verdict else set()
    return ", ".join(f"{100 * value:g}" for value in sorted(found))


def _figure(value: float | None, sign: str = "") -> str:
    return "not measured" if value is None else f"{100 * value:{sign}z.1f}"


def _lost(reasons: Mapping[str, int] | Mapping[Doubt, int], doubts: Mapping[Doubt, int] | None = None) -> str:
    told = [f"{reason}: {count}" for reason, count in sorted(reasons.items())]
    told += [f"scored but {doubt}: {count}" for doubt, count in sorted((doubts or {}).items())]
    return ", ".join(told) or "none"
