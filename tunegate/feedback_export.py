"""Feedback as a training set: only with its author's consent, and never what a candidate was or will be tested on."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from eval.feedback.pairs import Pair, pairs
from tunegate.feedback import recorded
from tunegate.house import House
from tunegate.planning import recall_tasks
from tunegate.recording import standing
from tunegate_core.canonical import digest
from tunegate_core.errors import BadInput, TunegateError
from tunegate_core.overlap import ItemIndex

TESTED = "shares text with an evaluation item"
EXPORTED = "feedback-exported"


def export(house: House, out: Path) -> dict[str, Any]:
    """Write a JSONL of preference pairs, and record its digest. Raises BadInput when nothing may be exported, or when
    the items of a plan can't be read: then nobody can say that none of them is among the pairs."""
    if out.exists():
        raise BadInput(f"{out} exists; expected a new file")
    said = recorded(house)
    found, left_out = pairs(said.standing())
    tested = ItemIndex(item_texts(house))
    kept = [pair for pair in found if not _is_tested(pair, tested)]
    if len(kept) < len(found):
        left_out[TESTED] += len(found) - len(kept)
    if not kept:
        told = ", ".join(f"{reason}: {count}" for reason, count in sorted(left_out.items())) or "nothing was recorded"
        raise BadInput(f"no pair can be exported ({told})")
    data = b"".join(json.dumps(pair.row(), ensure_ascii=False, sort_keys=True).encode() + b"\n" for pair in kept)
    out.write_bytes(data)
    body = {"file": digest(data), "pairs": len(kept), "left_out": dict(sorted(left_out.items()))}
    house.ledger.append(EXPORTED, body)
    house.ledger.checkpoint()
    return {"path": str(out), "digest": body["file"], "pairs": len(kept), "left_out": body["left_out"]}


def item_texts(house: House) -> Iterator[str]:
    """The text of every evaluation item that any plan of this house holds, released, refused or neither."""
    from eval.items import freeze

    seen: set[str] = set()
    for subject in house.registry().entries:
        planned = standing(house, subject).planned
        try:
            tasks = [task for task in recall_tasks(house, planned) if not task.is_of_training]
            frozen = freeze([task for task in tasks if planned.items[task.name]["digest"] not in seen])
        except TunegateError as error:
            raise BadInput(
                f"the evaluation items of {subject} can't be read ({error}), so they can't be kept out; bring them back"
            ) from error
        seen |= {item.digest for item in frozen}
        yield from (text for item in frozen for text in item.texts)


def _is_tested(pair: Pair, tested: ItemIndex) -> bool:
    """Whether a part of the pair holds an item, or nearly is one."""
    return any(tested.is_in(text) or tested.near(text) for text in (pair.prompt, pair.chosen, pair.rejected))
