"""What the ledger, the bundle and the signature prove, and that any single change is found."""

import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slow


def test_a_copied_home_verifies(released: Path, value: Callable[..., Any]) -> None:
    report = value(released, "ledger", "verify")
    assert report["ok"], report
    assert report["stored_files"] > 8


def test_the_bundle_verifies_alone(released: Path, tmp_path: Path, command: Callable[..., Any]) -> None:
    bundle, key = tmp_path / "bundle.json", tmp_path / "ledger.pub"
    assert command(released, "ledger", "prove", "starter@1", "-o", bundle).returncode == 0
    key.write_text(command(released, "keys", "export").stdout)
    empty = tmp_path / "elsewhere"
    done = command(empty, "verify-bundle", bundle, "--key", key)
    assert done.returncode == 0, done.stderr
    assert not empty.exists()
    data = bytearray(bundle.read_bytes())
    data[len(data) // 2] ^= 1
    bundle.write_bytes(data)
    assert command(empty, "verify-bundle", bundle, "--key", key).returncode == 1


def test_the_public_tool_verifies_the_exported_adapter(
    released: Path, tmp_path: Path, command: Callable[..., Any]
) -> None:
    out = tmp_path / "export"
    assert command(released, "export", "starter@1", "-o", out).returncode == 0
    check = [
        sys.executable, "-m", "model_signing", "verify", "key",
        "--public_key", str(out / "adapter.pub"), "--signature", str(out / "adapter.sig"), str(out / "adapter"),
    ]  # fmt: skip
    assert subprocess.run(check, capture_output=True, check=False).returncode == 0
    (out / "adapter" / "adapter_config.json").write_text("{}")
    assert subprocess.run(check, capture_output=True, check=False).returncode != 0


def change_an_event(home: Path) -> None:
    with sqlite3.connect(home / "ledger.sqlite") as db:
        data = bytes(db.execute("SELECT bytes FROM events WHERE kind = 'judged'").fetchone()[0])
        db.execute("UPDATE events SET bytes = ? WHERE kind = 'judged'", (data.replace(b"PASS", b"FAIL"),))
    db.close()


def cut_the_tail(home: Path) -> None:
    with sqlite3.connect(home / "ledger.sqlite") as db:
        db.execute("DELETE FROM events WHERE seq = (SELECT max(seq) FROM events)")
    db.close()


def change_a_stored_file(home: Path) -> None:
    largest = max(
        (path for path in (home / "store").rglob("*") if path.is_file()), key=lambda path: path.stat().st_size
    )
    data = bytearray(largest.read_bytes())
    data[-1] ^= 1
    largest.write_bytes(data)


def change_a_training_row(home: Path) -> None:
    rows = max((home / "store" / "rows").glob("*.jsonl"), key=lambda path: path.stat().st_size)
    rows.write_bytes(rows.read_bytes().replace(b"nine", b"four", 1))


def change_a_checkpoint(home: Path) -> None:
    log = home / "checkpoints.log"
    data = bytearray(log.read_bytes())
    data[len(data) // 2] ^= 1
    log.write_bytes(data)


@pytest.mark.parametrize(
    "tamper", [change_an_event, cut_the_tail, change_a_stored_file, change_a_training_row, change_a_checkpoint]
)
def test_any_single_change_is_found(
    released: Path, tamper: Callable[[Path], None], command: Callable[..., Any], value: Callable[..., Any]
) -> None:
    tamper(released)
    assert command(released, "ledger", "verify").returncode == 1
    problems = value(released, "ledger", "verify")["problems"]
    assert problems, "a change was not found"


def test_backup_and_restore(released: Path, tmp_path: Path, command: Callable[..., Any]) -> None:
    archive, other = tmp_path / "backup.tar.gz", tmp_path / "other"
    assert command(released, "backup", archive, "--with-keys").returncode == 0
    done = command(other, "restore", archive)
    assert done.returncode == 0, done.stderr
    assert command(other, "ledger", "verify").returncode == 0
    assert command(other, "restore", archive).returncode == 2


def test_nothing_of_a_release_is_garbage(released: Path, command: Callable[..., Any]) -> None:
    assert command(released, "gc", "--delete").returncode == 0
    assert command(released, "ledger", "verify").returncode == 0
