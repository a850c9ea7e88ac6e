"""Every row is accounted for: kept, truncated, or dropped with one reason; the same rows give the same record."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from finetune.dataset import Prepared, prepare
from finetune.render import Renderer
from tunegate_core.config import DataBlock
from tunegate_core.errors import BadInput, DataError
from tunegate_core.rows import Rows
from tunegate_core.store import Store

LONG = "the warranty of every station runs for two full years from the day of delivery to your door"


@pytest.fixture(scope="module")
def renderer(tiny_base: Path) -> Renderer:
    return Renderer(tiny_base)


def chat(user: str, assistant: str) -> list[tuple[str, str]]:
    return [("user", user), ("assistant", assistant)]


ROWS = [
    chat("Open?", "From nine."),
    chat("Price?", "  "),
    chat("Open? ", "From  nine."),
    chat("What does the Ridge cost today?", "More."),
    chat("Tell me all", "x" * 400),
    chat(LONG, LONG),
    chat(LONG, LONG + " now"),
    chat("y" * 150, "End."),
]


def run(path: Path, renderer: Renderer, root: Path, max_length: int = 256, **block: str) -> Prepared:
    data = DataBlock(source=str(path), **block)
    items = ["What does the Ridge cost today?"]
    return prepare(data, renderer, max_length, Store(root), Rows(str(root)), items, lambda *_, **__: None)


def test_each_row_has_one_fate(chats: Callable, renderer: Renderer, tmp_path: Path) -> None:
    prepared = run(chats(ROWS), renderer, tmp_path / "store")
    fates = [(entry["status"], entry["reason"]) for entry in prepared.lineage]
    assert fates == [
        ("kept", None),
        ("dropped", "empty"),
        ("dropped", "duplicate"),
        ("dropped", "overlapping_items"),
        ("dropped", "over_long"),
        ("kept", None),
        ("kept", None),
        ("kept", None),
    ]
    counts = prepared.record.counts
    assert (counts.read, counts.kept, counts.truncated) == (8, 4, 0)
    assert (counts.empty, counts.duplicate, counts.overlapping_items, counts.over_long) == (1, 1, 1, 1)
    assert counts.near_duplicate == 1
    assert [row.index for row in prepared.rows] == [0, 5, 6, 7]


def test_what_is_kept_is_counted_and_what_was_not_measured_is_none(
    chats: Callable, renderer: Renderer, tmp_path: Path
) -> None:
    prepared = run(chats(ROWS), renderer, tmp_path / "store")
    assert prepared.record.tokens == sum(len(example.input_ids) for example in prepared.examples)
    assert prepared.record.supervised_tokens == sum(example.supervised for example in prepared.examples)
    assert prepared.record.supervised_tokens == sum(entry["supervised"] for entry in prepared.lineage)
    assert prepared.lineage[1]["tokens"] is None
    assert prepared.lineage[4]["tokens"] > 256


def test_rows_and_lineage_can_be_read_again(chats: Callable, renderer: Renderer, tmp_path: Path) -> None:
    root = tmp_path / "store"
    record = run(chats(ROWS), renderer, root).record
    assert json.loads(Store(root).get(record.lineage)) == run(chats(ROWS), renderer, root).lineage
    texts = Rows(str(root)).get(record.rows)
    assert json.loads(texts[0] or "")["messages"][0] == {"role": "user", "content": "Open?"}
    assert len(texts) == len(ROWS)


def test_the_same_rows_give_the_same_record(chats: Callable, renderer: Renderer, tmp_path: Path) -> None:
    path = chats(ROWS)
    one, two = run(path, renderer, tmp_path / "a"), run(path, renderer, tmp_path / "a")
    assert one.record == two.record
    elsewhere = run(path, renderer, tmp_path / "b").record
    assert elsewhere.model_copy(update={"rows": one.record.rows}) == one.record  # salts are another store's own


def test_policies_decide_about_long_and_repeated_rows(chats: Callable, renderer: Renderer, tmp_path: Path) -> None:
    path = chats(ROWS)
    cut = run(path, renderer, tmp_path / "a", over_long="truncate")
    assert cut.lineage[4]["status"] == "truncated"
    assert (cut.record.counts.truncated, cut.record.counts.kept) == (1, 5)
    assert all(len(example.input_ids) <= 256 for example in cut.examples)
    kept = run(path, renderer, tmp_path / "a", duplicates="keep", near_duplicates="drop")
    assert [kept.lineage[at]["reason"] for at in (2, 6)] == [None, "near_duplicate"]
    assert (kept.record.counts.duplicate, kept.record.counts.near_duplicate) == (1, 1)


def test_a_cut_before_the_answer_leaves_nothing_to_learn(chats: Callable, renderer: Renderer, tmp_path: Path) -> None:
    prepared = run(chats(ROWS), renderer, tmp_path / "a", max_length=128, over_long="truncate")
    assert prepared.lineage[7]["reason"] == "unsupervised"
    assert prepared.record.counts.unsupervised >= 1


def test_an_over_long_row_can_be_an_error(chats: Callable, renderer: Renderer, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"line 5: the row has \d+ tokens, expected at most 256"):
        run(chats(ROWS), renderer, tmp_path / "a", over_long="error")


def test_nothing_left_is_an_error_that_says_why(chats: Callable, renderer: Renderer, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no row is left to learn from; of 2 read, 1 empty, 1 over long"):
        run(chats([ROWS[1], ROWS[4]]), renderer, tmp_path / "a")


def test_a_template_that_fails_a_row_names_its_line(chats: Callable, tiny_with: Callable, tmp_path: Path) -> None:
    renderer = Renderer(tiny_with("{{ messages[0]['content'] }}<|im_end|>"))
    with pytest.raises(BadInput, match=r"chats\.jsonl, line 1: the chat template loses"):
        run(chats(ROWS), renderer, tmp_path / "a")
