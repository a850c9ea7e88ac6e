"""Our package names are generic words; each must have one owner in this environment."""

import importlib.metadata
import importlib.util
import runpy
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest


def test_each_package_has_one_owner(packages: Sequence[str]) -> None:
    owners = importlib.metadata.packages_distributions()
    others = {name: set(owners.get(name, [])) - {"tunegate"} for name in packages}
    assert not any(others.values()), f"other distributions ship our packages: {others}"


def test_each_package_is_ours(packages: Sequence[str], repository: Path) -> None:
    for name in packages:
        spec = importlib.util.find_spec(name)
        assert spec is not None and spec.origin is not None, f"{name} can't be imported"
        assert Path(spec.origin).parent == repository / name


def test_nothing_else_is_shipped(packages: Sequence[str], repository: Path) -> None:
    """The list in pyproject.toml is written by hand; it must name every package and nothing more."""
    import tomllib

    project = tomllib.loads((repository / "pyproject.toml").read_text(encoding="utf-8"))
    assert set(project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]) == set(packages)
    assert set(project["tool"]["importlinter"]["root_packages"]) == set(packages)
    assert set(project["tool"]["mypy"]["files"]) >= set(packages)


def test_python_m_tunegate_is_the_program(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["tunegate", "--help"])
    with pytest.raises(SystemExit) as ended:
        runpy.run_module("tunegate", run_name="__main__")
    assert ended.value.code == 0
    assert "release" in capsys.readouterr().out


def test_test_folders_hide_no_package(repository: Path) -> None:
    found = [str(path.relative_to(repository)) for path in (repository / "tests").rglob("__init__.py")]
    assert not found, f"an __init__.py below tests hides a package of ours: {found}"
