"""The places that install Tunegate agree with one another."""

import os
import re
import tomllib
from pathlib import Path

PYTORCH = re.compile(r"torch==([0-9.]+)\+cpu")


def test_setup_and_image_install_one_pytorch(repository: Path) -> None:
    setup = re.search(
        r"^torch=([0-9.]+)", (repository / "scripts" / "setup.sh").read_text(encoding="utf-8"), re.MULTILINE
    )
    image = PYTORCH.search((repository / "Dockerfile").read_text(encoding="utf-8"))
    project = tomllib.loads((repository / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    asked = next(line for line in project["dependencies"] if line.startswith("torch>="))
    assert setup and image and setup[1] == image[1]
    assert asked.startswith(f"torch>={setup[1].rpartition('.')[0]},")


def test_the_image_holds_every_package(repository: Path, packages: tuple[str, ...]) -> None:
    copied = set(re.findall(r"^COPY (\w+) \w+$", (repository / "Dockerfile").read_text(encoding="utf-8"), re.MULTILINE))
    sent = set((repository / ".dockerignore").read_text(encoding="utf-8").splitlines())
    assert copied == set(packages)
    assert {f"!{package}" for package in packages} <= sent


def test_scripts_can_be_run(repository: Path) -> None:
    for name in ("scripts/setup.sh", ".ci/run"):
        assert os.access(repository / name, os.X_OK), f"{name} is not executable"


def test_ci_runs_every_test(repository: Path) -> None:
    script = (repository / ".ci" / "run").read_text(encoding="utf-8")
    assert "for target in lint test test-faults" in script
