"""Ledger and store as one archive, and back: what does not verify is not put in place.

A backup is a .tar.gz of `ledger.sqlite` (whatever the database was), `checkpoints.log`, `store/` and the public keys;
private keys only when asked for. Restoring unpacks it inside an empty home, verifies every event, signature, blob and
row, and only then moves it to its place.
"""

import gzip
import io
import os
import secrets
import shutil
import tarfile
import tempfile
import zlib
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path

from governance.ledger.copying import Moment, copy_ledger, this_moment
from governance.ledger.database import Database
from governance.ledger.report import VerifyReport
from governance.ledger.verifying import verify_log
from tunegate_core.errors import BadInput, IntegrityError, NotFound, StoreFault
from tunegate_core.records import Record
from tunegate_core.rows import Rows, without
from tunegate_core.store import Store, hash_file

LEDGER, ANCHOR, STORE, KEYS = "ledger.sqlite", "checkpoints.log", "store", "keys"
COSIGNED = "cosignatures.log"
COMPRESSION = 1  # adapters and base models hardly shrink
DRAFT = ".restoring-"
TOLD = 3  # problems in one message


class BackupReport(Record):
    """What an archive holds. `size` counts events, `files` those of the store; `keys`: private keys are in it."""

    archive: str
    size: int
    files: int
    keys: bool


def backup(home: Path, database_url: str, out: Path, include_keys: bool = False) -> BackupReport:
    """Write the archive, of mode 0600; replaces `out` only when it is whole. Raises NotFound without a ledger.

    A store outside the home (a bucket) is not part of it.
    """
    if database_url.startswith("sqlite") and not (home / LEDGER).exists():
        raise NotFound(f"nothing is recorded in {home} yet; expected a ledger")
    draft = out.parent / f".{out.name}.{secrets.token_hex(8)}"
    try:
        with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}-") as work:
            moment = _copy_out(database_url, home / ANCHOR, Path(work) / LEDGER)
            with os.fdopen(_new_file(draft), "wb") as raw:
                files = _pack(raw, home, Path(work) / LEDGER, moment, include_keys)
                raw.flush()
                os.fsync(raw.fileno())
        os.replace(draft, out)
    except OSError as error:
        raise StoreFault(
            f"can't write the backup {out}: {error.strerror}; free space, or choose another place"
        ) from error
    finally:
        draft.unlink(missing_ok=True)
    return BackupReport(archive=str(out), size=moment.size, files=files, keys=include_keys)


def restore(
    archive: Path, home: Path, database_url: str | None = None, public_keys: Sequence[bytes] = ()
) -> VerifyReport:
    """Put an archive into an empty home, and into an empty database if it is not the home's own.

    `public_keys` (PEM) are whose signatures count; the archive's own ledger key when none is given, which proves that
    nothing was damaged, not who made it. Raises BadInput for a home that is not empty, IntegrityError for an archive
    that does not verify; the home is then as it was.
    """
    _make_empty(home)
    draft = home / f"{DRAFT}{secrets.token_hex(8)}"
    try:
        _unpack(archive, draft)
        report = _verify(draft, public_keys)
        if database_url is not None and not database_url.startswith("sqlite"):
            _copy_in(draft, database_url)
        for name in (STORE, KEYS, ANCHOR, COSIGNED, LEDGER):  # the ledger last: without it a home counts as new
            if (draft / name).exists():
                os.replace(draft / name, home / name)
    except OSError as error:
        raise StoreFault(f"can't restore into {home}: {error.strerror}; free space, or choose another place") from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return report


def erase_in_archive(archive: Path, rows: Mapping[str, Collection[int]]) -> int:
    """Erase rows (numbers by their set's root) in an archive; return how many had their text. Replaced as a whole.

    Raises NotFound for an archive that is not there, IntegrityError for one that can't be read, StoreFault.
    """
    draft = archive.parent / f".{archive.name}.{secrets.token_hex(8)}"
    try:
        with tarfile.open(archive, "r:gz") as old, os.fdopen(_new_file(draft), "wb") as raw:
            with tarfile.open(fileobj=raw, mode="w:gz", compresslevel=COMPRESSION) as new:
                count = sum(_copy_member(old, new, member, rows) for member in old)
            raw.flush()
            os.fsync(raw.fileno())
        if count:
            os.replace(draft, archive)
    except FileNotFoundError as error:
        raise NotFound(f"there is no archive {archive}") from error
    except (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise IntegrityError(f"{archive} is damaged or no backup: {error}; nothing was erased in it") from error
    except OSError as error:
        raise StoreFault(f"can't write {archive}: {error.strerror}; nothing was erased in it") from error
    finally:
        draft.unlink(missing_ok=True)
    return count


def _copy_member(
    old: tarfile.TarFile, new: tarfile.TarFile, member: tarfile.TarInfo, rows: Mapping[str, Collection[int]]
) -> int:
    """Copy one member without the rows; how many of them had their text."""
    source, path = old.extractfile(member), Path(member.name)
    if source is None:
        new.addfile(member)
        return 0
    folder, erased = path.parent.as_posix(), rows.get(f"rows:{path.stem}", ())
    if folder == f"{STORE}/rows/index" and source.read().decode() in rows:
        return 0  # it would tell by their texts which rows these were
    source.seek(0)
    if folder != f"{STORE}/rows" or not erased:
        new.addfile(member, source)
        return 0
    data = source.read()
    left = without(data, erased)
    member.size = len(left)
    new.addfile(member, io.BytesIO(left))
    return sum(was != now for was, now in zip(data.splitlines(), left.splitlines(), strict=True))


def _new_file(path: Path) -> int:
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)


