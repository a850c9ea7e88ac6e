"""What the checks by group share: which groups are judged, and how their outcomes become one."""

from collections.abc import Sequence

from governance.check import CheckBlock
from tunegate_core.errors import IntegrityError
from tunegate_core.records import Evidence, GroupOutcome, GroupStatistics, Outcome


def groups_of(block: CheckBlock, evidence: Evidence, column: str | None) -> tuple[list[GroupStatistics], str | None]:
    """The groups of a column, or of every column, intersections included; and why there is nothing to judge.

    Raises IntegrityError when the groups of a column do not add up to the items of the task.
    """
    found = [group for group in evidence.groups if column in (None, group.column)]
    if not found:
        there = sorted({group.column for group in evidence.groups})
        what = f"column '{column}'; there are: {', '.join(there)}" if there else "group; name its columns in the config"
        return [], f"the evidence for '{evidence.task}' has no {what}"
    for name in sorted({group.column for group in found}):
        counted = sum(group.n for group in found if group.column == name)
        if counted != evidence.n:
            raise IntegrityError(
                f"the groups of '{name}' hold {counted} items, but the task '{block.task}' has {evidence.n}; expected "
                "every item in one group of each column"
            )
    return found, None


def overall(outcomes: Sequence[Outcome]) -> Outcome:
    """One that fails fails all; one that is undecided leaves all undecided."""
    for outcome in ("FAIL", "UNDECIDED"):
        if outcome in outcomes or not outcomes:
            return outcome if outcomes else "UNDECIDED"
    return "PASS"


def named(groups: Sequence[GroupOutcome], outcome: Outcome) -> str:
    """`plan: free, dialect: north`; the groups with that outcome."""
    return ", ".join(f"{group.column}: {group.group}" for group in groups if group.outcome == outcome)
