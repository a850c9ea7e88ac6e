"""What serving may do, written where gateways and replicas read it: one signed file, replaced whole.

Written right after each event that changes it, and by `tunegate publish`. Two that publish at once do it one after the
other, and each reads the ledger when it is its turn: the file never goes back to an older epoch.
"""

import fcntl
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pydantic import ValidationError

from governance.ledger.anchor import sync_folder
from governance.snapshot import STALENESS_SET, TELLING, make_snapshot, sign_snapshot
from tunegate.house import House, make_folder
from tunegate_core.errors import BadInput, IntegrityError, StoreFault
from tunegate_core.snapshot import Snapshot, Staleness, verify_snapshot


def snapshot_file(house: House) -> Path:
    """Where the signed snapshot is."""
    return house.home / "serving" / "snapshot.dsse"


def publish(house: House) -> Snapshot:
    """Write what the ledger allows now; return it. The file's time says when the ledger last confirmed it.

    Raises IntegrityError when the file speaks of more events than the ledger has, StoreFault when it can't be written.
    """
    path = snapshot_file(house)
    make_folder(path.parent)
    try:
        with _one_at_a_time(path):
            return _write(house, path)
    except OSError as error:
        raise StoreFault(
            f"can't write {path}: {error.strerror}; what was decided is recorded, but serving has not heard of it: "
            "free space, then run 'tunegate publish'"
        ) from error


def set_staleness(house: House, max_stale_s: int | None, then: str | None) -> None:
    """What serving does when it hears nothing for too long: one event, unless it is the rule already.

    None leaves a part of the rule as it is. Raises BadInput for what is no such rule. The caller publishes.
    """
    said = {key: part for key, part in {"max_stale_s": max_stale_s, "then": then}.items() if part is not None}
    with house.ledger.write() as tx:
        rules = [event.body for event in tx.events(kind=STALENESS_SET)]
        before = rules[-1] if rules else Staleness().model_dump()
        try:
            rule = Staleness.model_validate({**before, **said})
        except ValidationError as error:
            raise BadInput(
                f"{said} is no rule; expected a number of seconds above 0, and 'serve' or 'refuse'"
            ) from error
        if rule.model_dump() != before:
            tx.append(STALENESS_SET, rule.model_dump(), actor=house.person_key(house.person).key_id)
    house.ledger.checkpoint()


def _write(house: House, path: Path) -> Snapshot:
    size, current = house.ledger.size(), _published(house, path)
    if current is not None and current.epoch > size:
        raise IntegrityError(
            f"{path} speaks of {current.epoch} events, and the ledger has {size}: its tail was cut, or an older copy "
            "was restored; 'tunegate ledger verify' says which; then remove the file"
        )
    if current is not None and current.epoch == size:
        os.utime(path)
        return current
    snapshot = make_snapshot(house.ledger.events(TELLING), size)
    _replace(path, sign_snapshot(snapshot, house.signer.sign, house.signer.key_id))
    return snapshot


def _published(house: House, path: Path) -> Snapshot | None:
    """What the file says, if this ledger's key signed it."""
    try:
        return verify_snapshot(path.read_bytes(), house.signer.public_raw)
    except (FileNotFoundError, IntegrityError):
        return None


def _replace(path: Path, data: bytes) -> None:
    """A reader sees the old bytes or the new ones, and so does who looks after a power failure."""
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        with draft.open("xb") as out:
            out.write(data)
            out.flush()
            os.fsync(out.fileno())
        os.replace(draft, path)
        sync_folder(path.parent)
    finally:
        draft.unlink(missing_ok=True)


@contextmanager
def _one_at_a_time(path: Path) -> Iterator[None]:
    with path.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
