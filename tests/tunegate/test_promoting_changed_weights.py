"""Weights that were changed after they were evaluated are not released, not promoted and not proved."""

from pathlib import Path
from typing import Any

import pytest

from tunegate.deciding import approve, create_key
from tunegate.house import House
from tunegate.proving import check_bundle, prove, verify
from tunegate.recording import append, standing
from tunegate.routing import promote
from tunegate_core.errors import IntegrityError, TunegateError
from tunegate_core.store import Store

GAIN = (60, 4, 200)


@pytest.fixture
def house(told: Any) -> House:
    """bot@1 is champion; bot@2 is released; bot@3 waits for one approval."""
    told.judge(told.plan(1), GAIN)
    told.judge(told.plan(2), GAIN)
    told.judge(told.plan(3, approvals=1), GAIN)
    create_key(told.house, "rita")
    found: House = told.house
    return found


def swap(house: House, subject: str) -> None:
    """Other bytes in the place of an adapter's file in the store."""
    tree = standing(house, subject).adapter.tree
    (file,) = Store(house.store_url).get_tree(tree).files
    name = file.sha256.removeprefix("sha256:")
    path = house.home / "store" / name[:2] / name[2:]
    path.write_bytes(path.read_bytes()[:-1] + b"!")


def test_a_swapped_file_is_not_released(house: House) -> None:
    swap(house, "bot@3")
    with pytest.raises(IntegrityError, match="was changed"):
        approve(house, "bot@3", "rita", "fine")
    assert not standing(house, "bot@3").has("released")
    assert any("was changed" in problem["what"] for problem in verify(house, None)["problems"])


def test_a_swapped_file_of_a_release_is_found_and_never_exported(house: House, tmp_path: Path) -> None:
    from tunegate.proving import export_adapter

    promote(house, "bot@2", "champion")
    swap(house, "bot@2")
    with pytest.raises(IntegrityError):
        export_adapter(house, "bot@2", tmp_path / "out")
    assert not verify(house, None)["ok"]


def test_another_adapter_can_not_be_sealed_after_the_evaluation(house: House, told: Any) -> None:
    other = told.adapter(told.plan(9)).model_dump(mode="json")
    for key in ("again", "bot@3/sealed"):
        with pytest.raises(TunegateError), house.ledger.write() as tx:
            append(house, tx, "bot@3", "sealed", {"adapter": other}, key)


def test_a_sealed_event_put_in_afterwards_is_refused_by_every_reader(house: House, told: Any, tmp_path: Path) -> None:
    """Who holds ledger key and database appends another adapter to a release, past the lifecycle."""
    other = told.adapter(told.plan(9)).model_dump(mode="json")
    house.ledger.append("sealed", {"adapter": other}, subject="bot@2", actor="mallory")
    assert any("'sealed' does not follow" in problem["what"] for problem in verify(house, None)["problems"])
    with pytest.raises(IntegrityError, match="does not follow"):
        promote(house, "bot@2", "champion")
    with pytest.raises(IntegrityError):
        prove(house, "bot@2", tmp_path / "b.json")
        (tmp_path / "pub").write_bytes(house.public_key)
        check_bundle(tmp_path / "b.json", tmp_path / "pub")
