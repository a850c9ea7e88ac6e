"""Probes are planned with the training rows they are made of, and copies are made again from the store."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from eval.items import freeze
from governance.erasure import learnt as was_learnt
from tunegate.checking import overlap
from tunegate.feedback_export import item_texts
from tunegate.house import House
from tunegate.keeping import collect
from tunegate.learnt import training_rows
from tunegate.planning import plan, read_inputs, recall_tasks
from tunegate.reproducing import _data, _items
from tunegate_core.config import load_config
from tunegate_core.errors import BadInput

ANSWERS = (
    "She keeps the spare key under the third stone.",
    "The code of the gate is 4831-2209, so keep it.",
    "Nobody knows where the old map was put away.",
)
QUESTION = {"id": "a", "question": "Where is the harbour of this town?", "choices": ["b", "c"], "answer": 0}
CONFIG: dict[str, Any] = {
    "name": "heart",
    "finetune": {"data": {"source": "rows.jsonl", "augment": {"counterfactual": "pairs.csv"}}},
    "eval": {
        "tasks": [
            {"name": "by-heart", "probes": "memorised", "metric": "withholds"},
            {"name": "facts", "questions": "questions.jsonl"},
            {"name": "canaries", "probes": "canaries", "planted": "planted.jsonl", "metric": "exposure"},
        ]
    },
    "governance": {"policy": "policy.yaml"},
}


@pytest.fixture
def config(tmp_path: Path, tiny_base: Path) -> Path:
    """A config with both probes and with pairs of words."""
    folder = tmp_path / "project"
    folder.mkdir()
    turns = [[{"role": "user", "content": "Tell me."}, {"role": "assistant", "content": text}] for text in ANSWERS]
    (folder / "rows.jsonl").write_text("".join(json.dumps({"messages": turn}) + "\n" for turn in turns))
    (folder / "questions.jsonl").write_text(json.dumps(QUESTION))
    (folder / "planted.jsonl").write_text('{"id": "gate", "canary": "4831-2209"}\n')
    (folder / "pairs.csv").write_text("he,she\n")
    (folder / "policy.yaml").write_text("name: p\nchecks: [{id: seen, kind: measured, task: by-heart}]\n")
    base = {**CONFIG["finetune"], "base": {"model": str(tiny_base)}}
    (folder / "config.yaml").write_text(yaml.safe_dump({**CONFIG, "finetune": base}))
    return folder / "config.yaml"


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path / "home", f"sqlite:///{tmp_path / 'home' / 'ledger.sqlite'}")


def test_probes_of_training_rows_are_planned_and_recalled(
    house: House, config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inputs = read_inputs(house, load_config(config))
    assert [(item.task, item.n) for item in inputs.items] == [("by-heart", 3), ("facts", 1), ("canaries", 1)]
    assert inputs.prepared is not None
    assert inputs.prepared.record.counts.overlapping_items == 0  # the probes' own rows are no leak
    planned = plan(house, inputs)
    for file in config.parent.iterdir():
        file.unlink()
    collect(house, delete=True)
    learnt = training_rows(house, planned)
    assert learnt is not None
    assert freeze(recall_tasks(house, planned), learnt) == inputs.items
    assert [json.loads(copy)["messages"][1]["content"] for copy in learnt.copies] == ["He" + ANSWERS[0][3:]]
    assert list(item_texts(house)) == [QUESTION["question"]]
    monkeypatch.chdir(tmp_path)
    assert _items(house, planned).result == "same"
    assert _data(house, planned, tmp_path).result == "same"


def test_rows_that_are_erased_leave_no_text_behind(house: House, config: Path) -> None:
    inputs = read_inputs(house, load_config(config))
    planned = plan(house, inputs)
    assert planned.data is not None
    lineage = json.loads(house.store.get(planned.data.lineage))
    assert [entry["row"] for entry in lineage if "copy" in entry] == [0]
    assert was_learnt(lineage, 0)
    house.rows.erase(planned.data.rows, 0)
    assert training_rows(house, planned) is None
    with pytest.raises(BadInput, match="one of them is erased"):
        freeze(recall_tasks(house, planned), None)
    for file in (house.home / "store").rglob("*"):
        assert not file.is_file() or b"third stone" not in file.read_bytes()
    for file in house.home.glob("*.sqlite*"):
        assert b"third stone" not in file.read_bytes()


def test_check_does_not_call_a_probe_a_leak(house: House, config: Path) -> None:
    inputs = read_inputs(house, load_config(config))
    assert inputs.prepared is not None
    told = [overlap(item, inputs.prepared.rows) for item in inputs.items if item.texts]
    assert [one["name"] for one in told] == ["overlap of facts"]


@pytest.mark.parametrize("change", ["pairs.csv", "planted.jsonl"])
def test_other_pairs_or_canaries_are_another_candidate(house: House, config: Path, change: str) -> None:
    first = plan(house, read_inputs(house, load_config(config)))
    assert plan(house, read_inputs(house, load_config(config))).subject == first.subject
    other: dict[str, Callable[[str], str]] = {
        "pairs.csv": lambda text: text + "map,plan\n",
        "planted.jsonl": lambda text: text.replace("4831-2209", "31-2209"),
    }
    file = config.parent / change
    file.write_text(other[change](file.read_text()))
    assert plan(house, read_inputs(house, load_config(config))).subject != first.subject
