"""A home that was restored without private keys: everything can be read and proved, and nothing can be written."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from governance.keys import load_or_create
from tunegate import api_keys, deciding, keeping, proving, publishing, reading, routing
from tunegate.house import House
from tunegate_core.errors import BadInput, IntegrityError, NotFound


def house_of(home: Path) -> House:
    return House(home, f"sqlite:///{home / 'ledger.sqlite'}")


@pytest.fixture
def restored(told_home: Path, tmp_path: Path) -> House:
    """That home by way of an archive that holds public keys only."""
    keeping.backup(house_of(told_home), tmp_path / "backup.tar.gz", with_keys=False)
    keeping.restore(house_of(tmp_path / "restored"), tmp_path / "backup.tar.gz")
    assert not list((tmp_path / "restored").rglob("*.key"))
    return house_of(tmp_path / "restored")


def test_all_is_read_as_before(restored: House, told_home: Path) -> None:
    before = house_of(told_home)
    assert reading.overview(restored) == reading.overview(before)
    for subject in ("bot@1", "bot@2", "bot@3", "bot@4", "bot@5"):
        assert reading.candidate(restored, subject) == reading.candidate(before, subject)
    both = ["bot@1", "bot@2"]
    assert reading.comparison(restored, both) == reading.comparison(before, both)
    assert restored.public_key == before.public_key
    report = proving.verify(restored, None)
    assert report["ok"], report
    assert report == proving.verify(before, None)


def test_a_release_is_proved(restored: House, told_home: Path, tmp_path: Path) -> None:
    key = tmp_path / "ledger.pub"
    key.write_bytes(house_of(told_home).public_key)
    proving.prove(restored, "bot@1", tmp_path / "bundle.json")
    assert proving.check_bundle(tmp_path / "bundle.json", key)["subject"] == "bot@1"
    with pytest.raises(NotFound, match=r"there is no nobody@1; there are: bot@1, bot@2"):
        proving.prove(restored, "nobody@1", tmp_path / "none.json")


def test_a_backup_of_it_can_be_restored(restored: House, told_home: Path, tmp_path: Path) -> None:
    keeping.backup(restored, tmp_path / "second.tar.gz", with_keys=False)
    keeping.restore(house_of(tmp_path / "third"), tmp_path / "second.tar.gz")
    assert reading.overview(house_of(tmp_path / "third")) == reading.overview(house_of(told_home))


WRITES: dict[str, Callable[[House], Any]] = {
    "a key": lambda house: deciding.create_key(house, "somebody"),
    "an approval": lambda house: deciding.approve(house, "bot@4", "operator", "good"),
    "a revocation": lambda house: deciding.revoke(house, "bot@1", "operator", "bad"),
    "a promotion": lambda house: routing.promote(house, "bot@1", "champion", reason="good"),
    "a kill": lambda house: routing.kill(house, "bot", "bad"),
    "an API key": lambda house: api_keys.create(house, "shop", ["infer"]),
    "a snapshot": publishing.publish,
    "an event": lambda house: house.ledger.append("work", {}),
}


@pytest.mark.parametrize("write", WRITES)
@pytest.mark.parametrize("lost", ["private halves", "all keys"])
def test_what_must_be_signed_is_refused_and_no_key_is_made(write: str, lost: str, told_home: Path) -> None:
    for path in (told_home / "keys").iterdir():
        if lost == "all keys" or path.suffix != ".pub":
            path.unlink()
    before = {path: path.read_bytes() for path in (told_home / "store").rglob("*") if path.is_file()}
    house = house_of(told_home)
    events = house.events()
    with pytest.raises(NotFound, match="put it back from a backup with keys"):
        WRITES[write](house)
    assert not list((told_home / "keys").glob("*.key"))
    assert house.events() == events
    assert {path: path.read_bytes() for path in (told_home / "store").rglob("*") if path.is_file()} == before


def test_another_key_does_not_go_on_where_one_has_signed(told_home: Path, tmp_path: Path) -> None:
    other = load_or_create(tmp_path / "other", "ledger")
    for ending in ("key", "pub"):
        shutil.copy(tmp_path / "other" / f"ledger.{ending}", told_home / "keys" / f"ledger.{ending}")
    house = house_of(told_home)
    with pytest.raises(IntegrityError, match=other.key_id):
        house.ledger.append("work", {})
    assert [event.kind for event in house.events()].count("work") == 0
    assert len(reading.overview(house)["candidates"]) == 5


def test_a_release_after_the_last_signed_head_is_not_proved(told_home: Path, tmp_path: Path) -> None:
    """Its event was recorded and the process died before it signed; then the private key was lost."""
    house, lines = house_of(told_home), (told_home / "checkpoints.log").read_text().splitlines(keepends=True)
    (told_home / "checkpoints.log").write_text("".join(lines[:2]))
    (told_home / "keys" / "ledger.key").unlink()
    with pytest.raises(BadInput, match=r"the last signed tree head holds 3 events, and this release is event 5"):
        proving.prove(house, "bot@1", tmp_path / "bundle.json")


def test_reading_an_empty_home_makes_no_key(home: Path) -> None:
    with pytest.raises(NotFound, match=r"there is no .*ledger\.pub; it is made with the first release"):
        _ = house_of(home).public_key
    assert not home.exists()
