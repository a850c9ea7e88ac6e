"""A plan keeps all that its tasks need: they are recalled after their files are gone."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from eval.items import freeze
from tunegate.house import House
from tunegate.keeping import collect
from tunegate.planning import plan, read_inputs, recall_tasks
from tunegate.proving import verify
from tunegate_core.config import load_config
from tunegate_core.errors import BadInput, ResourcesUnavailable, TunegateError

ROWS = [{"ctx": f"Count on from {n}", "endings": [f"to {n + 1}", f"to {n + 9}"], "label": n % 2} for n in range(4)]
SHARED: dict[str, Any] = {
    "dataset_path": "json",
    "dataset_kwargs": {"data_files": {"test": "../rows/*.jsonl"}},
    "test_split": "test",
    "output_type": "multiple_choice",
    "doc_to_choice": "{{endings}}",
    "doc_to_target": "label",
    "metric_list": [{"metric": "acc", "aggregation": "mean", "higher_is_better": True}],
}
CONFIG = """\
name: again
finetune: {adapter: bot@1}
eval:
  tasks:
    - {name: counting, task_yaml: tasks/counting.yaml}
    - {name: facts, questions: questions.jsonl}
governance: {policy: policy.yaml}
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A config with questions, and with a task YAML that needs another YAML and two files of data."""
    import datasets

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "datasets")
    folder = tmp_path / "project"
    for name in ("tasks", "shared", "rows"):
        (folder / name).mkdir(parents=True)
    (folder / "config.yaml").write_text(CONFIG)
    (folder / "policy.yaml").write_text("name: p\nchecks: [{id: seen, kind: measured, task: facts}]\n")
    (folder / "questions.jsonl").write_text(
        json.dumps({"id": "a", "question": "?", "choices": ["b", "c"], "answer": 0})
    )
    (folder / "shared" / "base.yaml").write_text(yaml.safe_dump(SHARED))
    task = {"task": "counting", "include": "../shared/base.yaml", "doc_to_text": "Continue: {{ctx}}"}
    (folder / "tasks" / "counting.yaml").write_text(yaml.safe_dump(task))
    for name, rows in (("a", ROWS[:2]), ("b", ROWS[2:])):
        (folder / "rows" / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def test_tasks_are_recalled_from_the_store_alone(told_home: Path, project: Path) -> None:
    house = House(told_home, f"sqlite:///{told_home / 'ledger.sqlite'}")
    inputs = read_inputs(house, load_config(project / "config.yaml"))
    planned = plan(house, inputs)
    shutil.rmtree(project)
    collect(house, delete=True)
    assert freeze(recall_tasks(house, planned)) == inputs.items
    assert str(project) not in house.store.get(planned.config).decode()
    assert verify(house, None)["ok"]


@pytest.mark.parametrize(
    ("asked", "error", "match"),
    [
        ("lora: {targets: [nope]}", BadInput, "'nope' is not a linear layer"),
        ("parallel: {workers: 999}", ResourcesUnavailable, "asks for 999 workers"),
    ],
)
def test_what_could_not_be_done_or_served_is_no_attempt(
    told_home: Path, project: Path, tiny_base: Path, asked: str, error: type[TunegateError], match: str
) -> None:
    (project / "rows.jsonl").write_text('{"text": "a"}\n')
    finetune = f"{{base: {{model: {tiny_base}}}, data: {{source: rows.jsonl}}, {asked}}}"
    (project / "config.yaml").write_text(CONFIG.replace("{adapter: bot@1}", finetune))
    house = House(told_home, f"sqlite:///{told_home / 'ledger.sqlite'}")
    inputs = read_inputs(house, load_config(project / "config.yaml"))
    with pytest.raises(error, match=match):
        plan(house, inputs)
    assert not house.existing_ledger.events("planned", "again@1")


def test_a_changed_item_file_is_found_by_verification(told_home: Path, project: Path) -> None:
    house = House(told_home, f"sqlite:///{told_home / 'ledger.sqlite'}")
    planned = plan(house, read_inputs(house, load_config(project / "config.yaml")))
    _, questions = json.loads(house.store.get(planned.config))["eval"]["tasks"]
    digest = questions["questions"].removeprefix("sha256:")
    (told_home / "store" / digest[:2] / digest[2:]).write_text("changed")
    report = verify(house, None)
    assert not report["ok"]
    assert "again@1" in report["problems"][0]["where"]
