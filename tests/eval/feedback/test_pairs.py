"""Pairs for preference tuning: consent, majorities, corrections; and real preferences of a public set go through."""

import gzip
import json
from pathlib import Path
from typing import Any

from eval.feedback.entry import Entry
from eval.feedback.pairs import NO_CONSENT, NO_TEXT, OTHER, SAME, TIED, pairs


def said(**changes: Any) -> Entry:
    fields: dict[str, Any] = {
        "kind": "preference", "item": "q", "author": "ann", "value": "a", "a": "bot@1", "b": "base", "prompt": "why?",
        "answer_a": "because", "answer_b": "no idea", "consent": True, "origin": "test",
    }  # fmt: skip
    return Entry(**{**fields, **changes})


def test_most_people_decide_whichever_was_shown_first() -> None:
    swapped = {"a": "base", "b": "bot@1", "answer_a": "no idea", "answer_b": "because", "value": "b"}
    found, left_out = pairs([said(), said(author="ben", **swapped), said(author="cy", value="b")])
    (pair,) = found
    assert (pair.chosen, pair.rejected, pair.authors, pair.agreeing) == ("because", "no idea", 3, 2)
    assert not left_out
    row = pair.row()
    assert row["prompt"] == [{"role": "user", "content": "why?"}]
    assert row["chosen"] == [{"role": "assistant", "content": "because"}]
    assert row["consent"] is True and len(row["provenance"]["entries"]) == 3


def test_what_is_left_out_has_a_reason() -> None:
    found, left_out = pairs(
        [
            said(consent=False),
            said(item="divided"),
            said(item="divided", author="ben", value="b"),
            said(prompt=None),
            said(answer_b="because"),
            said(kind="thumb", b=None, answer_b=None, value="up"),
        ]
    )
    assert found == []
    assert left_out == {NO_CONSENT: 1, TIED: 2, NO_TEXT: 1, SAME: 1, OTHER: 1}


def test_a_correction_is_chosen_over_what_it_corrects() -> None:
    ((pair,), _) = pairs([said(kind="correction", b=None, answer_b=None, value=None, correction="therefore")])
    assert (pair.chosen, pair.rejected, pair.how) == ("therefore", "because", "correction")


def test_public_preferences_go_through(test_data: Path) -> None:
    entries = []
    with gzip.open(test_data / "hh_rlhf/harmless-base_test.jsonl.gz", "rt", encoding="utf-8") as file:
        for number, line in zip(range(200), file, strict=False):
            row = json.loads(line)
            prompt, _, chosen = row["chosen"].rpartition("\n\nAssistant:")
            if row["rejected"].startswith(prompt) and chosen.strip():
                rejected = row["rejected"][len(prompt) :].removeprefix("\n\nAssistant:").strip() or "(no answer)"
                texts = {"prompt": prompt, "answer_a": chosen.strip(), "answer_b": rejected}
                entries.append(said(item=f"hh-{number}", **texts))
    found, left_out = pairs(entries)
    assert len(found) + left_out[SAME] + left_out[TIED] >= len({e.prompt for e in entries}) > 150
