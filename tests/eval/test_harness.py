"""Tasks of lm-evaluation-harness: from a YAML without a hub, by name, and what of them is refused."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from eval.examine import examine
from eval.items import freeze, open_task
from eval.lmeval import open_harness
from eval.taskfile import pack
from tunegate_core.config import TaskBlock
from tunegate_core.errors import BadInput, DataError, NotFound
from tunegate_core.store import Store

ROWS = [
    {"ctx": f"Count on from {n}", "endings": [f"to {n + 1}", f"to {n + 9}"], "label": n % 2, "cluster": f"c{n // 3}"}
    for n in range(6)
]
CONFIG: dict[str, Any] = {
    "task": "counting",
    "dataset_path": "json",
    "dataset_kwargs": {"data_files": {"test": "rows.jsonl"}},
    "test_split": "test",
    "output_type": "multiple_choice",
    "doc_to_text": "Continue: {{ctx}}",
    "doc_to_choice": "{{endings}}",
    "doc_to_target": "label",
    "metric_list": [{"metric": name, "aggregation": "mean", "higher_is_better": True} for name in ("acc", "acc_norm")],
}
F1 = {"metric": "f1", "aggregation": "f1", "higher_is_better": True}
Described = Callable[..., TaskBlock]


@pytest.fixture
def described(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Described:
    """Write a task YAML beside its data; name it in a task of the config."""
    import datasets

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "datasets")

    def write(settings: dict[str, Any] | None = None, rows: list[Any] | None = None, **block: Any) -> TaskBlock:
        path = tmp_path / "task.yaml"
        path.write_text(yaml.safe_dump({**CONFIG, **(settings or {})}))
        (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows or ROWS))
        return TaskBlock(name="counting", task_yaml=str(path), **block)

    return write


def test_a_task_yaml_needs_no_hub(described: Described) -> None:
    opened = open_task(described())
    assert opened.higher_is_better
    assert [item.id for item in opened.items] == ["0", "1", "2", "3", "4", "5"]
    first = opened.items[0]
    assert (first.text, first.choices, first.answer) == ("Continue: Count on from 0", ("to 1", "to 9"), 0)
    assert [item.cluster for item in opened.items] == ["c0"] * 3 + ["c1"] * 3


def test_the_digest_covers_data_and_prompt_but_no_path(described: Described, tmp_path: Path) -> None:
    before = freeze([described()])[0].digest
    absolute = {"dataset_kwargs": {"data_files": {"test": str(tmp_path / "rows.jsonl")}}}
    assert freeze([described(absolute)])[0].digest == before
    assert freeze([described({"doc_to_text": "Go on: {{ctx}}"})])[0].digest != before
    assert freeze([described({"description": "Count."})])[0].digest != before
    assert freeze([described(rows=[*ROWS[:-1], {**ROWS[-1], "label": 0}])])[0].digest != before
    assert freeze([described(limit=5)])[0].n == 5


def test_evidence_of_a_task_yaml(described: Described, tiny_base: Path, tiny_adapter: Path, tmp_path: Path) -> None:
    task = described(metric="acc_norm", few_shot=1)
    evidence = examine(
        [task],
        freeze([task]),
        tiny_base,
        "sha256:base",
        {"base": None, "candidate": tiny_adapter},
        {"base": "sha256:base", "candidate": "sha256:adapter"},
        Store(tmp_path / "store"),
        tmp_path / "cache",
        4,
        "float32",
        lambda stage, done, total, **_: None,
    )[0]
    assert (evidence.metric, evidence.n, evidence.scale) == ("acc_norm", 6, "binary")
    assert [cluster.n for cluster in evidence.pairs[0].clusters] == [3, 3]


def test_several_tasks_are_scored_as_one(described: Described) -> None:
    opened = open_task(described(limit=2))
    twice = [opened.build()[0], open_task(described()).build()[0]]
    twice[1].config.task = "more"
    group = open_harness(described(limit=2), lambda: twice)
    assert [item.id for item in group.items] == ["counting/0", "counting/1", "more/0", "more/1"]


@pytest.mark.parametrize(
    ("settings", "block", "message"),
    [
        ({}, {"metric": "acc_nrom"}, "no metric 'acc_nrom' .did you mean 'acc_norm'"),
        ({"metric_list": [F1]}, {"metric": "f1"}, "no mean"),
        ({"doc_to_text": "{{missing}}"}, {}, "can't be used: UndefinedError"),
        ({"unsafe_code": True}, {}, "runs generated code"),
        ({"task": ["a", "b"]}, {}, "expected one task with a name"),
    ],
)
def test_tasks_that_can_not_be_paired_are_refused(
    described: Described, settings: dict[str, Any], block: dict[str, Any], message: str
) -> None:
    with pytest.raises(BadInput, match=message):
        freeze([described(settings, **block)])


def test_a_metric_behind_several_filters_is_named_with_its_filter(described: Described) -> None:
    taken = [{"function": "take_first"}]
    settings = {
        "output_type": "generate_until",
        "doc_to_choice": None,
        "doc_to_target": "{{endings[0]}}",
        "generation_kwargs": {"until": ["\n"], "max_gen_toks": 4},
        "metric_list": [{"metric": "exact_match", "aggregation": "mean", "higher_is_better": True}],
        "filter_list": [{"name": "strict", "filter": taken}, {"name": "loose", "filter": taken}],
    }
    with pytest.raises(BadInput, match="expected one of exact_match,strict, exact_match,loose"):
        freeze([described(settings, metric="exact_match")])
    assert freeze([described(settings, metric="exact_match,loose")])[0].n == 6


def test_files_that_are_not_there(described: Described, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"its data file .*absent.jsonl does not exist"):
        freeze([described({"dataset_kwargs": {"data_files": {"test": "absent.jsonl"}}})])
    with pytest.raises(DataError, match="no such file; expected a task YAML"):
        freeze([TaskBlock(name="x", task_yaml=str(tmp_path / "none.yaml"))])


def test_included_files_stand_under_its_own_settings(described: Described, tmp_path: Path) -> None:
    before = freeze([described()])[0].digest
    (tmp_path / "shared").mkdir()
    shared = {**CONFIG, "doc_to_text": "other", "dataset_kwargs": {"data_files": {"test": "../rows.jsonl"}}}
    (tmp_path / "shared" / "base.yaml").write_text(yaml.safe_dump(shared))
    (tmp_path / "task.yaml").write_text(
        yaml.safe_dump({"include": "shared/base.yaml", **{"doc_to_text": "Continue: {{ctx}}"}})
    )
    including = TaskBlock(name="counting", task_yaml=str(tmp_path / "task.yaml"))
    assert freeze([including])[0].digest == before
    (tmp_path / "shared" / "base.yaml").write_text("include: ../task.yaml\n")
    with pytest.raises(BadInput, match="includes itself"):
        freeze([including])


@pytest.mark.parametrize("files", ["rows.jsonl", ["rows.jsonl", "more.jsonl"], {"test": "*.jsonl"}])
def test_a_packed_task_needs_nothing_else(
    described: Described, files: Any, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    split = {"test_split": "test" if isinstance(files, dict) else "train"}
    task = described({"dataset_kwargs": {"data_files": files}, **split})
    (tmp_path / "more.jsonl").write_text(json.dumps({**ROWS[0], "ctx": "More"}) + "\n")
    folder = tmp_path_factory.mktemp("elsewhere")
    before = freeze([task])[0]
    packed = pack(tmp_path / "task.yaml", folder)
    for path in (*tmp_path.glob("*.jsonl"), tmp_path / "task.yaml"):
        path.unlink()
    assert freeze([TaskBlock(name="counting", task_yaml=str(packed))])[0] == before
    assert str(tmp_path) not in packed.read_text()


@pytest.mark.parametrize("key", ["doc_to_text", "process_docs", "class"])
def test_python_of_its_own_is_refused_and_not_run(described: Described, tmp_path: Path, key: str) -> None:
    task = described()
    (tmp_path / "more.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n")
    path = tmp_path / "task.yaml"
    path.write_text(path.read_text() + f"{key}: !function more.run\n")
    with pytest.raises(BadInput, match=r"task.yaml, line \d+: '!function more.run' would run Python .* Jinja"):
        freeze([task])
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"dataset_path": "rows", "dataset_kwargs": None}, "dataset_path is 'rows'; name each file"),
        ({"dataset_path": "load.py"}, r"dataset_path is 'load\.py'"),
        ({"dataset_kwargs": {"data_dir": "rows"}}, "data_dir is not read"),
        ({"use_prompt": "prompts.yaml:mine"}, "use_prompt names a file"),
    ],
)
def test_what_can_not_be_packed_is_refused(
    described: Described, tmp_path: Path, settings: dict[str, Any], message: str
) -> None:
    (tmp_path / "rows").mkdir()
    with pytest.raises(BadInput, match=message):
        freeze([described(settings)])


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_tasks_by_name_say_what_is_missing() -> None:
    with pytest.raises(BadInput, match=r"no task named 'hellaswagg' .did you mean 'hellaswag'"):
        freeze([TaskBlock(name="x", harness="hellaswagg")])
    with pytest.raises(NotFound, match="its data can't be had here"):
        freeze([TaskBlock(name="x", harness="openbookqa")])
