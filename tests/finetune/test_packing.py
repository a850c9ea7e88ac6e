"""Packed or padded, every token and every label of every row is there, and no row is asked about the next."""

from hypothesis import given
from hypothesis import strategies as st

from finetune.loss import IGNORED
from finetune.packing import Packer

row = st.lists(st.tuples(st.integers(1, 99), st.booleans()), min_size=1, max_size=9).map(
    lambda tokens: {
        "input_ids": [token for token, _ in tokens],
        "labels": [token if learnt else IGNORED for token, learnt in tokens],
    }
)


@given(st.lists(row, min_size=1, max_size=5))
def test_packed_rows_follow_one_another(rows: list[dict[str, list[int]]]) -> None:
    batch = Packer(packing=True, pad=0)(rows)
    assert "attention_mask" not in batch
    assert batch["input_ids"].tolist() == [[token for row in rows for token in row["input_ids"]]]
    starts = [place for place, position in enumerate(batch["position_ids"][0].tolist()) if position == 0]
    assert len(starts) == len(rows)
    assert all(batch["labels"][0, start].item() == IGNORED for start in starts)


@given(st.lists(row, min_size=1, max_size=5))
def test_packing_and_padding_teach_the_same(rows: list[dict[str, list[int]]]) -> None:
    packed, padded = (Packer(packing, 0)(rows)["labels"] for packing in (True, False))
    learnt = [label for labels in padded.tolist() for label in labels if label != IGNORED]
    assert learnt == [label for label in packed[0].tolist() if label != IGNORED]


@given(st.lists(row, min_size=1, max_size=5))
def test_the_mask_shows_exactly_the_rows(rows: list[dict[str, list[int]]]) -> None:
    batch = Packer(packing=False, pad=0)(rows)
    shown = [ids[mask.bool()].tolist() for ids, mask in zip(batch["input_ids"], batch["attention_mask"], strict=True)]
    assert shown == [row["input_ids"] for row in rows]
