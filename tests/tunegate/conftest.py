"""One real release for all tests of the story: the starter project, trained, judged and released once a session."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Run = subprocess.CompletedProcess[str]
Command = Callable[..., Run]


def run_tunegate(home: Path, *args: object, **env: str) -> Run:
    """The command line in a process of its own."""
    settings = {key: value for key, value in os.environ.items() if not key.startswith("TUNEGATE_")}
    return subprocess.run(
        [sys.executable, "-m", "tunegate", *map(str, args)],
        capture_output=True,
        text=True,
        env={**settings, "TUNEGATE_HOME": str(home), "HF_HUB_OFFLINE": "1", **env},
        timeout=900,
        check=False,
    )


@pytest.fixture(scope="session")
def command() -> Command:
    """`command(home, *args, **env)` runs the command line."""
    return run_tunegate


@pytest.fixture(scope="session")
def value(command: Command) -> Callable[..., Any]:
    """`value(home, *args)` is the JSON that a reading verb prints."""

    def read(home: Path, *args: object) -> Any:
        done = command(home, *args, "--json")
        return json.loads(done.stdout)

    return read


@pytest.fixture(scope="session")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `tunegate init` writes, with one approval asked for."""
    folder = tmp_path_factory.mktemp("project")
    done = run_tunegate(folder / "unused-home", "init", folder / "starter")
    if done.returncode:
        raise RuntimeError(done.stderr)
    policy = folder / "starter" / "policy.yaml"
    policy.write_text(policy.read_text().replace("required: 0", "required: 1"))
    return folder / "starter"


@pytest.fixture(scope="session")
def released_home(project: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home in which starter@1 was trained for real, judged, approved by a second key and released. Never changed."""
    home = tmp_path_factory.mktemp("released") / "home"
    done = run_tunegate(home, "release", project / "config.yaml")
    if done.returncode != 5:
        raise RuntimeError(f"expected to wait for approval (5), got {done.returncode}:\n{done.stdout}\n{done.stderr}")
    approval = ["approve", "starter@1", "--as", "reviewer", "--reason", "looks right"]
    for args in (["keys", "create", "reviewer"], approval):
        done = run_tunegate(home, *args)
        if done.returncode:
            raise RuntimeError(done.stderr)
    return home


@pytest.fixture
def released(released_home: Path, tmp_path: Path) -> Path:
    """A copy of that home, to do with as a test likes."""
    return Path(shutil.copytree(released_home, tmp_path / "copied"))
