"""What was measured and judged by group of people; scores and differences by group are in `evidence.groups`."""

from governance.document.held import Held
from governance.document.model import Table
from governance.fairness import fairness_of
from tunegate_core.records import Interval


def checks(held: Held) -> list[Table]:
    """What each check by group found for each of its groups, in points."""
    if held.verdict is None:
        return []
    record = held.digest(held.verdict)
    rows = tuple(
        held.row(
            (result.check, f"{found.column}: {found.group}", found.outcome, *_bounds(found.interval)), "judged", record
        )
        for result in held.verdict.results
        for found in result.groups
    )
    head = ("check", "group", "outcome", "points", "one-sided bounds", "items")
    return [Table(title="Checks by group", head=head, rows=rows)] if rows else []


def unsure(held: Held) -> list[Table]:
    """Groups of which these items tell little, and what of each was lost."""
    records = {item.task: held.digest(item) for item in held.evidence}
    rows = tuple(
        held.row(
            (told["task"], told["column"], row["group"], row["n"], row["clusters"],
             "little: bounds are more than 20 points apart" if row["is_small"] else "something",
             ", ".join(f"{arm}: {count}" for arm, count in row["unmeasured"].items() if count) or "none"),
            "examined", records[told["task"]],
        )
        for told in fairness_of(held.evidence)
        for row in told["rows"]
    )  # fmt: skip
    head = ("task", "by", "group", "items", "clusters", "its score tells", "not measured")
    return [Table(title="How much is known of each group", head=head, rows=rows)] if rows else []


def _bounds(found: Interval | None) -> tuple[str, str, int]:
    if found is None or found.value is None:
        return "not measured", "none", found.n if found else 0
    bounds = "none" if found.low is None or found.high is None else f"{_points(found.low)} to {_points(found.high)}"
    return _points(found.value), bounds, found.n


def _points(share: float) -> str:
    return f"{100 * share:+z.1f}"
