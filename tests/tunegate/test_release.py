"""The story on the real stack: one config in, a released adapter out, and nothing twice."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slow
STORY = ["planned", "trained", "sealed", "examined", "judged", "approval", "approved", "released"]


def test_show_tells_the_whole_story(released_home: Path, value: Callable[..., Any]) -> None:
    shown = value(released_home, "show", "starter@1")
    assert (shown["standing"], shown["verdict"], shown["state"]) == ("released", "PASS", "Released")
    assert [event["kind"] for event in shown["events"]] == STORY
    learnt = next(check for check in shown["checks"] if check["check"] == "learns-the-facts")
    assert learnt["interval"]["low"] > learnt["threshold"]
    assert {figure["arm"] for figure in shown["figures"]} == {"candidate", "base"}
    assert shown["lineage"]["data_commitment"].startswith("rows:")


def test_the_first_release_makes_the_route(released_home: Path, value: Callable[..., Any]) -> None:
    assert value(released_home, "list")["routes"] == {"starter": "starter@1"}


def test_the_same_config_again_does_nothing_twice(
    released: Path, project: Path, command: Callable[..., Any], value: Callable[..., Any]
) -> None:
    before = value(released, "ledger", "verify")["size"]
    done = command(released, "release", project / "config.yaml", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["version"] == "starter@1"
    assert value(released, "ledger", "verify")["size"] == before


def test_an_adapter_is_judged_again_without_training(
    released: Path, project: Path, tmp_path: Path, command: Callable[..., Any], value: Callable[..., Any]
) -> None:
    few = tmp_path / "few"
    shutil.copytree(project, few)
    questions = (few / "questions.jsonl").read_text().splitlines()[:3]
    (few / "questions.jsonl").write_text("\n".join(questions) + "\n")
    (few / "config.yaml").write_text(
        "name: again\nfinetune: {adapter: starter@1}\n"
        "eval: {tasks: [{name: library-questions, questions: questions.jsonl}]}\n"
        "governance: {policy: policy.yaml}\nserving: {route: starter}\n"
    )
    done = command(released, "release", few / "config.yaml", "--json")
    assert done.returncode == 4, done.stderr
    shown = json.loads(done.stdout)
    assert shown["verdict"] == "UNDECIDED"
    assert shown["lineage"]["champion"] == "starter@1"
    assert shown["lineage"]["adapter"] == value(released, "show", "starter@1")["lineage"]["adapter"]
    assert value(released, "list")["routes"] == {"starter": "starter@1"}


def test_compare_shows_two_side_by_side(released_home: Path, command: Callable[..., Any]) -> None:
    done = command(released_home, "compare", "starter@1", "starter@1")
    assert done.returncode == 0, done.stderr
    assert "library-questions" in done.stdout


def test_who_started_a_run_cannot_approve_it(released: Path, command: Callable[..., Any]) -> None:
    done = command(released, "approve", "starter@1", "--as", "operator", "--reason", "mine")
    assert done.returncode == 2
    assert "released" in done.stderr


def test_a_revoked_release_leaves_its_route(
    released: Path, command: Callable[..., Any], value: Callable[..., Any]
) -> None:
    done = command(released, "revoke", "starter@1", "--as", "reviewer", "--reason", "recalled")
    assert done.returncode == 0, done.stderr
    assert value(released, "list")["routes"] == {"starter": None}
    assert value(released, "show", "starter@1")["standing"] == "revoked"
    assert value(released, "ledger", "verify")["ok"]
