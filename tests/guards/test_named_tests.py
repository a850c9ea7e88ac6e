"""A document that says which test holds a promise names one that there is."""

import ast
import re
from pathlib import Path

import pytest

NAMED = re.compile(r"`([\w/]+\.py)::(\w+)`")


@pytest.mark.parametrize("name", ["security.md", "reliability.md"])
def test_every_named_test_is_there(name: str, repository: Path) -> None:
    named = NAMED.findall((repository / "docs" / name).read_text(encoding="utf-8"))
    assert len(named) > 20
    missing = [f"{file}::{test}" for file, test in named if test not in functions(repository / "tests" / file)]
    assert not missing, missing


def functions(path: Path) -> set[str]:
    """The functions of a file; none when it is not there."""
    if not path.exists():
        return set()
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
