"""What the steps hand on from the records of the steps before them."""

from pathlib import Path
from typing import Any

import pytest

from eval.task import Learnt
from tunegate import steps
from tunegate.recording import record_once, standing
from tunegate_core.config import TaskBlock
from tunegate_core.errors import IntegrityError
from tunegate_core.records import DatasetRecord, RowCounts

GAIN = (60, 4, 200)


def test_the_champion_is_taken_from_the_plan(told: Any) -> None:
    told.judge(told.plan(1), GAIN)
    champion = standing(told.house, "bot@1").adapter.tree
    told.judge(told.plan(2, champion="bot@1"), GAIN, champion)
    assert standing(told.house, "bot@2").body("judged")["outcome"] == "PASS"
    with pytest.raises(IntegrityError, match=f"is without the champion.*planned was {champion}"):
        told.judge(told.plan(3, champion="bot@1"), GAIN)
    other = standing(told.house, "bot@2").adapter.tree
    with pytest.raises(IntegrityError, match=f"is about the champion {other}; planned was {champion}"):
        told.judge(told.plan(4, champion="bot@1"), GAIN, other)
    assert not standing(told.house, "bot@4").has("judged")


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_what_training_takes_for_auto_is_what_is_measured_in(
    precision: str, told: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    planned, asked = told.plan(1), []
    sealed = told.adapter(planned)
    record_once(told.house, planned.subject, "sealed", lambda: {"adapter": sealed.model_dump(mode="json")})

    def examined(*given: Any) -> list[Any]:
        asked.append(given[9])
        return [told.evidence(sealed.tree, GAIN, None)]

    monkeypatch.setattr("finetune.train.resolve_precision", lambda wanted, gpu: {"auto": precision}[wanted])
    monkeypatch.setattr("finetune.base.open_base", lambda *_: tmp_path)
    monkeypatch.setattr(steps, "training_rows", lambda *_: None)
    monkeypatch.setattr("eval.examine.examine", examined)
    monkeypatch.setattr("eval.items.freeze", lambda tasks, learnt: ())
    monkeypatch.setattr(steps, "recall_tasks", lambda *_: (TaskBlock(name="facts", questions="facts.jsonl"),))
    monkeypatch.setattr(steps, "training_rows", lambda *_: None)
    steps.examine(told.house, planned)
    assert asked == [precision]


def test_training_rows_are_those_learnt_from(told: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("finetune.base.open_base", lambda *_: Path("base"))
    house, planned = told.house, told.plan(1)
    rows = house.rows.put(["one", "two", "three"])
    entries = [{"row": row, "status": status} for row, status in enumerate(("kept", "dropped", "truncated"))]
    data = DatasetRecord(
        source="x.jsonl",
        rows=rows,
        lineage=house.store.put_json(entries),
        counts=RowCounts(**dict.fromkeys(RowCounts.model_fields, 0)),
        tokens=1,
        supervised_tokens=1,
    )
    planned = planned.model_copy(update={"data": data, "source_adapter": None})
    learnt = Learnt(rows, {0: "one", 2: "three"}, Path("base"))
    assert steps.training_rows(house, planned) == learnt
    house.rows.erase(rows, 1)
    assert steps.training_rows(house, planned) == learnt
    house.rows.erase(rows, 2)
    assert steps.training_rows(house, planned) is None
    assert steps.training_rows(house, planned.model_copy(update={"data": None})) is None
