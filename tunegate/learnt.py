"""The rows that a candidate learns from, handed from training's account of them to what is measured with them."""

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

from governance.lifecycle import Planned
from tunegate.house import House
from tunegate.recording import standing
from tunegate_core.errors import NotFound
from tunegate_core.records import BaseModelRecord, DatasetRecord

if TYPE_CHECKING:
    from eval.task import Learnt
    from finetune.dataset import Prepared


def training_rows(house: House, planned: Planned) -> "Learnt | None":
    """The rows that the candidate learnt from, as they were read; None where one of them is erased or none is known."""
    from eval.task import Learnt
    from finetune.base import open_base

    source = planned
    while source.source_adapter is not None:
        source = standing(house, source.source_adapter).planned
    if source.data is None:
        return None
    lineage = json.loads(house.store.get(source.data.lineage))
    learnt = [entry for entry in lineage if entry["status"] != "dropped"]
    kept = [entry["row"] for entry in learnt if "copy" not in entry]
    copied = [entry["row"] for entry in learnt if "copy" in entry]
    try:
        texts = house.rows.get(source.data.rows)
    except NotFound:
        return None
    found = {row: text for row in kept if (text := texts[row]) is not None}
    if len(found) != len(kept):
        return None
    copies = _copies(house, source.data, [found[row] for row in copied])
    return Learnt(source.data.rows, found, open_base(planned.base, house.store, house.cache), copies)


def _copies(house: House, data: DatasetRecord, rows: Sequence[str]) -> tuple[str, ...]:
    """The copies that were made of these rows, made again."""
    if data.augmented is None:
        return ()
    from finetune.augment import Swaps, parse_pairs

    swaps = Swaps(parse_pairs(house.store.get(data.augmented.pairs).decode(), data.augmented.pairs))
    return tuple(swaps.row(row)[1] for row in rows)


def prepared_rows(house: House, base: BaseModelRecord, prepared: "Prepared") -> "Learnt":
    """The same before there is a candidate: what was prepared for one."""
    from eval.task import Learnt
    from finetune.base import open_base

    kept = [entry["row"] for entry in prepared.lineage if entry["status"] != "dropped" and "copy" not in entry]
    rows = {row.index: row.canonical for row in prepared.rows[: len(kept)]}  # copies come last
    return Learnt(prepared.record.rows, rows, open_base(base, house.store, house.cache))
