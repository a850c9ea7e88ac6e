"""Items on which the candidate and another arm were scored differently: what was asked, was wanted, and each said.

Figures say how much better or worse; who decides wants to see at what. Questions are taken from the files that the plan
keeps. Of tasks of the harness, of answers that people compare and of what was learnt by heart there are none here.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from governance.lifecycle import Planned
from tunegate.house import House
from tunegate.planning import recall_tasks
from tunegate_core.config import TaskBlock
from tunegate_core.errors import BadInput
from tunegate_core.records import Evidence

MOST_SHOWN = 100
MOST_ITEMS = 20_000  # more take longer to read than a page may


@dataclass(frozen=True)
class Answered:
    """One item. `candidate`, `reference`: what each said."""

    id: str
    asked: str
    wanted: str
    candidate: str
    reference: str


@dataclass(frozen=True)
class Differing:
    """The first items that the candidate lost against an arm, and those it gained; `n_lost`, `n_gained`: of all."""

    reference: str
    n_lost: int
    n_gained: int
    lost: Sequence[Answered]
    gained: Sequence[Answered]


def differing(house: House, planned: Planned, evidence: Evidence) -> list[Differing]:
    """Against every arm that the candidate is compared with; nothing where the plan keeps no questions."""
    from eval.items import open_task

    try:
        block = next((task for task in recall_tasks(house, planned) if task.name == evidence.task), None)
        if block is None or evidence.n > MOST_ITEMS or not _has_questions(block):
            return []
        rows = json.loads(house.store.get(evidence.samples))["items"]
        items = {item.id: item for item in open_task(block).items}
    except BadInput:  # erased since, or written when other rules held
        return []
    sign = 1 if evidence.higher_is_better else -1
    found = []
    for pair in evidence.pairs:
        apart: dict[bool, list[Answered]] = {True: [], False: []}
        for row in rows:
            ours, theirs = row["arms"]["candidate"], row["arms"][pair.reference]
            if ours["measured"] and theirs["measured"] and ours["score"] != theirs["score"] and row["id"] in items:
                is_gained = sign * (ours["score"] - theirs["score"]) > 0
                apart[is_gained].append(_answered(items[row["id"]], ours, theirs))
        lost, gained = apart[False], apart[True]
        found.append(Differing(pair.reference, len(lost), len(gained), lost[:MOST_SHOWN], gained[:MOST_SHOWN]))
    return found


def _has_questions(block: TaskBlock) -> bool:
    return block.questions is not None or (block.probes is not None and not block.is_of_training)


def _answered(item: Any, ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> Answered:
    said = [_words(item.choices, found.get("answer")) for found in (ours, theirs)]
    return Answered(item.id, item.text, _words(item.choices, item.answer), *said)


def _words(choices: Sequence[str] | None, answer: Any) -> str:
    """An answer as it reads: a choice by its words, several that are right side by side."""
    if choices is not None and isinstance(answer, int) and 0 <= answer < len(choices):
        return choices[answer]
    return " / ".join(map(str, answer)) if isinstance(answer, list | tuple) else str(answer or "")
