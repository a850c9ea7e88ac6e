"""Keys are replaced and ended: nothing that was signed is lost, and nothing that an old key signs later is believed."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert, text
from typer.testing import CliRunner

from governance.keys import SigningKey, finish_replacing, load, load_or_create
from governance.ledger import Ledger
from governance.ledger.hashes import read_head
from governance.ledger.schema import checkpoints
from governance.ledger.signing import sign_checkpoint
from governance.ledger.succession import LEDGER_KEY_ROTATED, signed_rotation
from tunegate import signing_keys, users
from tunegate.cli import app
from tunegate.deciding import approve, create_key
from tunegate.house import House
from tunegate.proving import check_bundle, prove, verify
from tunegate.publishing import snapshot_file
from tunegate_core.errors import BadInput, Denied, IntegrityError, NotFound
from tunegate_core.proof.keys import parse_public_key
from tunegate_core.proof.rotation import Rotation, verify_line, verify_rotation
from tunegate_core.snapshot import verify_snapshot

GAIN = (60, 4, 200)


@pytest.fixture
def house(told_home: Path) -> House:
    """bot@1 released; bot@4 waits for one approval."""
    found = House(told_home, f"sqlite:///{told_home / 'ledger.sqlite'}")
    create_key(found, "rita")
    return found


def again(house: House) -> House:
    return House(house.home, house.database)


def public_file(folder: Path, pem: bytes) -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / f"{len(list(folder.iterdir()))}.pub"
    path.write_bytes(pem)
    return path


def test_the_ledgers_key_is_replaced_and_no_history_is_lost(house: House, tmp_path: Path) -> None:
    first = house.public_key
    prove(house, "bot@1", tmp_path / "before.json")
    told = signing_keys.rotate(house, "ledger")
    second = again(house).public_key
    assert told["public"].encode() == second != first
    third = signing_keys.rotate(again(house), "ledger")["public"].encode()
    house = again(house)
    for key in (first, second, third):  # whichever of them one trusts, the others follow
        report = verify(house, public_file(tmp_path / "keys", key))
        assert report["ok"], report["problems"]
    assert report["checkpoints"] > 3
    approve(house, "bot@4", "rita", "fine")
    prove(house, "bot@1", tmp_path / "after.json")
    prove(house, "bot@4", tmp_path / "new.json")
    for name in ("after", "new"):
        for key in (first, second, third):
            found = check_bundle(tmp_path / f"{name}.json", public_file(tmp_path / "keys", key))
            assert found["log"].startswith("tunegate/")
    assert check_bundle(tmp_path / "before.json", public_file(tmp_path / "keys", first))["subject"] == "bot@1"
    assert not list(house.keys.glob("*.next*"))
    verify_snapshot(snapshot_file(house).read_bytes(), parse_public_key(third))


def test_the_old_key_signs_nothing_any_more(house: House, tmp_path: Path) -> None:
    stolen = load(shutil.copytree(house.keys, tmp_path / "stolen"), "ledger")
    signing_keys.rotate(house, "ledger")
    with pytest.raises(IntegrityError, match="was replaced by"):
        again(house)._opened.signed_by(stolen)
    house = again(house)
    house.ledger.append("noted", {})
    with house.ledger._database.writing() as connection:  # who has the database too, signs with it all the same
        head = read_head(connection, None)
        note = sign_checkpoint(head, stolen)
        connection.execute(insert(checkpoints), {"size": head.size, "root": head.root, "note": note})
    with house.anchor.open("a") as out:
        out.write(json.dumps(note, ensure_ascii=False) + "\n")
    report = verify(house, None)
    assert any("outside its time" in problem["what"] for problem in report["problems"])


def test_a_stolen_old_key_can_not_hand_on_the_log(house: House, tmp_path: Path) -> None:
    stolen = load(shutil.copytree(house.keys, tmp_path / "stolen"), "ledger")
    mallory = load_or_create(tmp_path / "mallory", "ledger")
    signing_keys.rotate(house, "ledger")
    house = again(house)
    forged = signed_rotation(stolen, mallory, house.existing_ledger.size())
    house.ledger.append(LEDGER_KEY_ROTATED, {"rotation": forged.model_dump(mode="json")})
    report = verify(again(house), None)
    assert any("do not follow one another" in problem["what"] for problem in report["problems"])
    assert not verify(again(house), public_file(tmp_path / "keys", mallory.public_pem))["ok"]


def test_a_log_whose_keys_are_another_line_is_not_believed(house: House, tmp_path: Path) -> None:
    signing_keys.rotate(house, "ledger")
    other = load_or_create(tmp_path / "other", "ledger")
    report = verify(again(house), public_file(tmp_path / "keys", other.public_pem))
    assert any("expected" in problem["what"] for problem in report["problems"])


def three_keys(folder: Path) -> list[SigningKey]:
    return [load_or_create(folder, name) for name in ("a", "b", "c")]


def test_only_both_keys_make_a_rotation(tmp_path: Path) -> None:
    a, b, c = three_keys(tmp_path)
    good = signed_rotation(a, b, 5)
    assert verify_rotation(good) == (a.public_raw, b.public_raw)
    for change in (
        {"size": 6}, {"new": c.public_pem.decode()}, {"old": c.public_pem.decode()}, {"old_signature": ""},
        {"old_signature": good.new_signature}, {"new_signature": "00"}, {"new": "no key"}, {"new_signature": "0"},
    ):  # fmt: skip
        with pytest.raises(IntegrityError):
            verify_rotation(good.model_copy(update=change))


def test_keys_form_one_line_in_order(tmp_path: Path) -> None:
    a, b, c = three_keys(tmp_path)
    ab, bc = signed_rotation(a, b, 5), signed_rotation(b, c, 9)
    line = verify_line([ab, bc], b.public_raw)
    assert [line.of_event(seq) for seq in (0, 4, 5, 8, 9, 99)] == [
        a.public_raw, a.public_raw, b.public_raw, b.public_raw, c.public_raw, c.public_raw
    ]  # fmt: skip
    wrong: list[list[Rotation]] = [
        [bc, ab], [ab, signed_rotation(a, c, 9)], [ab, signed_rotation(b, c, 5)], [ab, signed_rotation(b, a, 9)],
        [signed_rotation(a, b, 9), signed_rotation(b, c, 5)],
    ]  # fmt: skip
    for rotations in wrong:
        with pytest.raises(IntegrityError):
            verify_line(rotations, b.public_raw)
    with pytest.raises(IntegrityError, match="among them"):
        verify_line([ab], c.public_raw)
    assert verify_line([], c.public_raw).keys == (c.public_raw,)


@pytest.mark.parametrize("died_before", ["append", "finish_replacing"])
@pytest.mark.parametrize("name", ["ledger", "rita"])
def test_the_same_command_ends_what_a_crash_left(
    house: House, name: str, died_before: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def died(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as broken:
        if died_before == "append":
            broken.setattr("governance.ledger.transaction.Transaction.append", died)
        else:
            broken.setattr("tunegate.signing_keys.finish_replacing", died)
        with pytest.raises(KeyboardInterrupt):
            signing_keys.rotate(house, name)
    old = load(house.keys, name).key_id
    new = signing_keys.rotate(again(house), name)
    assert load(house.keys, name).key_id == new["key_id"] != old
    kind = LEDGER_KEY_ROTATED if name == "ledger" else "key-rotated"
    assert len(again(house).ledger.events(kind)) == 1
    assert verify(again(house), None)["ok"]


def test_a_persons_key_is_replaced_with_its_user(house: House) -> None:
    users.add(house, "ann", ["admin"])
    users.add(house, "rita", ["reviewer"])
    old = house.person_key("rita")
    new = signing_keys.rotate(house, "rita")
    assert users.named(house, "rita").key_id == new["key_id"] != old.key_id
    assert "released" in approve(house, "bot@4", "rita", "fine")
    assert verify(house, None)["ok"]


def test_what_a_revoked_key_signs_later_is_refused(house: House, tmp_path: Path) -> None:
    kept = shutil.copytree(house.keys, tmp_path / "kept")
    assert "is revoked" in signing_keys.revoke(house, "rita", "laptop lost")
    with pytest.raises(NotFound):
        approve(house, "bot@4", "rita", "fine")
    for path in kept.glob("rita.*"):  # who found the laptop puts the key back
        shutil.copy2(path, house.keys / path.name)
    with pytest.raises(Denied, match="counts no more since"):
        approve(house, "bot@4", "rita", "fine")
    assert users.denials(house)[-1]["rule"] == "role"
    assert "is revoked" in signing_keys.revoke(house, "rita")
    assert len(house.ledger.events("key-revoked")) == 1
    with pytest.raises(BadInput, match="can't end without another"):
        signing_keys.revoke(house, "ledger")


def test_what_it_signed_before_stands_and_a_new_key_can_be_made(house: House) -> None:
    approve(house, "bot@4", "rita", "fine")
    signing_keys.revoke(house, "rita", "left")
    assert verify(house, None)["ok"]
    assert create_key(house, "rita")["key_id"] not in {e.body["approver"] for e in house.ledger.events("approval")}


def test_a_signature_after_the_end_is_found_in_the_ledger(house: House) -> None:
    from governance.lifecycle import Judged, decided, expiry
    from tunegate.recording import standing
    from tunegate.signing import sign_decision

    key = house.person_key("rita")
    signing_keys.revoke(house, "rita")
    until = expiry(house.clock(), 30)
    judged = standing(house, "bot@4").state
    assert isinstance(judged, Judged)
    signed = sign_decision(house, decided(judged), key, "approve", "late", until)
    house.ledger.append("approval", signed.model_dump(mode="json"), subject="bot@4", key="late")
    (problem,) = verify(house, None)["problems"]
    assert "counts no more since" in problem["what"]


def test_the_signer_without_events_goes_on(sqlite_ledger: Ledger, tmp_path: Path) -> None:
    with sqlite_ledger._database.reading() as connection:
        assert connection.execute(text("SELECT count(*) FROM events")).scalar() == 0
    assert sqlite_ledger.rotations() == []
    with pytest.raises(NotFound):
        finish_replacing(tmp_path / "keys", "ledger")


@pytest.fixture
def sqlite_ledger(tmp_path: Path) -> Any:
    from datetime import UTC, datetime

    signer = load_or_create(tmp_path / "keys", "ledger")
    opened = Ledger.open(f"sqlite:///{tmp_path / 'l.sqlite'}", signer, None, lambda: datetime.now(UTC))
    yield opened
    opened.close()


def test_the_verbs(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TUNEGATE_HOME", str(house.home))

    def run(*args: str) -> Any:
        return CliRunner().invoke(app, ["keys", *args])

    assert run("rotate", "rita").output.startswith("key ")
    assert json.loads(run("rotate", "ledger", "--json").output)["replaces"] == house.signer.key_id
    assert "is revoked" in run("revoke", "rita", "--reason", "lost").output
    assert isinstance(run("rotate", "nobody").exception, NotFound)
