"""Results by group: what fairlearn says of the same items, shared clusters, and columns that tell nothing."""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eval.grouping import group_statistics, read_groups, verify_groups
from eval.items import freeze
from eval.results import Result
from eval.statistics import arm_statistics, paired_statistics
from eval.task import Item
from tunegate_core.config import TaskBlock
from tunegate_core.errors import BadInput, DataError
from tunegate_core.records import GroupStatistics

ROW = {"id": "q", "question": "How?", "choices": ["So.", "Thus."], "answer": 0, "cluster": "f"}
COLUMNS = ("plan", "dialect")
Drawn = list[tuple[str, str, str, bool, bool | None]]
drawn = st.lists(
    st.tuples(
        st.sampled_from("abc"), st.sampled_from(["home", "farm"]), st.sampled_from(["north", "south"]), st.booleans(),
        st.none() | st.booleans(),
    ),
    min_size=1, max_size=30,
)  # fmt: skip


def grouped(rows: Drawn) -> tuple[GroupStatistics, ...]:
    items = [Item(str(n), "?", None, 0, row[0], (row[1], row[2])) for n, row in enumerate(rows)]
    ours = [result(n, row[3]) for n, row in enumerate(rows)]
    theirs = [result(n, row[4]) for n, row in enumerate(rows)]
    pair = paired_statistics("base", "b", items, ours, theirs)
    return group_statistics(
        COLUMNS, items, {"candidate": ours, "base": theirs}, {"candidate": "a", "base": "b"}, [pair]
    )


def result(number: int, score: bool | None) -> Result:
    return Result(id=str(number), score=None if score is None else float(score), reason=None if score else "lost")


@given(drawn)
def test_each_column_splits_the_whole(rows: Drawn) -> None:
    groups = grouped(rows)
    for column in {group.column for group in groups}:
        parts = [group for group in groups if group.column == column]
        assert sum(group.n for group in parts) == len(rows)
        assert sum(c.n for g in parts for c in g.pairs[0].clusters) == sum(row[4] is not None for row in rows)
        assert math.fsum(total for g in parts for _, total, _ in g.arms[0].clusters) == sum(row[3] for row in rows)
    assert all(len(g.clusters) == len(g.arms[1].clusters) == len(g.pairs[0].clusters) for g in groups)


def test_fairlearns_metric_frame_says_the_same() -> None:
    from fairlearn.metrics import MetricFrame, count

    rows: Drawn = [("abc"[n % 3], "home" if n % 5 else "farm", "north" if n % 2 else "south", n % 3 > 0, True)
                   for n in range(60)]  # fmt: skip
    scores = [float(row[3]) for row in rows]
    frame = MetricFrame(
        metrics={"mean": lambda true, score: score.mean(), "n": count}, y_true=scores, y_pred=scores,
        sensitive_features={"plan": [row[1] for row in rows], "dialect": [row[2] for row in rows]},
    )  # fmt: skip
    told = {g.value: g for g in grouped(rows) if g.column == "plan & dialect"}
    assert len(told) == 4
    for (plan, dialect), found in frame.by_group.iterrows():
        group = told[f"{plan} & {dialect}"]
        assert group.n == found["n"]
        assert math.fsum(t for _, t, _ in group.arms[0].clusters) / group.n == pytest.approx(found["mean"])


def test_groups_that_share_a_cluster_name_the_same_one() -> None:
    told = {g.value: g for g in grouped([("b", "home", "north", True, True), ("a", "farm", "north", True, True),
                                         ("b", "farm", "north", False, True)])}  # fmt: skip
    assert (told["home"].clusters, told["farm"].clusters) == ((1,), (0, 1))
    assert [n for n, _, _ in told["farm"].arms[0].clusters] == [1, 1]


def test_a_cluster_where_nothing_was_measured_stays_in_its_place() -> None:
    items = [Item("0", "?", None, 0, "a"), Item("1", "?", None, 0, "b")]
    told = arm_statistics("base", "b", items, [result(0, None), result(1, True)], ["a", "b"])
    assert told.clusters == ((0, 0.0, 0.0), (1, 1.0, 1.0))


def rows_of(values: list[Any], **more: Any) -> list[dict[str, Any]]:
    told = list(enumerate(values))
    return [
        {**ROW, "id": f"q{n}", "question": f"How {n}?", "cluster": f"f{n}", "plan": plan, **more} for n, plan in told
    ]


def block(path: Path, *groups: str) -> TaskBlock:
    return TaskBlock(name="facts", questions=str(path), groups=groups)


def test_groups_are_frozen_with_the_items(questions: Callable[..., Path]) -> None:
    one, other = (
        questions(rows_of(["home", "farm", "farm"]), "1.jsonl"),
        questions(rows_of(["home"] * 2 + ["farm"]), "2"),
    )
    item = freeze([block(one, "plan")])[0]
    assert item.groups == {"plan": {"farm": (2, 2), "home": (1, 1)}}
    assert item.summary()["groups"] == {"plan": {"farm": [2, 2], "home": [1, 1]}}
    assert item.digest != freeze([block(other, "plan")])[0].digest
    assert json.loads(json.dumps(item.summary())) == item.summary()


def test_tasks_without_groups_keep_their_digest(questions: Callable[..., Path]) -> None:
    found = freeze([block(questions([ROW, {**ROW, "id": "r"}]))])[0]
    assert found.digest == "sha256:175534c90387d4d6214ca7145b5a3dcdc5d5664035817aeea4f16a251b472b47"
    assert "groups" not in found.summary()


@pytest.mark.parametrize(
    ("values", "groups", "message"),
    [
        (["home", "home"], ("plan",), "has only the value 'home'"),
        (["home", ""], ("plan",), "'plan' must be a text that is not empty"),
        (["home", 3], ("plan",), "'plan' must be a text"),
        (["home", "farm"], ("plan", "dialect"), "'dialect' is missing"),
        (["home", "farm"], (), "unknown field 'plan'"),
    ],
)
def test_columns_that_tell_nothing_are_refused(
    questions: Callable[..., Path], values: list[Any], groups: tuple[str, ...], message: str
) -> None:
    with pytest.raises(BadInput, match=message):
        freeze([block(questions(rows_of(values)), *groups)])


@pytest.mark.parametrize("columns", [["plan", "plan"], ["cluster"], [""]])
def test_columns_that_can_be_no_groups(columns: list[str]) -> None:
    with pytest.raises(ValueError, match="can't be group columns, or are named twice"):
        block(Path("x"), *columns)


def test_a_kind_of_task_without_group_columns_says_so() -> None:
    with pytest.raises(BadInput, match="its items carry no group columns"):
        verify_groups(block(Path("x"), "plan"), [Item("0", "?", None, 0, "a")])


def test_two_intersections_of_one_name_are_refused() -> None:
    items = [Item(str(n), "?", None, 0, "a", groups) for n, groups in enumerate([("a & b", "c"), ("a", "b & c")])]
    with pytest.raises(DataError, match="both be called 'a & b & c'"):
        verify_groups(block(Path("x"), "plan", "dialect"), items)


def test_a_document_of_the_harness_needs_its_group() -> None:
    told = block(Path("x"), "plan")
    assert read_groups(told, {"plan": 3, "text": "?"}, "0") == ("3",)
    with pytest.raises(DataError, match="item 7: the group column 'plan' has no value"):
        read_groups(told, {"plan": None}, "7")
