"""The signed snapshot: what it holds, and that nothing else passes for one."""

import json
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from governance.access import KEY_CREATED, Created, new_grant
from governance.keys import SigningKey, load_or_create
from governance.ledger import Ledger
from governance.routing import KILLED, PROMOTED, Promoted, Why
from governance.snapshot import STALENESS_SET, TELLING, make_snapshot, sign_snapshot
from tunegate_core.errors import IntegrityError
from tunegate_core.proof.dsse import format_envelope, pae
from tunegate_core.snapshot import SNAPSHOT_TYPE, Limits, Snapshot, Staleness, verify_snapshot

ADAPTER, BASE, TEMPLATE, STATEMENT = ("sha256:" + letter * 64 for letter in "abcd")


@pytest.fixture
def ledger(tmp_path: Path, signer: SigningKey, clock: Callable[[], datetime]) -> Any:
    opened = Ledger.open(f"sqlite:///{tmp_path / 'ledger.sqlite'}", signer, None, clock)
    yield opened
    opened.close()


def release(ledger: Ledger, version: int) -> None:
    subject = f"bot@{version}"
    items = {"t": {"digest": BASE}}
    plan = {"name": "bot", "version": version, "route": "bot", "items": items, "attempt": 1}
    adapter = {
        "tree": ADAPTER, "base": BASE, "template": TEMPLATE, "config": BASE, "rank": 8, "target_modules": ["q_proj"],
        "parameters": 1,
    }  # fmt: skip
    for kind, body in (("planned", plan), ("sealed", {"adapter": adapter}), ("released", {"statement": STATEMENT})):
        ledger.append(kind, body, subject=subject)


def create_key(ledger: Ledger, expires: str | None = None) -> str:
    grant, _ = new_grant(["infer"], None, expires, Limits())
    body = Created(grant=grant, name="rows:" + "1" * 64).model_dump(mode="json")
    ledger.append(KEY_CREATED, body, subject=grant.key_id)
    return grant.key_id


def now(ledger: Ledger) -> Snapshot:
    return make_snapshot(ledger.events(TELLING), ledger.size())


def signed(snapshot: Snapshot, signer: SigningKey) -> bytes:
    return sign_snapshot(snapshot, signer.sign, signer.key_id)


def test_nothing_is_allowed_by_no_events(signer: SigningKey) -> None:
    snapshot = make_snapshot([], 0)
    assert snapshot == Snapshot(epoch=0)
    assert verify_snapshot(signed(snapshot, signer), signer.public_raw) == snapshot


def test_it_holds_what_the_ledger_decided(ledger: Ledger, signer: SigningKey) -> None:
    release(ledger, 1)
    release(ledger, 2)
    ledger.append("planned", {**ledger.events("planned")[0].body, "version": 3}, subject="bot@3")
    ledger.append(PROMOTED, Promoted(version="bot@2", place="canary", share_bp=250).model_dump(), subject="bot")
    key_id = create_key(ledger)
    snapshot = verify_snapshot(signed(now(ledger), signer), signer.public_raw)
    assert snapshot.epoch == ledger.size()
    route, grants = snapshot.route_by_alias()["bot"], snapshot.grant_by_subject()
    assert (route.champion, route.canary, route.canary_bp, route.killed) == ("bot@1", "bot@2", 250, False)
    assert set(grants) == {"bot@1", "bot@2"}
    grant = grants["bot@2"]
    assert (grant.adapter, grant.base, grant.template, grant.statement, grant.rank) == (
        ADAPTER, BASE, TEMPLATE, STATEMENT, 8,
    )  # fmt: skip
    assert [key.key_id for key in snapshot.keys] == [key_id]


def test_the_same_events_give_the_same_bytes(ledger: Ledger, signer: SigningKey) -> None:
    release(ledger, 1)
    create_key(ledger)
    first, second = (signed(now(ledger), signer) for _ in range(2))
    assert first == second


