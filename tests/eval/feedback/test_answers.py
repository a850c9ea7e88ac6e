"""Answers that people compare: many at once, and the same as one by one through the library's own `generate`."""

from pathlib import Path
from typing import Any

import pytest

from eval.feedback import answers
from eval.model import Arms
from eval.task import Item
from tests.eval.conftest import tiny_adapter

adapter = tiny_adapter  # the fixture of another folder
PROMPTS = [f"Which number follows {n * 111}?" for n in (1, 0, 33, 9, 777, 4)] + ["No"]


def answer(base: Path, adapter: Path, cache: Path, stages: list[tuple[str, float]]) -> answers.Answers:
    items = [Item(f"p{n}", prompt, None, None, f"p{n}") for n, prompt in enumerate(PROMPTS)]
    arms: dict[Any, Path | None] = {"candidate": adapter, "base": None}
    return answers.answer_all(
        "chat", items, base, "sha256:base", arms, {"candidate": "a", "base": "b"}, cache, "float32",
        lambda stage, done, total, **_: stages.append((stage, done / total)),
    )  # fmt: skip


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answers, "MOST_TOKENS", 10)
    monkeypatch.setattr(answers, "AT_ONCE", 4)  # the last batch is not full


def test_many_at_once_say_what_each_says_alone(
    tiny_base: Path, adapter: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stages: list[tuple[str, float]] = []
    together = answer(tiny_base, adapter, tmp_path / "together", stages)
    assert [share for stage, share in stages if stage.endswith("candidate")] == [0, 4 / 7, 1]
    monkeypatch.setattr("eval.packing.can_pack", lambda model: False)
    monkeypatch.setattr(answers, "_together", None)
    alone = answer(tiny_base, adapter, tmp_path / "alone", [])
    assert together == alone
    assert len(set(together["candidate"])) > 1
    assert together["candidate"] != together["base"]


def test_finished_answers_are_not_asked_again(
    tiny_base: Path, adapter: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = answer(tiny_base, adapter, tmp_path, [])
    monkeypatch.setattr(answers, "Arms", None)
    assert answer(tiny_base, adapter, tmp_path, []) == first


def test_an_arm_of_one_prompt_is_answered(tiny_base: Path) -> None:
    loaded = Arms(tiny_base, {}, "float32")
    asked = "What is one?"
    prompt = tuple(loaded.tokenizer(loaded.prompt(asked), add_special_tokens=False)["input_ids"])
    with loaded.on("base") as model:
        made = answers._together(model, loaded.tokenizer, [prompt])
    assert len(made) == 1
    assert 0 < len(made[0]) <= answers.MOST_TOKENS
