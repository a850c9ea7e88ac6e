"""From feedback to rows that can be learnt from: an answer that was preferred, and one that was not.

The rows have TRL's conversational preference form (`prompt`, `chosen`, `rejected`, each a list of messages), and beside
it where they come from. Only what its author agreed to give for learning is used, and every row that is left out is
counted with its reason.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from eval.feedback.entry import SKIP, TIE, Entry

NO_CONSENT = "without consent"
NO_TEXT = "without prompt or answers"
TIED = "tied, or people are divided"
SAME = "both answers are the same"
OTHER = "no preference or correction"


@dataclass(frozen=True)
class Pair:
    """One row. `how`: preference or correction; `authors`: how many people; `agreeing`: how many of them chose so."""

    prompt: str
    chosen: str
    rejected: str
    how: str
    authors: int
    agreeing: int
    sources: tuple[str, ...]
    entries: tuple[str, ...]

    def row(self) -> dict[str, Any]:
        """For a JSONL; `consent` is true by construction and written down for who reads the file alone."""
        return {
            "prompt": [{"role": "user", "content": self.prompt}],
            "chosen": [{"role": "assistant", "content": self.chosen}],
            "rejected": [{"role": "assistant", "content": self.rejected}],
            "consent": True,
            "provenance": {
                "how": self.how,
                "authors": self.authors,
                "agreeing": self.agreeing,
                "sources": list(self.sources),
                "entries": list(self.entries),
            },
        }


def pairs(entries: Iterable[Entry]) -> tuple[list[Pair], Counter[str]]:
    """Pairs in the order of their prompts, and what was left out, by reason. `entries`: those that stand."""
    left_out: Counter[str] = Counter()
    compared: dict[tuple[str, str, str], list[Entry]] = defaultdict(list)
    found: list[Pair] = []
    for entry in entries:
        why = _unfit(entry)
        if why:
            left_out[why] += 1
        elif entry.kind == "correction":
            found.append(_corrected(entry))
        else:
            first, second = sorted((str(entry.answer_a), str(entry.answer_b)))
            compared[str(entry.prompt), first, second].append(entry)
    for (prompt, first, second), told in compared.items():
        pair = _decided(prompt, first, second, told)
        if pair is None:
            left_out[TIED] += len(told)
        else:
            found.append(pair)
    return sorted(found, key=lambda pair: (pair.prompt, pair.chosen, pair.rejected)), left_out


def _unfit(entry: Entry) -> str | None:
    if entry.kind not in ("preference", "correction"):
        return OTHER
    if not entry.consent:
        return NO_CONSENT
    other = entry.correction if entry.kind == "correction" else entry.answer_b
    if entry.prompt is None or entry.answer_a is None or other is None:
        return NO_TEXT
    return SAME if entry.answer_a == other else None


def _corrected(entry: Entry) -> Pair:
    return Pair(
        prompt=str(entry.prompt), chosen=str(entry.correction), rejected=str(entry.answer_a), how="correction",
        authors=1, agreeing=1, sources=(entry.source,), entries=(entry.id(),),
    )  # fmt: skip


def _decided(prompt: str, first: str, second: str, told: list[Entry]) -> Pair | None:
    """The pair that more than half of the people chose."""
    votes = Counter(_choice(entry) for entry in told)
    chosen, agreeing = max(((text, votes[text]) for text in (first, second)), key=lambda vote: vote[1])
    if 2 * agreeing <= len(told):
        return None
    return Pair(
        prompt=prompt,
        chosen=chosen,
        rejected=second if chosen == first else first,
        how="preference",
        authors=len(told),
        agreeing=agreeing,
        sources=tuple(sorted({entry.source for entry in told})),
        entries=tuple(entry.id() for entry in told),
    )


def _choice(entry: Entry) -> str | None:
    if entry.value in (TIE, SKIP):
        return None
    return entry.answer_a if entry.value == "a" else entry.answer_b
