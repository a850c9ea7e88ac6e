"""What `tunegate check` says of the items that stand in the training rows."""

from eval.items import ItemSet
from finetune.data import Part, Row
from tunegate.checking import overlap

TEXTS = ("What does the Ridge station cost today?", "one two three four five six seven eight nine ten eleven")
ITEMS = ItemSet(task="facts", metric="acc", digest="sha256:x", n=2, clusters=2, texts=TEXTS)


def row(text: str) -> Row:
    return Row(0, 1, "text", (Part("text", text),), '{"text": "' + text + '"}')


def test_nothing_left_is_well() -> None:
    assert overlap(ITEMS, [row("Something else.")]) == {
        "name": "overlap of facts",
        "status": "ok",
        "what": "0 of 2 items stand in the training rows",
    }


def test_what_is_left_is_told_by_kind() -> None:
    found = overlap(ITEMS, [row("one two three four five six seven eight nine ten")])
    assert found["status"] == "warn"
    assert found["what"] == "1 of 2 items stand in the training rows: 0 as they are, 0 within a row, 1 nearly"
