"""What the adapter learnt from, as far as records tell. No row is shown."""

from governance.document.held import Held
from governance.document.model import Fact, Table

COUNTS = (
    ("read", "read"), ("kept", "kept"), ("kept, cut to the longest length", "truncated"), ("dropped: empty", "empty"),
    ("dropped: longer than allowed", "over_long"), ("dropped: equal to an earlier row", "duplicate"),
    ("dropped: nothing to learn", "unsupervised"), ("nearly equal to an earlier row", "near_duplicate"),
    ("sharing a long run of words with an evaluation item", "overlapping_items"),
)  # fmt: skip
HANDLING = (("over-long rows", "over_long"), ("duplicates", "duplicates"), ("near duplicates", "near_duplicates"))


def source(held: Held) -> list[Fact]:
    """Where the rows came from."""
    data = held.planned.data
    if data is None:
        return []
    facts = [held.fact("data source", data.source, "planned")]
    if data.revision:
        facts.append(held.fact("revision", data.revision, "planned"))
    return facts


def form(held: Held) -> list[Fact]:
    """How a row is laid out, as the config says; `auto` says nothing."""
    found = held.config.get("finetune", {}).get("data", {}).get("form", "auto")
    return [] if found == "auto" else [held.fact("form of a row", found, "planned", held.planned.config)]


def counts(held: Held) -> list[Table]:
    """What became of the rows."""
    data = held.planned.data
    if data is None:
        return []
    told = [(name, getattr(data.counts, key)) for name, key in COUNTS]
    if data.augmented is not None:
        told.append(("learnt as well: copies about the other group", data.augmented.copies))
    rows = tuple(held.row(row, "planned") for row in told)
    return [Table(title="Rows", head=("rows", "count"), rows=rows)]


def tokens(held: Held) -> list[Fact]:
    """How much was learnt from."""
    data = held.planned.data
    if data is None:
        return []
    return [
        held.fact("tokens", f"{data.tokens:,}", "planned"),
        held.fact("tokens with a loss", f"{data.supervised_tokens:,}", "planned"),
    ]


def handling(held: Held) -> list[Fact]:
    """What the config says is done with rows that do not fit."""
    block = held.config.get("finetune", {}).get("data")
    if block is None:
        return []
    return [held.fact(name, block[key], "planned", held.planned.config) for name, key in HANDLING]


def duplicates(held: Held) -> list[Fact]:
    """Redundant rows."""
    data = held.planned.data
    if data is None:
        return []
    return [
        held.fact("equal to an earlier row", data.counts.duplicate, "planned"),
        held.fact("nearly equal to an earlier row", data.counts.near_duplicate, "planned"),
    ]


def missing(held: Held) -> list[Fact]:
    """Rows without content."""
    data = held.planned.data
    if data is None:
        return []
    return [
        held.fact("empty rows", data.counts.empty, "planned"),
        held.fact("rows with nothing to learn", data.counts.unsupervised, "planned"),
    ]


def splits(held: Held) -> list[Fact]:
    """What keeps training and evaluation apart."""
    data = held.planned.data
    if data is None:
        return []
    return [
        held.fact(
            "rows that share a long run of words with an evaluation item", data.counts.overlapping_items, "planned"
        )
    ]


def kept(held: Held) -> list[Fact]:
    """Where the rows lie: commitments, under which each row can be erased."""
    data = held.planned.data
    if data is None:
        return []
    return [
        held.fact("commitment to the rows as they were read", data.rows, "planned"),
        held.fact("what became of each row", data.lineage, "planned"),
    ]


def users(held: Held) -> list[Fact]:
    """What was made from these rows, as far as this release tells."""
    found = held.adapter
    if held.planned.data is None or found is None:
        return []
    return [held.fact("adapter trained on them", found.tree, "sealed")]
