"""What the verbs of feedback show, worked out afresh from what was recorded."""

from collections import Counter
from typing import Any

from eval.feedback.agreement import agreement
from eval.feedback.evidence import counts, missing, ratings
from eval.feedback.strength import bradley_terry, win_rates
from eval.feedback.units import level_of, matches, questions
from tunegate.feedback import recorded
from tunegate.house import House
from tunegate.rating import open_subjects, sheets


def listed(house: House) -> dict[str, Any]:
    """What counts now, what was said in all, and the sheets that wait for ratings."""
    said = recorded(house)
    now = said.standing()
    waiting = []
    for subject in open_subjects(house.registry()):
        for sheet in sheets(house, subject):
            rated = ratings(sheet, now)
            waiting.append(
                {
                    "version": subject, "task": sheet.task, "against": sheet.other.name, "prompts": len(sheet.items),
                    "raters": sheet.raters, "missing": missing(sheet, rated), "said": dict(counts(rated)),
                }
            )  # fmt: skip
    return {
        "batches": said.batches,
        "recorded": len(said.entries),
        "erased": said.erased,
        "kinds": dict(sorted(Counter(entry.kind for entry in now).items())),
        "sources": dict(sorted(Counter(entry.source for entry in now).items())),
        "authors": len({entry.author for entry in now}),
        "consented": sum(entry.consent for entry in now),
        "waiting": waiting,
        "entries": [{"id": entry.id(), **entry.model_dump(mode="json", exclude_none=True)} for entry in now],
    }


def agreed(house: House) -> dict[str, Any]:
    """Agreement by question, win rates of two and strengths of all."""
    now = recorded(house).standing()
    compared = matches(now)
    return {
        "questions": [
            agreement(question, level_of(question), labels).model_dump(mode="json")
            for question, labels in sorted(questions(now).items())
        ],
        "win_rates": [rate.model_dump(mode="json") for rate in win_rates(compared)],
        "strengths": bradley_terry(compared, "base").model_dump(mode="json"),
    }