def _copy_out(database_url: str, anchor: Path, target: Path) -> Moment:
    source, copy = Database(database_url), Database(f"sqlite:///{target}")
    try:
        moment = this_moment(source, anchor)
        copy_ledger(source, copy, moment)
    finally:
        source.engine.dispose()
        copy.engine.dispose()  # the last to leave folds the write-ahead log into the file
    return moment


def _copy_in(draft: Path, database_url: str) -> None:
    source, target = Database(f"sqlite:///{draft / LEDGER}"), Database(database_url)
    try:
        copy_ledger(source, target, this_moment(source, draft / ANCHOR))
    finally:
        source.engine.dispose()
        target.engine.dispose()
    (draft / LEDGER).unlink()


def _pack(raw: io.BufferedWriter, home: Path, ledger: Path, moment: Moment, include_keys: bool) -> int:
    endings = {".pub", ".key", ".pem"} if include_keys else {".pub"}
    keys = [path for path in sorted((home / KEYS).glob("*")) if path.suffix in endings]
    kept = [home / COSIGNED] if (home / COSIGNED).exists() else []
    stored = [path for path in sorted((home / STORE).rglob("*")) if path.is_file() and not _is_draft(path)]
    anchor = "".join(line + "\n" for line in moment.anchor).encode()
    with tarfile.open(fileobj=raw, mode="w:gz", compresslevel=COMPRESSION) as tar:
        tar.add(ledger, LEDGER)
        entry = tarfile.TarInfo(ANCHOR)
        entry.size, entry.mode = len(anchor), 0o644
        tar.addfile(entry, io.BytesIO(anchor))
        for path in keys + kept + stored:
            tar.add(path, path.relative_to(home).as_posix(), recursive=False)
    return len(stored)


def _is_draft(path: Path) -> bool:
    return path.name.startswith(".") or path.suffix == ".draft"


def _make_empty(home: Path) -> None:
    try:
        home.mkdir(parents=True, exist_ok=True)
        for left in home.glob(f"{DRAFT}*"):  # of a restore that was killed
            shutil.rmtree(left)
        found = sorted(path.name for path in home.iterdir())
    except OSError as error:
        raise StoreFault(f"can't write {home}: {error.strerror}; choose a folder you can write") from error
    if found:
        raise BadInput(f"{home} is not empty (found {', '.join(found[:5])}); expected a new folder; set TUNEGATE_HOME")


def _unpack(archive: Path, folder: Path) -> None:
    folder.mkdir()
    room = shutil.disk_usage(folder).free
    try:
        with tarfile.open(archive, "r:gz") as tar:
            for member in tar:
                _verify_member(archive, member, room)
                room -= member.size
                tar.extract(member, folder, filter="data")  # refuses whatever leaves the folder
    except FileNotFoundError as error:
        raise NotFound(f"there is no archive {archive}") from error
    except (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise IntegrityError(f"{archive} is damaged or no backup: {error}; nothing was restored") from error
    if not (folder / LEDGER).is_file():
        raise IntegrityError(f"{archive} holds no ledger; nothing was restored")
    if (folder / KEYS).is_dir():
        (folder / KEYS).chmod(0o700)


def _verify_member(archive: Path, member: tarfile.TarInfo, room: int) -> None:
    is_known = member.name.split("/")[0] in (LEDGER, ANCHOR, COSIGNED, STORE, KEYS)
    if not is_known or not (member.isfile() or member.isdir()) or member.issparse():
        raise IntegrityError(f"{archive} holds {member.name!r}, which no backup holds; nothing was restored")
    if member.size > room:
        raise StoreFault(f"{archive} unfolds to more than there is room for; nothing was restored")


def _verify(folder: Path, public_keys: Sequence[bytes]) -> VerifyReport:
    keys = list(public_keys) or [path.read_bytes() for path in (folder / KEYS).glob("ledger.pub")]
    database = Database(f"sqlite:///{folder / LEDGER}")
    try:
        report = verify_log(database, folder / ANCHOR, keys, None)
    finally:
        database.engine.dispose()
    if not report.ok:
        found = "; ".join(f"{problem.where}: {problem.what}" for problem in report.problems[:TOLD])
        more = f"; and {len(report.problems) - TOLD} more" if len(report.problems) > TOLD else ""
        raise IntegrityError(f"the archive's ledger does not verify: {found}{more}; nothing was restored")
    _each_file(folder / STORE, _stored_check(folder / STORE))
    return report


def _stored_check(store: Path) -> Callable[[Path], None]:
    rows = Rows(str(store))
    blobs = {str(blob) for blob in Store(store).blobs()}

    def check(path: Path) -> None:
        parts = path.relative_to(store).parts
        if parts[0] == "rows" and len(parts) == 2 and path.suffix == ".jsonl":
            rows.get(f"rows:{path.stem}")
        elif parts[:2] != ("rows", "index"):
            blob = "sha256:" + "".join(parts)
            if blob not in blobs or hash_file(path) != blob:
                raise IntegrityError(
                    f"the archive's store holds {'/'.join(parts)} with other content; nothing was restored"
                )

    return check


def _each_file(folder: Path, check: Callable[[Path], None]) -> None:
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            check(path)
