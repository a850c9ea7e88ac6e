"""What the guards look at: the files of the product, parsed once."""

import ast
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

PACKAGES = ("tunegate_core", "finetune", "eval", "governance", "serving", "tunegate")


@dataclass(frozen=True)
class Source:
    """One Python file. `name` is its path below the checkout."""

    name: str
    text: str
    tree: ast.Module

    def functions(self) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
        """Every function and method, nested ones too."""
        for node in ast.walk(self.tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                yield node


@pytest.fixture(scope="session")
def packages() -> tuple[str, ...]:
    """The names of our packages."""
    return PACKAGES


@pytest.fixture(scope="session")
def sources(repository: Path) -> list[Source]:
    """Every Python file of our packages."""
    paths = [path for package in PACKAGES for path in sorted((repository / package).rglob("*.py"))]
    texts = {path: path.read_text(encoding="utf-8") for path in paths}
    return [Source(str(path.relative_to(repository)), text, ast.parse(text, path)) for path, text in texts.items()]


@pytest.fixture(scope="session")
def published(repository: Path) -> list[Path]:
    """Every file that belongs to the repository."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=repository,
        capture_output=True,
        check=False,
    )
    if listed.returncode != 0:
        pytest.skip("not a git checkout")
    names = listed.stdout.decode().split("\0")
    return [repository / name for name in names if name and (repository / name).is_file()]
