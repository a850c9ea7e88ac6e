"""Every row is learnt from once a pass, whatever the micro-batches and workers, and no row is asked about the next."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finetune.packing import Room, Rows, batch, micro_batches, step_rows
from finetune.render import IGNORED, Encoded

lengths = st.lists(st.integers(1, 60), min_size=1, max_size=30)
row = st.lists(st.tuples(st.integers(1, 99), st.booleans()), min_size=1, max_size=9).map(
    lambda tokens: Encoded([token for token, _ in tokens], [learnt for _, learnt in tokens], False, len(tokens))
)
rows = st.lists(row, min_size=1, max_size=5)


@given(st.integers(1, 40), st.integers(1, 12), st.integers(1, 30), st.integers(0, 5))
def test_each_pass_sees_every_row_once(count: int, per_step: int, steps: int, seed: int) -> None:
    plan = step_rows(count, per_step, steps, seed)
    assert len(plan) == steps
    assert plan == step_rows(count, per_step, steps, seed)
    per_pass = math.ceil(count / per_step)
    for start in range(0, steps - per_pass + 1, per_pass):
        seen = [row for step in plan[start : start + per_pass] for row in step]
        assert sorted(seen) == list(range(count))


def test_every_pass_has_its_own_order() -> None:
    first, second = step_rows(50, 50, 2, seed=1)
    assert first != second


@given(lengths, st.integers(1, 4), st.booleans(), st.integers(8, 80))
def test_micro_batches_hold_every_row_once_and_fit(sizes: list[int], workers: int, packing: bool, tokens: int) -> None:
    room = Room(rows=None, tokens=tokens)
    shares = micro_batches(list(range(len(sizes))), sizes, room, workers, packing)
    assert len({len(share) for share in shares}) == 1  # gradients are shared after each worker's last one
    assert sorted(row for share in shares for group in share for row in group) == list(range(len(sizes)))
    for group in (group for share in shares for group in share):
        held = (
            sum(sizes[row] for row in group) if packing else len(group) * max((sizes[row] for row in group), default=0)
        )
        assert len(group) <= 1 or held <= tokens


def test_rows_at_once_are_an_upper_bound() -> None:
    shares = micro_batches(list(range(16)), [10] * 16, Room(rows=3, tokens=None), 1, packing=True)
    assert max(len(group) for group in shares[0]) <= 3


def test_packed_groups_have_nearly_equal_work() -> None:
    sizes = [100, 90, 80, 70, 60, 50, 40, 30]
    shares = micro_batches(list(range(8)), sizes, Room(rows=None, tokens=300), 2, packing=True)
    loads = [sum(sizes[row] for group in share for row in group) for share in shares]
    assert max(loads) - min(loads) <= 20


@given(rows)
def test_packed_rows_follow_one_another(examples: list[Encoded]) -> None:
    tensors = batch(Rows.of(examples), list(range(len(examples))), packing=True, pad=0)
    assert "attention_mask" not in tensors
    assert tensors["input_ids"].tolist() == [[token for row in examples for token in row.input_ids]]
    starts = [place for place, position in enumerate(tensors["position_ids"][0].tolist()) if position == 0]
    assert len(starts) == len(examples)
    assert all(tensors["labels"][0, start].item() == IGNORED for start in starts)


@given(rows)
def test_packing_and_padding_teach_the_same(examples: list[Encoded]) -> None:
    every = Rows.of(examples)
    group = list(range(len(examples)))
    packed, padded = (batch(every, group, packing, 0)["labels"] for packing in (True, False))
    learnt = [label for labels in padded.tolist() for label in labels if label != IGNORED]
    assert learnt == [label for label in packed[0].tolist() if label != IGNORED]
    assert len(learnt) == every.supervised(group) == sum(row.supervised for row in examples)


@given(rows)
def test_the_mask_shows_exactly_the_rows(examples: list[Encoded]) -> None:
    tensors = batch(Rows.of(examples), list(range(len(examples))), packing=False, pad=0)
    pairs = zip(tensors["input_ids"], tensors["attention_mask"], strict=True)
    assert [ids[mask.bool()].tolist() for ids, mask in pairs] == [row.input_ids for row in examples]


@pytest.mark.parametrize("packing", [True, False])
def test_a_worker_without_rows_takes_part_and_teaches_nothing(packing: bool) -> None:
    every = Rows.of([Encoded([5, 6, 7], [False, True, True], False, 3)])
    labels = batch(every, [], packing, 0)["labels"]
    assert set(labels.flatten().tolist()) == {IGNORED}
