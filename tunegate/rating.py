"""Sheets of answers that people compare: made when a candidate is examined, judged when they are rated.

A sheet lies in the store as the samples of its evidence, so that ratings are judged later without a model.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from eval.feedback.entry import Entry
from eval.feedback.evidence import METRIC, Reference, Sheet, Side, is_whole, preference_evidence
from governance.lifecycle import Examined, Judged, Planned
from governance.registry import Registry
from tunegate.feedback import recorded
from tunegate.house import House
from tunegate.recording import append, standing
from tunegate_core.canonical import digest_json
from tunegate_core.config import TaskBlock
from tunegate_core.records import Arm, Evidence

if TYPE_CHECKING:
    from eval.model import Precision


def rated_evidence(
    house: House,
    planned: Planned,
    tasks: Sequence[TaskBlock],
    arms: Mapping[Arm, Path | None],
    subjects: Mapping[Arm, str],
    precision: "Precision",
) -> list[Evidence]:
    """Evidence for the tasks that people rate: the arms answer now, and what was said about these answers counts.

    The candidate is compared with the champion, and where the route has none, with the base.
    """
    from eval.feedback.answers import MOST_TOKENS, answer_all
    from eval.items import open_task
    from finetune.base import open_base

    reference: Reference = "champion" if "champion" in arms else "base"
    names = {"candidate": planned.subject, "base": "base", "champion": planned.champion or ""}
    pair: dict[Arm, Path | None] = {"candidate": arms["candidate"], reference: arms[reference]}
    found = []
    entries = recorded(house).standing() if tasks else []
    for task in tasks:
        opened = open_task(task)
        folder = open_base(planned.base, house.store, house.cache)
        answers = answer_all(
            task.name, opened.items, folder, planned.base.tree, pair, subjects, house.cache / "eval", precision,
            house.progress,
        )  # fmt: skip
        ours, theirs = (Side(names[arm], subjects[arm], answers[arm]) for arm in pair)
        sheet = Sheet(task.name, opened.digest(), task.raters, opened.items, reference, ours, theirs)
        shaping = {"template": planned.base.template, "tokens": MOST_TOKENS, "precision": precision}
        samples = house.store.put_json(sheet.to_json())
        found.append(preference_evidence(sheet, entries, digest_json(shaping), samples))
    return found


def look_again(house: House, planned: Planned) -> bool:
    """Judged UNDECIDED -> Examined, where more was said about this candidate's answers; whether it was.

    Only until every prompt is rated: then there is one look at the figures, and no other. All else stays as it is.
    """
    now = standing(house, planned.subject)
    if not isinstance(now.state, Judged) or now.state.outcome != "UNDECIDED":
        return False
    before = list(now.body("examined")["evidence"])
    entries: list[Entry] | None = None
    after = []
    for blob in before:
        evidence = Evidence.parse(house.store.get(blob))
        if evidence.metric == METRIC and not is_whole(evidence):
            entries = recorded(house).standing() if entries is None else entries
            sheet = read_sheet(house, evidence)
            evidence = preference_evidence(sheet, entries, evidence.settings, evidence.samples)
        after.append(house.store.put(evidence.canonical()))
    if after == before:
        return False
    looks = sum(event.kind == "examined" for event in now.events)
    with house.ledger.write() as tx:
        append(house, tx, planned.subject, "examined", {"evidence": after}, f"{planned.subject}/examined/{looks + 1}")
    return True


def sheets(house: House, subject: str) -> list[Sheet]:
    """What people compare about one candidate. Empty before it was examined."""
    now = standing(house, subject)
    if not now.has("examined"):
        return []
    told = [Evidence.parse(house.store.get(blob)) for blob in now.body("examined")["evidence"]]
    return [read_sheet(house, evidence) for evidence in told if evidence.metric == METRIC]


def open_subjects(registry: Registry) -> list[str]:
    """Candidates that are neither refused nor decided, newest first: those whose ratings still matter."""
    entries = registry.entries.values()
    return [e.subject for e in reversed(entries) if e.state == Examined.__name__ or e.verdict == "UNDECIDED"]


def read_sheet(house: House, evidence: Evidence) -> Sheet:
    """The sheet of a piece of evidence."""
    told: dict[str, Any] = json.loads(house.store.get(evidence.samples))
    return Sheet.from_json(told)
