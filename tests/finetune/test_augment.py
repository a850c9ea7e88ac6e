"""Copies about the other group: both directions, the case kept, and no copy where grammar would have to decide."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finetune.augment import Swaps, parse_pairs, read_pairs
from finetune.dataset import Prepared, prepare
from finetune.render import Renderer
from tunegate_core.canonical import canonical_json
from tunegate_core.config import DataBlock
from tunegate_core.errors import DataError
from tunegate_core.rows import Rows
from tunegate_core.store import Store

PAIRS = [
    ("he", "she"),
    ("him", "her"),
    ("his", "her"),
    ("Anna", "Peter"),
    ("mother-in-law", "father-in-law"),
    ("Jean-Luc", "Anne-Marie"),
]
SWAPS = Swaps(PAIRS)


@pytest.mark.parametrize(
    ("text", "swapped"),
    [
        ("He met Anna.", "She met Peter."),
        ("ANNA and PETER: he, She!", "PETER and ANNA: she, He!"),
        ("Anna's mother-in-law, Peter\N{RIGHT SINGLE QUOTATION MARK}s", "Peter's father-in-law, Anna\u2019s"),
        ("The other one; there, Hannah", "The other one; there, Hannah"),
        ("his book", "her book"),
        ("Mother-in-law of Jean-Luc", "Father-in-law of Anne-Marie"),
    ],
)
def test_words_are_exchanged_in_their_own_case(text: str, swapped: str) -> None:
    assert SWAPS.text(text) == swapped


@given(st.lists(st.sampled_from(["he", "She", "ANNA", "Peter's", "met", "1.", "\n"])))
def test_twice_is_as_before(words: list[str]) -> None:
    text = " ".join(words)
    assert SWAPS.text(SWAPS.text(text)) == text


def test_what_grammar_would_have_to_decide_gets_no_copy() -> None:
    row = canonical_json({"prompt": "Whose?", "completion": "Her book, she says."}).decode()
    assert SWAPS.row(row) == ("ambiguous", row)
    plain = canonical_json({"text": "Nobody."}).decode()
    assert SWAPS.row(plain) == ("unchanged", plain)
    turns = [{"role": "user", "content": "Is he in?"}, {"role": "assistant", "content": "He is."}]
    outcome, told = Swaps([("he", "she"), ("user", "guest")]).row(canonical_json({"messages": turns}).decode())
    assert outcome == "swapped"
    assert json.loads(told)["messages"] == [
        {"role": "user", "content": "Is she in?"},
        {"role": "assistant", "content": "She is."},
    ]


def test_a_file_of_a_spreadsheet_begins_with_a_mark(tmp_path: Path) -> None:
    (tmp_path / "pairs.csv").write_text("he,she\n", "utf-8-sig")
    assert read_pairs(tmp_path / "pairs.csv") == [("he", "she")]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("he,she\nhe", "line 2: expected two words a line, as in he,she, and the two different; found 'he'"),
        ("he,He", "line 1: expected two words"),
        ("he,she it", "line 1: expected two words"),
        ("# nothing\n", "holds no pair; expected two words a line"),
    ],
)
def test_a_file_that_holds_something_else_is_refused(text: str, problem: str) -> None:
    with pytest.raises(DataError, match=problem):
        parse_pairs(text, "pairs.csv")


def test_the_pairs_that_come_along_can_be_read(repository: Path, tmp_path: Path) -> None:
    assert ("he", "she") in read_pairs(repository / "configs" / "data" / "swaps" / "gender-en.csv")
    with pytest.raises(DataError, match="can't be read"):
        read_pairs(tmp_path / "none.csv")


def chat(user: str, assistant: str) -> list[tuple[str, str]]:
    return [("user", user), ("assistant", assistant)]


ROWS = [
    chat("Who is there?", "He is the new doctor of our town."),
    chat("Who?", "Nobody at all."),
    chat("Whose?", "It is her umbrella."),
    chat("Who else?", "She is."),
    chat("Who else?", "He is."),
    chat("Is she in the house today?", "No."),
    chat("Who is there?", "He is the new doctor of our town."),
]
ITEM = "Is he in the house today?"


@pytest.fixture
def prepared(chats: Callable[..., Path], tiny_base: Path, tmp_path: Path) -> Prepared:
    pairs = tmp_path / "pairs.csv"
    pairs.write_text("he,she\nhim,her\nhis,her\n")
    block: Any = DataBlock(source=str(chats(ROWS)), augment={"counterfactual": str(pairs)}, near_duplicates="drop")
    root = tmp_path / "store"
    return prepare(block, Renderer(tiny_base), 256, Store(root), Rows(str(root)), [ITEM], lambda *_, **__: None)


def test_copies_are_learnt_from_and_stand_under_their_rows(prepared: Prepared, tmp_path: Path) -> None:
    copies = [(entry["row"], entry["status"], entry["reason"]) for entry in prepared.lineage if "copy" in entry]
    assert copies == [
        (0, "kept", None),
        (3, "dropped", "duplicate"),  # the data hold both already
        (4, "dropped", "duplicate"),
        (5, "dropped", "overlapping_items"),
    ]
    assert [entry["status"] for entry in prepared.lineage if "copy" not in entry] == ["kept"] * 6 + ["dropped"]
    assert prepared.rows[-1].parts[-1].text == "She is the new doctor of our town."
    assert len(prepared.examples) == len(prepared.rows) == 7
    made = prepared.record.augmented
    assert made is not None
    assert (made.copies, made.dropped, made.unchanged, made.ambiguous) == (1, 3, 1, 1)
    assert Store(tmp_path / "store").get(made.pairs) == (tmp_path / "pairs.csv").read_bytes()


def test_no_text_of_a_copy_is_in_the_store(prepared: Prepared, tmp_path: Path) -> None:
    rows = Rows(str(tmp_path / "store"))
    assert len(rows.get(prepared.record.rows)) == len(ROWS)
    rows.erase(prepared.record.rows, 0)
    rows.erase(prepared.record.rows, 6)
    kept = b"".join(path.read_bytes() for path in (tmp_path / "store").rglob("*") if path.is_file())
    assert b"new doctor" not in kept


def test_without_augmentation_the_record_is_as_it_was(
    chats: Callable[..., Path], tiny_base: Path, tmp_path: Path
) -> None:
    block, root = DataBlock(source=str(chats(ROWS))), tmp_path / "store"
    plain = prepare(block, Renderer(tiny_base), 256, Store(root), Rows(str(root)), [ITEM], lambda *_, **__: None)
    assert "augmented" not in plain.record.model_dump()
    assert not [entry for entry in plain.lineage if "copy" in entry]