def test_a_revoked_release_and_an_expired_key_are_not_in_it(ledger: Ledger) -> None:
    release(ledger, 1)
    create_key(ledger, "2026-01-01T00:00:05.000000Z")  # the clock is there with the event after next
    assert len(now(ledger).keys) == 1
    ledger.append("revoked", {"by": "k", "reason": "rows:1"}, subject="bot@1")
    ledger.append(KILLED, Why().model_dump(), subject="bot")
    snapshot = now(ledger)
    assert (snapshot.grants, snapshot.keys) == ((), ())
    assert (snapshot.routes[0].champion, snapshot.routes[0].killed) == (None, True)


def test_the_last_rule_for_staleness_counts(ledger: Ledger) -> None:
    assert now(ledger).staleness == Staleness()
    for seconds in (60, 120):
        ledger.append(STALENESS_SET, {"max_stale_s": seconds, "then": "refuse"})
    assert now(ledger).staleness == Staleness(max_stale_s=120, then="refuse")


@pytest.mark.parametrize("seconds", [0, -1, "soon"])
def test_events_that_make_no_snapshot_are_an_integrity_error(ledger: Ledger, seconds: object) -> None:
    ledger.append(STALENESS_SET, {"max_stale_s": seconds, "then": "refuse"})
    with pytest.raises(IntegrityError, match="make no snapshot"):
        now(ledger)


def test_a_release_without_its_adapter_makes_no_snapshot(ledger: Ledger) -> None:
    plan = {"name": "bot", "version": 1, "route": "bot", "items": {}, "attempt": 1}
    ledger.append("planned", plan, subject="bot@1")
    ledger.append("released", {"statement": STATEMENT}, subject="bot@1")
    with pytest.raises(IntegrityError, match="make no snapshot"):
        now(ledger)


def test_it_is_made_of_the_events_before_its_epoch_and_of_the_kinds_that_tell(ledger: Ledger) -> None:
    for version in (1, 2):
        release(ledger, version)
        ledger.append("batch", {"requests": 100})
    ledger.append("revoked", {"by": "k", "reason": "rows:1"}, subject="bot@1")
    for size in range(ledger.size() + 1):
        snapshot = make_snapshot(ledger.events(TELLING), size)
        assert snapshot == make_snapshot(ledger.events(limit=size), size)
        assert snapshot.epoch == size


def test_an_older_one_is_refused(ledger: Ledger, signer: SigningKey) -> None:
    release(ledger, 1)
    old = signed(now(ledger), signer)
    ledger.append("revoked", {"by": "k", "reason": "rows:1"}, subject="bot@1")
    new = verify_snapshot(signed(now(ledger), signer), signer.public_raw)
    verify_snapshot(signed(new, signer), signer.public_raw, new.epoch)
    with pytest.raises(IntegrityError, match="is of epoch 3; expected 4 or newer"):
        verify_snapshot(old, signer.public_raw, new.epoch)


def test_another_signer_another_type_and_changed_bytes_are_refused(
    ledger: Ledger, signer: SigningKey, tmp_path: Path
) -> None:
    release(ledger, 1)
    snapshot = now(ledger)
    other = load_or_create(tmp_path / "other", "ledger")
    payload = snapshot.canonical()
    another_type = "application/vnd.in-toto+json"
    envelope = json.loads(signed(snapshot, signer))
    forged = Snapshot.model_validate({**snapshot.model_dump(), "epoch": 99})
    replaced = json.loads(signed(forged, other))
    for data in (
        signed(snapshot, other),
        format_envelope(payload, signer.key_id, signer.sign(pae(another_type, payload)), another_type),
        format_envelope(payload, signer.key_id, signer.sign(pae(another_type, payload)), SNAPSHOT_TYPE),
        json.dumps({**envelope, "payload": replaced["payload"]}).encode(),
        payload,
        b"",
    ):
        with pytest.raises(IntegrityError):
            verify_snapshot(data, signer.public_raw)
