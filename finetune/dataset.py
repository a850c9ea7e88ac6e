"""From rows as they were written to examples that are learnt from, with an account of every row.

A row is kept, truncated or dropped with a reason, in this order: empty, duplicate, overlapping_items, over_long,
unsupervised, near_duplicate; the first that applies is the one recorded. Copies that augmentation makes of kept rows
come last, and fare by the same rules. The account (lineage) holds no text, is stored, and has a digest, so it can be
said later what an adapter did and did not learn from.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from finetune.augment import Swaps, read_pairs
from finetune.data import Row, form, read_source, reread
from finetune.duplicates import exact_duplicates, near_duplicates
from finetune.render import Encoded, Renderer
from tunegate_core.config import DataBlock
from tunegate_core.errors import BadInput, DataError
from tunegate_core.overlap import ItemIndex
from tunegate_core.ports import Progress
from tunegate_core.records import Augmentation, DatasetRecord, RowCounts
from tunegate_core.rows import Rows
from tunegate_core.store import Store

STAGE = "training rows"


@dataclass(frozen=True)
class Prepared:
    """Training data, ready: `examples` are the kept rows in order, `rows` the same rows as they were read.

    `lineage` has one entry per row read: row, status (kept, truncated, dropped), reason, tokens (before a cut; None
    where the row was dropped unread) and supervised tokens; then one per copy, under its row's number.
    """

    record: DatasetRecord
    examples: list[Encoded]
    rows: list[Row]
    lineage: list[dict[str, Any]]


@dataclass
class _Fate:
    """What becomes of one row while it is decided."""

    row: Row
    copy: bool = False
    reason: str | None = None
    encoded: Encoded | None = None

    @property
    def kept(self) -> bool:
        return self.reason is None


def prepare(
    block: DataBlock,
    renderer: Renderer,
    max_length: int,
    store: Store,
    rows: Rows,
    item_texts: Sequence[str],
    progress: Progress,
) -> Prepared:
    """Read, judge and encode the rows of a data block. Deterministic.

    `max_length` is in tokens per row; `item_texts` are the questions of the evaluation items. Raises DataError for rows
    that can't be read, for over-long rows where the config says error, and where nothing is left; BadInput where the
    chat template fails a row.
    """
    source = read_source(block)
    fates = [_Fate(row) for row in source.rows]
    counted = Counter[str]()
    _drop_empty(fates)
    counted["duplicate"] = _settle_duplicates(fates, block)
    _drop_overlapping(fates, item_texts)
    _encode(fates, renderer, max_length, block, progress)
    counted["near_duplicate"] = _settle_near_duplicates(fates, block)
    if not any(fate.kept for fate in fates):
        raise DataError(f"{source.name}: no row is left to learn from; of {len(fates)} read, {_reasons(fates)}")
    copies, augmented = _copies(block, fates, item_texts, store)
    if copies:
        _encode(copies, renderer, max_length, block, progress)
    lineage = [_entry(fate) for fate in (*fates, *copies)]
    kept = [fate for fate in (*fates, *copies) if fate.kept]
    examples = [fate.encoded for fate in kept if fate.encoded is not None]
    record = DatasetRecord(
        source=source.name,
        revision=source.revision,
        rows=rows.put([fate.row.canonical for fate in fates]),
        lineage=store.put_json(lineage),
        counts=_counts(fates, counted),
        tokens=sum(len(example.input_ids) for example in examples),
        supervised_tokens=sum(example.supervised for example in examples),
        augmented=augmented and augmented.model_copy(update=_counted(copies)),
    )
    return Prepared(record, examples, [fate.row for fate in kept], lineage)


def _drop_empty(fates: list[_Fate]) -> None:
    """A row says nothing when every part to be learnt is blank."""
    for fate in fates:
        learnt = form(fate.row.form).learnt
        if not any(part.text.strip() for part in fate.row.parts if part.role in learnt):
            fate.reason = "empty"


def _settle_duplicates(fates: list[_Fate], block: DataBlock) -> int:
    left = [fate for fate in fates if fate.kept]
    found = exact_duplicates([fate.row for fate in left])
    if block.duplicates == "drop":
        for at in found:
            left[at].reason = "duplicate"
    return len(found)


def _drop_overlapping(fates: list[_Fate], item_texts: Sequence[str]) -> None:
    """What is asked in the evaluation must not be learnt, or the answer to it proves nothing."""
    index = ItemIndex(item_texts)
    for fate in fates:
        if fate.kept and any(index.is_in(part.text) for part in fate.row.parts):  # system prompts too
            fate.reason = "overlapping_items"


def _copies(
    block: DataBlock, fates: Sequence[_Fate], item_texts: Sequence[str], store: Store
) -> tuple[list[_Fate], Augmentation | None]:
    """Copies of the kept rows, those apart that are another row already or hold an evaluation item."""
    if block.augment is None:
        return [], None
    path = Path(block.augment.counterfactual)
    swaps, kept = Swaps(read_pairs(path)), [fate.row for fate in fates if fate.kept]
    told = [(row, *swaps.row(row.canonical)) for row in kept]
    outcomes = Counter(outcome for _, outcome, _ in told)
    made = [_Fate(reread(row, canonical), copy=True) for row, outcome, canonical in told if outcome == "swapped"]
    repeated = exact_duplicates([*kept, *(fate.row for fate in made)])
    for at, fate in enumerate(made, start=len(kept)):
        fate.reason = "duplicate" if at in repeated else None
    _drop_overlapping(made, item_texts)
    pairs = store.put_file(path)
    return made, Augmentation(
        pairs=pairs, copies=0, dropped=0, unchanged=outcomes["unchanged"], ambiguous=outcomes["ambiguous"]
    )


def _counted(copies: Sequence[_Fate]) -> dict[str, int]:
    kept = sum(fate.kept for fate in copies)
    return {"copies": kept, "dropped": len(copies) - kept}


def _encode(fates: list[_Fate], renderer: Renderer, max_length: int, block: DataBlock, progress: Progress) -> None:
    for done, fate in enumerate(fates):
        if fate.kept:
            fate.encoded = _encoded(fate.row, renderer, max_length, block)
            if fate.encoded.truncated and block.over_long == "drop":
                fate.reason = "over_long"
            elif fate.encoded.supervised == 0:
                fate.reason = "unsupervised"
        if done % 500 == 0:
            progress(STAGE, done, len(fates))
    progress(STAGE, len(fates), len(fates))


def _encoded(row: Row, renderer: Renderer, max_length: int, block: DataBlock) -> Encoded:
    try:
        encoded = renderer.encode(row, max_length)
    except BadInput as error:
        raise BadInput(f"{block.source}, {_place(row)}: {error}") from error
    if encoded.truncated and block.over_long == "error":
        raise DataError(
            f"{block.source}, {_place(row)}: the row has {encoded.length} tokens, expected at most {max_length}; "
            "raise finetune.train.max_length, or set finetune.data.over_long to drop or truncate"
        )
    return encoded


def _place(row: Row) -> str:
    return f"line {row.line}" if row.line is not None else f"row {row.index + 1}"


def _settle_near_duplicates(fates: list[_Fate], block: DataBlock) -> int:
    left = [fate for fate in fates if fate.kept]
    # Exact duplicates that the config keeps are counted as such, once.
    exact = exact_duplicates([fate.row for fate in left])
    near = [at for at in near_duplicates([fate.row for fate in left]) if at not in exact]
    if block.near_duplicates == "drop":
        for at in near:
            left[at].reason = "near_duplicate"
    return len(near)


def _entry(fate: _Fate) -> dict[str, Any]:
    encoded = fate.encoded
    status = "dropped" if not fate.kept else "truncated" if encoded is not None and encoded.truncated else "kept"
    return {
        **({"copy": "counterfactual"} if fate.copy else {}),
        "row": fate.row.index,
        "status": status,
        "reason": fate.reason,
        "tokens": None if encoded is None else encoded.length,
        "supervised": encoded.supervised if encoded is not None and fate.kept else 0,
    }


def _counts(fates: list[_Fate], counted: Counter[str]) -> RowCounts:
    dropped = Counter(fate.reason for fate in fates)
    kept = [fate.encoded for fate in fates if fate.kept]
    return RowCounts(
        read=len(fates),
        kept=len(kept),
        truncated=sum(encoded is not None and encoded.truncated for encoded in kept),
        empty=dropped["empty"],
        over_long=dropped["over_long"],
        duplicate=counted["duplicate"],
        near_duplicate=counted["near_duplicate"],
        overlapping_items=dropped["overlapping_items"],
        unsupervised=dropped["unsupervised"],
    )


def _reasons(fates: list[_Fate]) -> str:
    told = Counter(fate.reason for fate in fates if fate.reason)
    return ", ".join(f"{count} {reason.replace('_', ' ')}" for reason, count in sorted(told.items()))
