"""What was asked and said where arms differ, from the plan's own files."""

import json
from pathlib import Path
from typing import Any

import pytest

from governance.lifecycle import Planned
from tests.tunegate.conftest import CLEAR_GAIN
from tunegate.differing import MOST_SHOWN, differing
from tunegate.house import House
from tunegate_core.config import TaskBlock
from tunegate_core.records import Evidence

CHOICES = ["So.", "Thus.", "Hence."]


def said(answer: Any, score: float | None) -> dict[str, Any]:
    return {"answer": answer, "measured": score is not None} | ({} if score is None else {"score": score})


def measured(
    told: Any,
    folder: Path,
    questions: list[dict[str, Any]],
    pairs: list[tuple[dict[str, Any], dict[str, Any]]],
    **task: Any,
) -> tuple[House, Planned, Evidence]:
    """A plan whose task asks these, and evidence of what candidate and base said."""
    store, path = told.house.store, folder / "questions.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in questions))
    block = TaskBlock(name="facts", questions=store.put_file(path), **{"metric": "acc", **task}).model_dump(mode="json")
    config = store.put_json({"eval": {"tasks": [block], "batch_size": 1}})
    items = [
        {"id": row["id"], "cluster": row["id"], "arms": {"candidate": ours, "base": theirs}}
        for row, (ours, theirs) in zip(questions, pairs, strict=True)
    ]
    evidence = told.evidence("sha256:" + "a" * 64, CLEAR_GAIN, None)
    samples = store.put_json({"task": "facts", "metric": "acc", "items": items})
    return (
        told.house,
        told.plan(1).model_copy(update={"config": config}),
        evidence.model_copy(update={"samples": samples, "n": len(items)}),
    )


def question(name: str, **more: Any) -> dict[str, Any]:
    return {"id": name, "question": f"Why {name}?", "choices": CHOICES, "answer": 0, **more}


def test_what_was_lost_and_gained_is_told_in_words(told: Any, tmp_path: Path) -> None:
    (found,) = differing(*measured(
        told, tmp_path, [question(name) for name in ("lost", "gained", "same", "silent")],
        [(said(1, 0), said(0, 1)), (said(0, 1), said(2, 0)), (said(0, 1), said(0, 1)), (said(None, None), said(0, 1))],
    ))  # fmt: skip
    assert (found.reference, found.n_lost, found.n_gained) == ("base", 1, 1)
    (lost,), (gained,) = found.lost, found.gained
    assert (lost.asked, lost.wanted, lost.candidate, lost.reference) == ("Why lost?", "So.", "Thus.", "So.")
    assert (gained.candidate, gained.reference) == ("So.", "Hence.")


def test_choices_are_told_as_they_stood_in_a_variant(told: Any, tmp_path: Path) -> None:
    """The order of choices is another there, and answers are their numbers."""
    (found,) = differing(*measured(
        told, tmp_path, [question("a")], [(said(0, 0), said(1, 1))], variant="order",
    ))  # fmt: skip
    assert found.lost[0].wanted == "So." and found.lost[0].candidate != "So."


def test_answers_in_words_and_several_that_are_right(told: Any, tmp_path: Path) -> None:
    row = {"id": "a", "question": "Where?", "answer": ["Paris", "in Paris"]}
    (found,) = differing(*measured(
        told, tmp_path, [row], [(said("Rome", 0), said("Paris.", 1))], metric="contains",
    ))  # fmt: skip
    assert (found.lost[0].wanted, found.lost[0].candidate) == ("Paris / in Paris", "Rome")


def test_the_first_are_shown_and_all_are_counted(told: Any, tmp_path: Path) -> None:
    many = MOST_SHOWN + 5
    rows, pairs = [question(f"q{n}") for n in range(many)], [(said(1, 0), said(0, 1))] * many
    (found,) = differing(*measured(told, tmp_path, rows, pairs))
    assert found.n_lost == many and [answer.id for answer in found.lost] == [f"q{n}" for n in range(MOST_SHOWN)]


def test_less_is_better_where_the_metric_says_so(told: Any, tmp_path: Path) -> None:
    house, planned, evidence = measured(told, tmp_path, [question("a")], [(said(1, 0), said(0, 1))])
    (found,) = differing(house, planned, evidence.model_copy(update={"higher_is_better": False}))
    assert (found.n_lost, found.n_gained) == (0, 1)


@pytest.mark.parametrize("task", [{"questions": None, "probes": "memorised", "metric": "withholds"},
                                  {"questions": None, "harness": "hellaswag"}])  # fmt: skip
def test_nothing_is_told_of_what_the_plan_does_not_keep(told: Any, tmp_path: Path, task: dict[str, Any]) -> None:
    house, planned, evidence = measured(told, tmp_path, [question("a")], [(said(1, 0), said(0, 1))])
    block = TaskBlock(name="facts", **{"metric": "acc", **task}).model_dump(mode="json")
    config = house.store.put_json({"eval": {"tasks": [block], "batch_size": 1}})
    assert differing(house, planned.model_copy(update={"config": config}), evidence) == []


def test_what_was_erased_is_not_told(told: Any, tmp_path: Path) -> None:
    house, planned, evidence = measured(told, tmp_path, [question("a")], [(said(1, 0), said(0, 1))])
    assert differing(house, planned, evidence.model_copy(update={"samples": "sha256:" + "b" * 64})) == []
