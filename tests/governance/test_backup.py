"""Backup and restore: a round trip that verifies, and archives that must not be put in place."""

import gzip
import io
import shutil
import sqlite3
import tarfile
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from governance.backup import backup, restore
from governance.keys import load_or_create
from governance.ledger import Event, Ledger
from tunegate_core.errors import BadInput, IntegrityError, NotFound, StoreFault
from tunegate_core.rows import Rows
from tunegate_core.store import Store


def now() -> datetime:
    return datetime.now(UTC)


def open_home(home: Path, url: str | None = None) -> Ledger:
    signer = load_or_create(home / "keys", "ledger")
    return Ledger.open(url or f"sqlite:///{home / 'ledger.sqlite'}", signer, home / "checkpoints.log", now)


def fill(home: Path, url: str | None = None) -> list[Event]:
    """A home with blobs, rows with one erased, keys and a signed ledger."""
    store, rows = Store(home / "store"), Rows(str(home / "store"))
    commitment = rows.put(["one", "two"])
    rows.erase(commitment, 0)
    ledger = open_home(home, url)
    load_or_create(home / "keys", "alice")
    for number in range(5):
        ledger.append("work", {"blob": store.put(b"blob %d" % number), "rows": commitment}, key=f"k{number}")
        ledger.checkpoint()
    events = ledger.events()
    ledger.close()
    return events


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    fill(tmp_path / "home")
    backup(tmp_path / "home", f"sqlite:///{tmp_path / 'home' / 'ledger.sqlite'}", tmp_path / "backup.tar.gz")
    return tmp_path / "backup.tar.gz"


def test_there_and_back(tmp_path: Path) -> None:
    home, copy, out = tmp_path / "home", tmp_path / "copy", tmp_path / "backup.tar.gz"
    events = fill(home)
    report = backup(home, f"sqlite:///{home / 'ledger.sqlite'}", out, include_keys=True)
    assert (report.size, report.keys, out.stat().st_mode & 0o777) == (5, True, 0o600)
    assert restore(out, copy).ok
    assert sorted(path.name for path in copy.iterdir()) == ["checkpoints.log", "keys", "ledger.sqlite", "store"]
    ledger = open_home(copy)
    assert ledger.events() == events
    assert ledger.verify([load_or_create(home / "keys", "ledger").public_raw]).checkpoints == 5
    assert Rows(str(copy / "store")).get(events[0].body["rows"]) == [None, "two"]
    assert Store(copy / "store").get(events[3].body["blob"]) == b"blob 3"
    assert (copy / "keys").stat().st_mode & 0o777 == 0o700
    assert (copy / "keys" / "ledger.key").stat().st_mode & 0o777 == 0o600
    ledger.append("more", {})
    ledger.checkpoint()
    assert ledger.verify([load_or_create(copy / "keys", "ledger").public_raw]).ok
    ledger.close()


def test_what_ties_request_records_to_callers_is_in_no_backup(tmp_path: Path) -> None:
    """As the records themselves are in none, whoever has the archive could use it only against the callers."""
    home, out = tmp_path / "home", tmp_path / "backup.tar.gz"
    fill(home)
    (home / "keys" / "pseudonyms").mkdir()
    (home / "keys" / "pseudonyms" / "bot.bot@2").write_bytes(b"secret")
    backup(home, f"sqlite:///{home / 'ledger.sqlite'}", out, include_keys=True)
    with tarfile.open(out) as tar:
        assert "keys/ledger.key" in tar.getnames()
        assert not [name for name in tar.getnames() if "pseudonyms" in name]


def test_private_keys_are_left_out_unless_asked_for(archive: Path, tmp_path: Path) -> None:
    with tarfile.open(archive) as tar:
        names = tar.getnames()
    assert "keys/ledger.pub" in names
    assert not any(name.endswith((".key", ".pem")) for name in names)
    restore(archive, tmp_path / "copy")
    with pytest.raises(NotFound, match="only its public half"):
        load_or_create(tmp_path / "copy" / "keys", "ledger")


def test_a_backup_while_others_write(tmp_path: Path) -> None:
    home = tmp_path / "home"
    fill(home)
    ledger = open_home(home)
    ledger.append("late", {})  # recorded, but not signed
    backup(home, f"sqlite:///{home / 'ledger.sqlite'}", tmp_path / "backup.tar.gz")
    ledger.checkpoint()
    assert restore(tmp_path / "backup.tar.gz", tmp_path / "copy").size == 6
    ledger.close()


@pytest.mark.postgres
def test_from_postgresql_and_back(tmp_path: Path, postgres_url: str) -> None:
    home, out = tmp_path / "home", tmp_path / "backup.tar.gz"
    events = fill(home, postgres_url)
    backup(home, postgres_url, out, include_keys=True)
    restore(out, tmp_path / "copy")
    ledger = open_home(tmp_path / "copy")
    assert ledger.events() == events
    ledger.close()
    with pytest.raises(BadInput, match="is not empty"):
        restore(out, tmp_path / "again", postgres_url)
    assert list((tmp_path / "again").iterdir()) == []
    emptied = Ledger.open(postgres_url, None, None, now)
    with emptied._database.writing() as connection:
        connection.exec_driver_sql("DELETE FROM events")
        connection.exec_driver_sql("DELETE FROM checkpoints")
    emptied.close()
    assert restore(out, tmp_path / "again", postgres_url).ok
    ledger = open_home(tmp_path / "again", postgres_url)
    assert ledger.events() == events
    assert not (tmp_path / "again" / "ledger.sqlite").exists()
    ledger.close()


