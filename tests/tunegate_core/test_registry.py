"""A plug-in is found by its file's name, and only that file is imported."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tunegate_core.errors import BadInput
from tunegate_core.registry import load, names, nearest


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A package with one good and one broken plug-in."""
    folder = tmp_path / "plugs_for_test"
    folder.mkdir()
    (folder / "__init__.py").write_text("")
    (folder / "good.py").write_text("PLUGIN = 'good'\n")
    (folder / "broken.py").write_text("raise RuntimeError('broken')\n")
    monkeypatch.syspath_prepend(tmp_path)
    yield "plugs_for_test"
    for name in [name for name in sys.modules if name.startswith("plugs_for_test")]:
        del sys.modules[name]


def test_names_come_from_files_without_importing_them(package: str) -> None:
    assert names(package) == ["broken", "good"]
    assert f"{package}.broken" not in sys.modules


def test_a_broken_plug_in_breaks_only_itself(package: str) -> None:
    assert load(package, "good") == "good"
    with pytest.raises(RuntimeError, match="broken"):
        load(package, "broken")


@pytest.mark.parametrize("name", ["goood", "", "good.inner", "../good", "__init__", "os"])
def test_an_unknown_name_is_told_with_what_there_is(name: str, package: str) -> None:
    with pytest.raises(BadInput, match=rf"no {package} plug-in is named '.*there are: broken, good"):
        load(package, name)


def test_the_nearest_name_is_offered(package: str) -> None:
    with pytest.raises(BadInput, match=r"did you mean 'good'\?"):
        load(package, "goood")
    assert nearest("zzz", ["good"]) == ""
    assert nearest("good", []) == ""


@pytest.mark.parametrize("package", ["no_such_package", "json.decoder"])
def test_a_module_is_no_package_of_plug_ins(package: str) -> None:
    with pytest.raises(BadInput, match="is no package of plug-ins"):
        names(package)
