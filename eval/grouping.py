"""The same results by group: for each group column, and for all columns together (their intersections)."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from eval.results import Result
from eval.statistics import arm_statistics, paired_statistics
from eval.task import Item
from tunegate_core.config import TaskBlock
from tunegate_core.errors import BadInput, DataError
from tunegate_core.records import Arm, GroupStatistics, PairedStatistics

JOINED = " & "


def read_groups(block: TaskBlock, document: Mapping[str, Any], identity: str) -> tuple[str, ...]:
    """A document's value in each group column. Raises DataError where it has none."""
    for column in block.groups:
        if document.get(column) is None or not str(document[column]).strip():
            raise DataError(f"task '{block.name}', item {identity}: the group column '{column}' has no value")
    return tuple(str(document[column]) for column in block.groups)


def verify_groups(block: TaskBlock, items: Sequence[Item]) -> None:
    """Raises BadInput for columns that can't tell groups apart."""
    if any(len(item.groups) != len(block.groups) for item in items):
        raise BadInput(f"task '{block.name}': its items carry no group columns; leave out 'groups'")
    for at, column in enumerate(block.groups):
        values = sorted({item.groups[at] for item in items})
        if len(values) < 2:
            raise BadInput(
                f"task '{block.name}': the group column '{column}' has only the value '{values[0]}' on the scored "
                "items; nothing can be compared; leave it out, or add items of other groups"
            )
    verify_names([item.groups for item in items], f"task '{block.name}'")


def verify_names(groups: Iterable[Sequence[str]], what: str) -> None:
    """Raises DataError when two groups would have one name once their values are joined."""
    named: dict[str, Sequence[str]] = {}
    for values in groups:
        other = named.setdefault(JOINED.join(values), values)
        if other != values:
            raise DataError(
                f"{what}: the groups {list(other)} and {list(values)} would both be called "
                f"'{JOINED.join(values)}'; write '{JOINED.strip()}' otherwise in one of the values"
            )


def group_statistics(
    columns: Sequence[str],
    items: Sequence[Item],
    results: Mapping[Arm, Sequence[Result]],
    subjects: Mapping[Arm, str],
    pairs: Sequence[PairedStatistics],
) -> tuple[GroupStatistics, ...]:
    """Every group's sums for every arm and pair of the task."""
    numbers = {name: number for number, name in enumerate(sorted({item.cluster for item in items}))}
    return tuple(
        _one(column, value, [i for i, item in enumerate(items) if _value(item, at) == value], items, results, subjects,
             pairs, numbers)
        for column, at, value in _groups(columns, items)
    )  # fmt: skip


def group_sizes(block: TaskBlock, items: Sequence[Item]) -> dict[str, dict[str, tuple[int, int]]]:
    """(items, clusters) of every group, before anything is scored."""
    sizes: dict[str, dict[str, tuple[int, int]]] = {}
    for column, at, value in _groups(block.groups, items):
        own = [item.cluster for item in items if _value(item, at) == value]
        sizes.setdefault(column, {})[value] = len(own), len(set(own))
    return sizes


def _groups(columns: Sequence[str], items: Sequence[Item]) -> Iterator[tuple[str, slice, str]]:
    """(column, its place among the item's values, value)."""
    places = [(column, slice(at, at + 1)) for at, column in enumerate(columns)]
    if len(columns) > 1:
        places.append((JOINED.join(columns), slice(0, len(columns))))
    for column, at in places:
        for value in sorted({_value(item, at) for item in items}):
            yield column, at, value


def _value(item: Item, at: slice) -> str:
    return JOINED.join(item.groups[at])


def _one(
    column: str, value: str, inside: Sequence[int], items: Sequence[Item], results: Mapping[Arm, Sequence[Result]],
    subjects: Mapping[Arm, str], pairs: Sequence[PairedStatistics], numbers: Mapping[str, int],
) -> GroupStatistics:  # fmt: skip
    own = [items[i] for i in inside]
    clusters = sorted({item.cluster for item in own})
    told = {arm: [found[i] for i in inside] for arm, found in results.items()}
    return GroupStatistics(
        column=column,
        value=value,
        n=len(own),
        clusters=tuple(numbers[name] for name in clusters),
        arms=tuple(arm_statistics(arm, subjects[arm], own, found, clusters) for arm, found in told.items()),
        pairs=tuple(
            paired_statistics(
                pair.reference, pair.reference_subject, own, told["candidate"], told[pair.reference], clusters
            )
            for pair in pairs
        ),
    )