def test_a_home_in_use_is_not_overwritten(archive: Path, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="is not empty"):
        restore(archive, tmp_path / "home")
    (tmp_path / "new" / ".restoring-abc").mkdir(parents=True)  # left by a restore that was killed
    assert restore(archive, tmp_path / "new").ok


def test_nothing_to_back_up(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="nothing is recorded"):
        backup(tmp_path, f"sqlite:///{tmp_path / 'ledger.sqlite'}", tmp_path / "x.tar.gz")


def repack(archive: Path, change: Callable[[Path], None]) -> None:
    """Unpack, change, pack again."""
    folder = archive.parent / "unpacked"
    with tarfile.open(archive) as tar:
        tar.extractall(folder, filter="data")
    change(folder)
    with tarfile.open(archive, "w:gz") as tar:
        for path in sorted(folder.iterdir()):
            tar.add(path, path.name)
    shutil.rmtree(folder)


def change_event(folder: Path) -> None:
    with sqlite3.connect(folder / "ledger.sqlite") as raw:
        raw.execute("UPDATE events SET kind = 'x' WHERE seq = 2")
    raw.close()


def change_blob(folder: Path) -> None:
    path = next(path for path in sorted((folder / "store").rglob("*")) if path.is_file() and "rows" not in path.parts)
    path.write_bytes(b"other")


def change_rows(folder: Path) -> None:
    path = next((folder / "store" / "rows").glob("*.jsonl"))
    path.write_bytes(path.read_bytes().replace(b"two", b"too"))


def add_file(folder: Path) -> None:
    (folder / "store" / "run.sh").write_text("")


def cut_tail(folder: Path) -> None:
    with sqlite3.connect(folder / "ledger.sqlite") as raw:
        raw.execute("DELETE FROM events WHERE seq > 3")
        raw.execute("DELETE FROM checkpoints WHERE size > 3")
    raw.close()


def drop_ledger(folder: Path) -> None:
    (folder / "ledger.sqlite").unlink()


@pytest.mark.parametrize("change", [change_event, change_blob, change_rows, add_file, cut_tail, drop_ledger])
def test_what_does_not_verify_is_not_put_in_place(
    archive: Path, tmp_path: Path, change: Callable[[Path], None]
) -> None:
    repack(archive, change)
    with pytest.raises(IntegrityError):
        restore(archive, tmp_path / "copy")
    assert list((tmp_path / "copy").iterdir()) == []


def test_another_signer_is_seen_when_the_key_is_known(archive: Path, tmp_path: Path) -> None:
    known = load_or_create(tmp_path / "home" / "keys", "ledger").public_pem
    stranger = load_or_create(tmp_path / "stranger", "ledger").public_pem
    with pytest.raises(IntegrityError, match="signed by another key"):
        restore(archive, tmp_path / "copy", public_keys=[stranger])
    assert restore(archive, tmp_path / "copy", public_keys=[known]).ok


@pytest.mark.parametrize("name", ["../outside", "/outside", "store/../../outside", "outside"])
def test_no_path_leaves_the_home(archive: Path, tmp_path: Path, name: str) -> None:
    with tarfile.open(tmp_path / "bad.tar.gz", "w:gz") as bad, tarfile.open(archive) as tar:
        for member in tar:
            bad.addfile(member, tar.extractfile(member))
        entry = tarfile.TarInfo(name)
        entry.size = 1
        bad.addfile(entry, io.BytesIO(b"x"))
    with pytest.raises(IntegrityError):
        restore(tmp_path / "bad.tar.gz", tmp_path / "deep" / "copy")
    assert not list(tmp_path.rglob("outside"))


def test_links_are_refused(archive: Path, tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "bad.tar.gz", "w:gz") as bad:
        entry = tarfile.TarInfo("store/link")
        entry.type, entry.linkname = tarfile.SYMTYPE, "/etc/passwd"
        bad.addfile(entry)
    with pytest.raises(IntegrityError, match="which no backup holds"):
        restore(tmp_path / "bad.tar.gz", tmp_path / "copy")


@pytest.mark.parametrize(
    ("kind", "size", "error"), [(tarfile.REGTYPE, 2**60, StoreFault), (tarfile.GNUTYPE_SPARSE, 0, IntegrityError)]
)
def test_what_unfolds_without_end_is_refused_before_it_does(
    tmp_path: Path, kind: bytes, size: int, error: type[Exception]
) -> None:
    entry = tarfile.TarInfo("store/ab")
    entry.size, entry.type = size, kind
    (tmp_path / "bad.tar.gz").write_bytes(gzip.compress(entry.tobuf(tarfile.GNU_FORMAT) + b"\0" * 1024))
    with pytest.raises(error, match=r"unfolds to more|which no backup holds"):
        restore(tmp_path / "bad.tar.gz", tmp_path / "copy")
    assert list((tmp_path / "copy").iterdir()) == []


def test_no_archive_and_no_archive_at_all(archive: Path, tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        restore(tmp_path / "none.tar.gz", tmp_path / "copy")
    whole = archive.read_bytes()
    for data in (b"", b"no archive", whole[: len(whole) // 2], whole[:200] + b"\xff" * 50 + whole[250:]):
        (tmp_path / "bad.tar.gz").write_bytes(data)
        with pytest.raises(IntegrityError):
            restore(tmp_path / "bad.tar.gz", tmp_path / "copy")
