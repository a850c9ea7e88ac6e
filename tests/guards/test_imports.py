"""Who may speak to which library, down to the file; the rules between packages are import-linter's."""

import ast
import fnmatch
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

# Each of these is met in the files named for it and nowhere else.
HOMES = {
    "ray": ("finetune/cluster.py", "finetune/worker*.py", "finetune/train.py", "eval/crew.py", "serving/*"),
    "vllm": ("eval/backends/vllm.py", "serving/*"),
    "trl": ("finetune/worker*.py", "finetune/trainer*.py"),
    "lm_eval": ("eval/*",),
    "alembic": ("governance/*", "serving/tables.py", "serving/migrations/*"),
    "aiohttp": ("serving/upstream.py",),
}
PRIVATE_KEYS = ("governance/keys.py",)
NO_TOOLBOXES = ("utils", "util", "helpers", "common", "misc")


@pytest.mark.parametrize("library", HOMES)
def test_a_library_is_met_in_the_files_named_for_it(library: str, sources: Sequence[Any]) -> None:
    strangers = [
        f"{source.name}:{line}"
        for source in sources
        for line, module in imported(source.tree)
        if module.split(".")[0] == library and not any(fnmatch.fnmatch(source.name, home) for home in HOMES[library])
    ]
    assert not strangers, f"{library} is imported outside {HOMES[library]}: {strangers}"


def test_private_keys_are_met_in_one_file(sources: Sequence[Any]) -> None:
    strangers = [
        f"{source.name}:{line} {module}"
        for source in sources
        if source.name not in PRIVATE_KEYS
        for line, module in imported(source.tree)
        if module.startswith("cryptography.") and "private" in module.lower()
    ]
    assert not strangers, f"private keys are handled outside {PRIVATE_KEYS}: {strangers}"


def test_rooms_are_entered_by_name(sources: Sequence[Any]) -> None:
    """`import eval` would hide the builtin, and a package's `__init__` is no door."""
    rooms = ("eval", "finetune", "governance", "serving")
    found = [f"{source.name}:{line}" for source in sources for line, module in imported(source.tree) if module in rooms]
    assert not found, f"say 'from eval.x import y': {found}"


def test_there_is_no_toolbox(sources: Sequence[Any]) -> None:
    found = [source.name for source in sources if Path(source.name).stem in NO_TOOLBOXES]
    assert not found, f"a function lives beside its caller or gets a noun for a name: {found}"


def test_import_linter_is_content(repository: Path) -> None:
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-logo", "--no-cache"]
    ran = subprocess.run(command, cwd=repository, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout


def imported(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Every imported module or name, with its line; `from a import b` gives `a.b`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from ((node.lineno, f"{node.module}.{alias.name}") for alias in node.names)
