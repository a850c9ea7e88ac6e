"""What people preferred becomes ordinary evidence: for each prompt the share of people for the candidate.

A prompt's score is the mean over its raters of 1 (candidate preferred), 0.5 (tie) and 0; the reference has the rest of
1. Twice the same answer is a tie and nobody is asked.

**Nothing is judged before everything is rated.** The plan fixed prompts and raters. Until each prompt has so many, all
are unmeasured, however the ratings look so far; so nobody can stop asking when the answer suits them. For the same
reason only the first so many people count for a prompt, and what was judged whole is not looked at again
(`is_whole`). What everybody skipped stays unmeasured.

A preference counts only if it is about these two, and quotes the very answers they gave.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from eval.feedback.entry import SKIP, Entry
from eval.feedback.units import score_of
from eval.results import Result
from eval.statistics import arm_statistics, paired_statistics
from eval.task import Item
from tunegate_core.errors import IntegrityError
from tunegate_core.records import Evidence

METRIC = "preferred"
NOT_YET = "not rated yet"
WAITS = "rated, waits for the rest"
SKIPPED = "skipped by everybody"

Reference = Literal["base", "champion"]


@dataclass(frozen=True)
class Side:
    """One that answered. `name`: how entries call it (`bot@3`, `base`); `subject`: its adapter or base tree."""

    name: str
    subject: str
    answers: tuple[str, ...]


@dataclass(frozen=True)
class Sheet:
    """What people compare for one task of one candidate: the candidate and one reference on the same prompts."""

    task: str
    items_digest: str
    raters: int
    items: tuple[Item, ...]
    reference: Reference
    candidate: Side
    other: Side

    def __post_init__(self) -> None:
        for side in (self.candidate, self.other):
            if len(side.answers) != len(self.items):
                raise IntegrityError(f"{side.name} gave {len(side.answers)} answers to {len(self.items)} prompts")

    def is_alike(self, index: int) -> bool:
        """Whether both gave the same answer."""
        return self.candidate.answers[index] == self.other.answers[index]

    def to_json(self) -> dict[str, Any]:
        """For the store."""
        items = [
            {"id": i.id, "cluster": i.cluster, "prompt": i.text, "answers": [ours, theirs]}
            for i, ours, theirs in zip(self.items, self.candidate.answers, self.other.answers, strict=True)
        ]
        sides = [{"name": side.name, "subject": side.subject} for side in (self.candidate, self.other)]
        return {
            "task": self.task, "items_digest": self.items_digest, "raters": self.raters, "reference": self.reference,
            "sides": sides, "items": items,
        }  # fmt: skip

    @classmethod
    def from_json(cls, told: Mapping[str, Any]) -> "Sheet":
        """From the store."""
        rows, (ours, theirs) = told["items"], told["sides"]
        return cls(
            task=told["task"],
            items_digest=told["items_digest"],
            raters=told["raters"],
            items=tuple(Item(row["id"], row["prompt"], None, None, row["cluster"]) for row in rows),
            reference=told["reference"],
            candidate=Side(ours["name"], ours["subject"], tuple(row["answers"][0] for row in rows)),
            other=Side(theirs["name"], theirs["subject"], tuple(row["answers"][1] for row in rows)),
        )


def ratings(sheet: Sheet, entries: Iterable[Entry]) -> dict[str, dict[str, float | None]]:
    """item -> author -> the candidate's score, None for a skip. Takes what stands; the rest is not about this sheet."""
    place = {item.id: index for index, item in enumerate(sheet.items)}
    found: dict[str, dict[str, float | None]] = defaultdict(dict)
    for entry in entries:
        if entry.kind == "preference" and entry.item in place and _quotes(sheet, place[entry.item], entry):
            found[entry.item][entry.author] = None if entry.value == SKIP else score_of(entry, sheet.candidate.name)
    return dict(found)


def missing(sheet: Sheet, rated: Mapping[str, Mapping[str, float | None]]) -> int:
    """Prompts that too few people have rated."""
    return sum(
        not sheet.is_alike(index) and len(rated.get(item.id, {})) < sheet.raters
        for index, item in enumerate(sheet.items)
    )


def preference_evidence(sheet: Sheet, entries: Iterable[Entry], settings: str, samples: str) -> Evidence:
    """The evidence of a sheet. `settings`: digest of what shaped the answers; `samples`: of the sheet in the store."""
    rated = ratings(sheet, entries)
    waits = missing(sheet, rated) > 0
    ours = [_result(sheet, index, rated.get(item.id, {}), waits) for index, item in enumerate(sheet.items)]
    theirs = [own if own.score is None else own.model_copy(update={"score": 1 - own.score}) for own in ours]
    scores = {result.score for result in ours if result.score is not None}
    people = {author for told in rated.values() for author in _counted(sheet, told)}
    candidate, other = sheet.candidate.subject, sheet.other.subject
    clusters = () if waits else None  # before everything is rated there is nothing to tell of
    return Evidence(
        task=sheet.task,
        metric=METRIC,
        scale="binary" if scores <= {0.0, 1.0} else "share",
        items=sheet.items_digest,
        settings=settings,
        n=len(sheet.items),
        arms=(
            arm_statistics("candidate", candidate, sheet.items, ours, clusters),
            arm_statistics(sheet.reference, other, sheet.items, theirs, clusters),
        ),
        pairs=(paired_statistics(sheet.reference, other, sheet.items, ours, theirs, clusters),),
        samples=samples,
        people=None if waits else len(people),
    )


def is_whole(evidence: Evidence) -> bool:
    """Whether every prompt had been rated."""
    return not any({NOT_YET, WAITS} & arm.unmeasured.keys() for arm in evidence.arms)


def counts(rated: Mapping[str, Mapping[str, float | None]]) -> Counter[str]:
    """How many people said what."""
    words = {None: "skip", 0.0: "reference", 0.5: "tie", 1.0: "candidate"}
    return Counter(words[score] for told in rated.values() for score in told.values())


def _result(sheet: Sheet, index: int, told: Mapping[str, float | None], waits: bool) -> Result:
    item = sheet.items[index].id
    if waits:
        is_rated = sheet.is_alike(index) or len(told) >= sheet.raters
        return Result(id=item, reason=WAITS if is_rated else NOT_YET)
    if sheet.is_alike(index):
        return Result(id=item, score=0.5)
    scores = _counted(sheet, told).values()
    return Result(id=item, score=_mean(scores)) if scores else Result(id=item, reason=SKIPPED)


def _counted(sheet: Sheet, told: Mapping[str, float | None]) -> dict[str, float]:
    """author -> score of the first so many people, less those who skipped."""
    first = list(told.items())[: sheet.raters]
    return {author: score for author, score in first if score is not None}


def _mean(scores: Collection[float]) -> float:
    return math.fsum(scores) / len(scores)


def _quotes(sheet: Sheet, index: int, entry: Entry) -> bool:
    """Whether an entry is about these two and their answers here."""
    said = {entry.a: entry.answer_a, entry.b: entry.answer_b}
    sides = (sheet.candidate, sheet.other)
    return said == {side.name: side.answers[index] for side in sides}
