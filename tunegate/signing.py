"""A person's decision: their key, whether it counts, and their signature over exactly what they decide about."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

from governance.keys import SigningKey
from governance.ledger import Transaction
from governance.people import PEOPLE_EVENTS, People
from governance.roles import Role
from tunegate.house import House
from tunegate.users import deny
from tunegate_core.errors import BadInput, Denied
from tunegate_core.proof.approval import Signable, SignedDecision


class _Objection(Exception):
    """Inside a write, which must end before the denial can be recorded."""


@contextmanager
def signing_now(
    house: House, person: str, action: str, about: str, roles: tuple[Role, ...] = ()
) -> Iterator[tuple[Transaction, SigningKey]]:
    """One write with a person's key that counts now; `roles` are those of which the policy asks for one.

    Raises Denied, and records it, when the key was ended, is no user's where there are users, or its user may not.
    """
    ledger = house.ledger  # where nothing can be recorded, no key is made
    key = house.person_key(person)
    try:
        with ledger.write() as tx:
            objection = People.from_events(tx.events(PEOPLE_EVENTS)).objection(key.key_id, action, roles)
            if objection is not None:
                raise _Objection(objection)
            yield tx, key
    except _Objection as objection:
        raise deny(house, action, about, key.key_id, "role", str(objection)) from None
    except Denied as error:
        deny(house, action, about, key.key_id, "policy", "")
        raise error


def sign_decision(
    house: House,
    about: Signable,
    key: SigningKey,
    decision: Literal["approve", "refuse", "recall"],
    reason: str,
    expires: str | None = None,
) -> SignedDecision:
    """The decision signed; its reason is kept as erasable text. Raises BadInput without a reason."""
    if not reason.strip():
        raise BadInput("a decision needs a reason; found none")
    draft = SignedDecision(
        approver=key.key_id,
        public_key=key.public_pem.decode(),
        decision=decision,
        reason=house.rows.put([reason], anew=True),  # the same words twice are two decisions
        expires=expires,
        signature="",
    )
    return draft.model_copy(update={"signature": key.sign(about.payload(draft)).hex()})
