"""Names of callers in the records: the same while a canary is compared, unlinkable from then on."""

import logging
from pathlib import Path

import pytest

from serving.pseudonyms import Pseudonyms
from serving.view import View
from tests.serving.conftest import World
from tunegate_core.snapshot import Route, Snapshot


def view(*canaries: tuple[str, str | None]) -> View:
    routes = tuple(Route(alias=alias, champion="bot@1", canary=canary, canary_bp=100) for alias, canary in canaries)
    return View.of(Snapshot(epoch=1, routes=routes))


def name(folder: Path, followed: View, alias: str = "bot", unit: str = "ann") -> str:
    """What another process would call this unit."""
    pseudonyms = Pseudonyms(folder)
    pseudonyms.follow(followed)
    return pseudonyms.of(alias, unit)


def test_the_same_caller_has_one_name_while_a_canary_is_compared(tmp_path: Path) -> None:
    one = name(tmp_path, view(("bot", "bot@2")))
    assert len(one) == 16
    assert name(tmp_path, view(("bot", "bot@2"))) == one
    assert name(tmp_path, view(("bot", "bot@2"), ("other", "bot@2"))) == one


def test_nothing_else_has_it(tmp_path: Path) -> None:
    both = view(("bot", "bot@2"), ("other", "bot@2"))
    others = [name(tmp_path, both, unit="ben"), name(tmp_path, both, alias="other"), name(tmp_path / "home", both)]
    assert len({name(tmp_path, both), *others}) == 4


def test_a_secret_ends_with_its_canary(tmp_path: Path) -> None:
    one = name(tmp_path, view(("bot", "bot@2")))
    other = name(tmp_path, view(("bot", "bot@3")))
    assert [path.name for path in tmp_path.glob("bot*")] == ["bot.bot@3"]
    alone = name(tmp_path, view(("bot", None)))
    assert not list(tmp_path.glob("bot*"))
    again = name(tmp_path, view(("bot", "bot@2")))
    assert len({one, other, alone, again}) == 4


def test_without_a_canary_a_name_lives_as_long_as_its_process(tmp_path: Path) -> None:
    pseudonyms = Pseudonyms(tmp_path)
    pseudonyms.follow(view(("bot", None)))
    assert pseudonyms.of("bot", "ann") == pseudonyms.of("bot", "ann")
    assert name(tmp_path, view(("bot", None))) != pseudonyms.of("bot", "ann")


def test_a_secret_is_its_owners_and_lies_apart_from_the_records(world: World) -> None:
    world.publish(routes=(Route(alias="bot", champion="bot@1", canary="bot@2", canary_bp=3000),))
    with world.gateway() as gateway:
        gateway.chat(user="ann")
        row = gateway.rows()[0]
    kept = world.folder / "pseudonyms" / "bot.bot@2"
    assert kept.parent.stat().st_mode & 0o777 == 0o700 and kept.stat().st_mode & 0o777 == 0o600
    written = b"".join(path.read_bytes() for path in world.folder.glob("records.sqlite*"))
    assert row["unit"].encode() in written
    assert b"ann" not in written and kept.read_bytes() not in written


def test_a_secret_that_was_cut_is_made_again(tmp_path: Path) -> None:
    one = name(tmp_path, view(("bot", "bot@2")))
    (tmp_path / "bot.bot@2").write_bytes(b"short")
    other = name(tmp_path, view(("bot", "bot@2")))
    assert name(tmp_path, view(("bot", "bot@2"))) == other != one


def test_where_nothing_can_be_written_names_live_as_long_as_the_process(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("")
    pseudonyms = Pseudonyms(tmp_path / "file")
    with caplog.at_level(logging.WARNING):
        pseudonyms.follow(view(("bot", "bot@2")))
    assert pseudonyms.of("bot", "ann") == pseudonyms.of("bot", "ann")
    assert "outlive this process" in caplog.text and "ann" not in caplog.text
    (tmp_path / "file").unlink()
    pseudonyms.follow(view(("bot", "bot@2")))
    assert pseudonyms.of("bot", "ann") == name(tmp_path / "file", view(("bot", "bot@2")))
