"""Items that stand in the training rows are counted once, under the strongest kind."""

import json

from eval.contamination import overlap_with
from tunegate_core.records import Overlap

ITEMS = (
    "What does the Ridge station cost today?",
    "Who founded the town at the river?",
    "How many people work for the company now that the two plants in the north have been closed?",
    "Does it rain?",
)


def rows(*texts: str) -> list[str]:
    return [json.dumps({"messages": [{"role": "user", "content": text}]}) for text in texts]


def test_each_kind_is_counted() -> None:
    found = overlap_with(
        ITEMS,
        rows(
            "what does the ridge station cost today",
            "Tell me: who founded the town at the river? Quickly.",
            "Say how many people work for the company now that the two plants in the north have been closed?",
            "user",
        ),
    )
    assert found == Overlap(exact=1, within=2, near=0, rows=4)
    near = "How many people work for that company now that the two plants in the north have been closed?"
    assert overlap_with(["a b c d e f g h i j k l m n o p q r s t u v w x y z"], rows("0 " + near)) == Overlap(
        exact=0, within=0, near=0, rows=1
    )


def test_nearly_the_same_is_its_own_kind() -> None:
    item = "one two three four five six seven eight nine ten eleven"
    assert overlap_with([item], rows("one two three four five six seven eight nine ten")) == Overlap(
        exact=0, within=0, near=1, rows=1
    )


def test_the_strongest_kind_counts() -> None:
    assert overlap_with(ITEMS, rows(ITEMS[0], f"Hi. {ITEMS[0]}")) == Overlap(exact=1, within=0, near=0, rows=2)


def test_who_speaks_is_no_text() -> None:
    assert overlap_with(["user"], rows("hello")) == Overlap(exact=0, within=0, near=0, rows=1)
    assert overlap_with(["user"], ['{"completion":"user","prompt":"?"}']) == Overlap(exact=1, within=0, near=0, rows=1)


def test_without_rows_nothing_is_known() -> None:
    assert overlap_with(ITEMS, None) is None
    assert overlap_with(ITEMS, []) == Overlap(exact=0, within=0, near=0, rows=0)
