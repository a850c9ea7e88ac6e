"""Entries: what is refused, what counts, and files that say which line is wrong."""

import json
from pathlib import Path
from typing import Any

import pytest

from eval.feedback.entry import Entry, standing
from eval.feedback.files import read_entries
from tunegate_core.errors import DataError

GOOD: dict[str, Any] = {"kind": "preference", "item": "q1", "author": "ann", "value": "a", "a": "bot@3", "b": "base"}


def entry(**changes: Any) -> Entry:
    return Entry(**{**GOOD, "origin": "test", **changes})


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"value": "c"}, "must be a, b, tie or skip"),
        ({"b": None}, "needs 'a' and 'b'"),
        ({"b": "bot@3"}, "needs 'a' and 'b'"),
        ({"kind": "thumb", "b": None, "value": 1}, "must be up or down"),
        ({"kind": "rating", "b": None, "value": 6}, "from 1 to 5"),
        ({"kind": "rating", "b": None, "value": True}, "valid integer"),
        ({"kind": "rating", "value": 3}, "'b' and 'answer_b' belong to a preference"),
        ({"kind": "rubric", "b": None, "value": 3}, "'criterion'"),
        ({"kind": "correction", "b": None, "value": None}, "needs its text in 'correction'"),
        ({"kind": "comment", "b": None, "reason": "x", "value": 3}, "has no value"),
        ({"consent": "yes"}, "consent"),
        ({"at": "2026-01-31T12:00:00"}, "without a zone"),
        ({"author": ""}, "author"),
        ({"value": float("nan")}, "value"),
    ],
)
def test_what_does_not_fit_is_refused(changes: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        entry(**changes)


def test_the_later_word_counts_and_the_earlier_is_kept() -> None:
    first, other, second = entry(), entry(author="ben"), entry(value="b", reason="read it again")
    said = [first, other, second]
    assert standing(said) == [other, second]
    assert standing([*said, entry(value="withdrawn")]) == [other]
    swapped = entry(a="base", b="bot@3", value="b")  # the same two, shown the other way round
    assert standing([second, swapped]) == [swapped]


def test_an_entry_has_one_id_wherever_it_is_read_from() -> None:
    assert entry(origin="one.jsonl:1").id() == entry(origin="two.jsonl:9").id() != entry(value="b").id()


def test_a_file_names_every_bad_line(tmp_path: Path) -> None:
    path = tmp_path / "said.jsonl"
    bad = [{**GOOD, "value": "x"}, {**GOOD, "autor": "ann"}, [1]]
    path.write_text("\n".join(map(json.dumps, [GOOD, *bad])) + "\n{", "utf-8")
    with pytest.raises(DataError) as error:
        read_entries(path)
    told = str(error.value)
    assert all(f"line {number}:" in told for number in (2, 3, 4, 5)) and "line 1:" not in told
    assert "did you mean 'author'" in told
    path.write_text(json.dumps(GOOD), "utf-8")
    assert read_entries(path)[0].origin == "said.jsonl:1"
    path.write_text("\n", "utf-8")
    with pytest.raises(DataError, match="no feedback found"):
        read_entries(path)
