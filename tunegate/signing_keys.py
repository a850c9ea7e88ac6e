"""Signing keys in the course of time: made, replaced and ended, each by one event. What a key signed before stands.

A person's key and the ledger's own are replaced in the same way: the new one is made beside the old, both sign that it
takes over, that is recorded, and only then does it take the old one's place. The same command again ends what a crash
left in between.
"""

from dataclasses import replace
from typing import Any

from governance.keys import SigningKey, finish_replacing, remove, start_replacing
from governance.ledger import Transaction
from governance.ledger.succession import LEDGER_KEY_ROTATED, signed_rotation
from governance.people import KEY_REVOKED, KEY_ROTATED, PEOPLE_EVENTS, KeyRevoked, KeyRotated, People
from tunegate.house import LEDGER_KEY, House
from tunegate.publishing import publish
from tunegate_core.errors import BadInput
from tunegate_core.proof.rotation import Rotation


def rotate(house: House, name: str) -> dict[str, Any]:
    """A new key in place of a person's, or of the ledger's (`ledger`); the old one's later signatures are refused.

    Raises NotFound when its private half is not here, BadInput for a key that was revoked.
    """
    ledger = house.ledger if name != LEDGER_KEY else house.existing_ledger  # its old key may be replaced already
    old, new = start_replacing(house.keys, name)
    with ledger.write() as tx:
        record = _record_ledger_key if name == LEDGER_KEY else _record_persons_key
        record(house, tx, old, new)
    finish_replacing(house.keys, name)
    after = replace(house)  # what was opened with the old key is not used any more
    after.ledger.checkpoint()
    publish(after)
    private = str(house.keys / f"{name}.key")
    return {"name": name, "key_id": new.key_id, "public": new.public_pem.decode(), "private": private,
            "replaces": old.key_id}  # fmt: skip


def revoke(house: House, name: str, reason: str | None = None) -> str:
    """End a person's key, lost or known to others; its private half is deleted. Raises NotFound; BadInput for the
    ledger's, which can only be replaced."""
    if name == LEDGER_KEY:
        raise BadInput("the ledger's key can't end without another in its place; 'tunegate keys rotate ledger'")
    ledger, key = house.ledger, house.person_key(name)
    with ledger.write() as tx:
        known = People.from_events(tx.events(PEOPLE_EVENTS))
        if known.ended(key.key_id) is None:
            why = house.rows.put([reason]) if reason and reason.strip() else None
            body = KeyRevoked(key_id=key.key_id, reason=why).model_dump(mode="json")
            known.follow(tx.append(KEY_REVOKED, body, actor=key.key_id))
    ledger.checkpoint()
    remove(house.keys, name)
    return f"the key {key.key_id} of {name} is revoked; what it signed stands, what it would sign is refused"


def _record_persons_key(house: House, tx: Transaction, old: SigningKey, new: SigningKey) -> None:
    known = People.from_events(tx.events(PEOPLE_EVENTS))
    if new.key_id in known.keys:
        return  # by a try that did not end
    rotation = signed_rotation(old, new, tx.size())
    body = KeyRotated(
        key_id=new.key_id, public=new.public_pem.decode(), replaces=old.key_id, rotation=rotation
    ).model_dump(mode="json")
    known.follow(tx.append(KEY_ROTATED, body, actor=old.key_id))


def _record_ledger_key(house: House, tx: Transaction, old: SigningKey, new: SigningKey) -> None:
    recorded = [Rotation.model_validate(event.body["rotation"]) for event in tx.events(LEDGER_KEY_ROTATED)]
    if not recorded or recorded[-1].new != new.public_pem.decode():
        body = {"rotation": signed_rotation(old, new, tx.size()).model_dump(mode="json")}
        tx.append(LEDGER_KEY_ROTATED, body, actor=old.key_id)
