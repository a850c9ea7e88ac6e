"""Backup, restore, and what the store no longer needs."""

import json
import re
from pathlib import Path
from typing import Any

from governance.ledger.event import format_time
from tunegate.house import House
from tunegate_core.config.endpoint import RecordsBlock
from tunegate_core.errors import NotFound

DIGEST = re.compile(rb"sha256:[0-9a-f]{64}")


def backup(house: House, out: Path, with_keys: bool) -> str:
    """Ledger, store and public keys as one archive."""
    from governance.backup import backup as run

    house.proving_ledger.checkpoint()
    run(house.home, house.database, out, include_keys=with_keys)
    with backups_file(house).open("a", encoding="utf-8") as index:
        index.write(json.dumps({"archive": str(out.resolve()), "at": format_time(house.clock())}) + "\n")
    guard = "; it holds private keys: guard it" if with_keys else "; private keys are not in it, keep them apart"
    return f"wrote {out}{guard}"


def backups_file(house: House) -> Path:
    """The index of backups: one JSON line for each archive that was written here, so that erasure reaches it."""
    return house.home / "backups.jsonl"


def known_backups(house: House) -> list[Path]:
    """Every archive that was written, each once, in order; it may have been moved or removed since."""
    if not backups_file(house).exists():
        return []
    lines = backups_file(house).read_text(encoding="utf-8").splitlines()
    return list(dict.fromkeys(Path(json.loads(line)["archive"]) for line in lines if line.strip()))


def restore(house: House, archive: Path, key: Path | None = None) -> str:
    """An archive into an empty home, verified first: by `key` (PEM) of the ledger, or by its own, which shows that
    nothing was damaged and not who made it."""
    from governance.backup import restore as run

    run(archive, house.home, house.database, [key.read_bytes()] if key else ())
    said = "" if key else " by the archive's own key, which anybody can make; --key PUB says whose it must be"
    return f"restored {archive} into {house.home}; verified{said}"


def collect(house: House, delete: bool, records: RecordsBlock | None = None) -> dict[str, Any]:
    """Blobs that no event leads to, directly or through other blobs, and request records beyond the time that the
    endpoint's config gives them (its default when not given); deleted when asked."""
    needed = _reachable(house)
    unneeded = [blob for blob in house.store.blobs() if blob not in needed]
    size = sum(len(house.store.get(blob)) for blob in unneeded)
    if delete:
        for blob in unneeded:
            house.store.remove(blob)
    beyond = _beyond_their_time(house, delete, records or RecordsBlock())
    return {"blobs": unneeded, "bytes": size, "kept": len(needed), **beyond, "deleted": delete}


def _beyond_their_time(house: House, delete: bool, records: RecordsBlock) -> dict[str, int]:
    """Kept texts and rows of requests whose time is over. A running gateway deletes them by itself."""
    from serving.sealing import Retention, forget, now_ms, overdue
    from serving.tables import Tables

    file = house.home / "serving" / "requests.sqlite"
    if not file.exists():
        return {"request_texts": 0, "request_rows": 0}

    def recorder(kind: str, body: dict[str, Any]) -> None:
        house.ledger.append(kind, body)
        house.ledger.checkpoint()

    tables, retention = Tables(file), Retention(text_days=records.text_days, row_days=records.days)
    try:
        found = forget(tables, recorder, retention, now_ms()) if delete else overdue(tables, retention, now_ms())
    finally:
        tables.close()
    return {"request_texts": found.texts, "request_rows": found.rows}


def _reachable(house: House) -> set[str]:
    """Every digest that events name, and those that the named blobs name in turn (manifests, evidence, verdicts)."""
    found: set[str] = set()
    waiting = [name for event in house.existing_ledger.events() for name in _digests(event.canonical())]
    while waiting:
        blob = waiting.pop()
        if blob in found or not house.store.has(blob):
            continue
        found.add(blob)
        try:
            data = house.store.get(blob)
        except NotFound:
            continue
        if data[:1] in (b"{", b"["):
            waiting += _digests(data)
    return found


def _digests(data: bytes) -> list[str]:
    return [name.decode() for name in DIGEST.findall(data)]
