"""Users of one installation: added, given roles, disabled, signed in. The console and the command line ask here.

`authenticate` says who somebody is, `authorise` whether they may do an action now; both raise `Denied` and record what
was denied. A user's decisions are signed with a key of their own: one that lies here, under the user's name, or one
that they keep themselves, of which only the public half is known here.
"""

import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from time import monotonic, sleep
from typing import Any

from governance.keys import load_or_create
from governance.ledger import Transaction
from governance.ledger.event import format_time
from governance.passwords import Passwords
from governance.people import (
    DENIED,
    KEY_CREATED,
    PEOPLE_EVENTS,
    USER_ADDED,
    USER_DISABLED,
    USER_ROLES_SET,
    Denial,
    KeyCreated,
    People,
    User,
    UserAdded,
    UserDisabled,
    UserRoles,
)
from governance.roles import Role, may_any, parse_roles, who_may
from tunegate.house import LEDGER_KEY, STARTER, House
from tunegate_core.errors import BadInput, Denied, NotFound
from tunegate_core.proof.keys import key_id as name_of
from tunegate_core.proof.keys import parse_public_key
from tunegate_core.records import Record

NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")
RESERVED = (LEDGER_KEY, "adapter-signing")
ID_BYTES = 8
SIGN_IN = "sign-in"
STRANGERS, AMONG = 20, 100  # recorded sign-ins of nobody known, an hour; of so many latest denials
SOONEST = 0.5  # seconds until a wrong sign-in is answered: more than hashing and recording take
WRONG = "the name or the password is wrong"


@dataclass(frozen=True)
class SignedIn:
    """A user who may act now. `signs_here`: whether the private half of their key lies in this home."""

    user_id: str
    name: str
    roles: tuple[Role, ...]
    key_id: str | None
    signs_here: bool

    def may(self, action: str) -> bool:
        """Whether one of the roles may do it; to ask and to record a no, use `authorise`."""
        return may_any(self.roles, action)


def people(house: House) -> People:
    """Users and signing keys as the ledger tells them now."""
    return People.from_events(house.existing_ledger.events(PEOPLE_EVENTS) if house.has_ledger else ())


def passwords(house: House) -> Passwords:
    """The operational table of password hashes."""
    return Passwords(house.home / "passwords.sqlite")


def add(house: House, name: str, roles: Sequence[str], public: Path | None = None) -> dict[str, Any]:
    """A new user; a signing key is made for them here unless `public` (PEM) is of one they keep themselves.

    The first user must be an admin; from then on roles are asked for. Raises BadInput for a name that is taken.
    """
    if not NAME.fullmatch(name) or name in RESERVED:
        raise BadInput(f"{name!r} can't name a user; expected small letters, digits, '.', '_' and '-', at most 63")
    granted, ledger = parse_roles(roles), house.ledger
    if any(user.name == name for user in _active(house, people(house))):
        raise BadInput(f"there is a user named '{name}' already; choose another name, or disable that one first")
    if public is not None:
        raw = parse_public_key(public.read_bytes())
        created = KeyCreated(key_id=name_of(raw), public=public.read_text(encoding="ascii"))
    else:
        key = load_or_create(house.keys, name)
        created = KeyCreated(key_id=key.key_id, public=key.public_pem.decode())
    user_id = f"user-{secrets.token_hex(ID_BYTES)}"
    with ledger.write() as tx:
        known = People.from_events(tx.events(PEOPLE_EVENTS))
        if created.key_id not in known.keys:
            _record(house, tx, known, KEY_CREATED, None, created)
        said = UserAdded(name=house.rows.put([name]), roles=granted, key_id=created.key_id)
        _record(house, tx, known, USER_ADDED, user_id, said)
    ledger.checkpoint()
    return _shown(house, people(house).users[user_id])


def set_roles(house: House, name: str, roles: Sequence[str]) -> dict[str, Any]:
    """Other roles for a user. Raises NotFound; BadInput when nobody would be admin any more."""
    user_id, granted = named(house, name).user_id, parse_roles(roles)
    with house.ledger.write() as tx:
        known = People.from_events(tx.events(PEOPLE_EVENTS))
        if known.user(user_id).roles != granted:
            _record(house, tx, known, USER_ROLES_SET, user_id, UserRoles(roles=granted))
    house.ledger.checkpoint()
    return _shown(house, people(house).users[user_id])


def disable(house: House, name: str, reason: str | None = None) -> str:
    """End a user now; what they decided stands. Raises NotFound; BadInput for the last admin."""
    user_id = named(house, name).user_id
    with house.ledger.write() as tx:
        known = People.from_events(tx.events(PEOPLE_EVENTS))
        why = house.rows.put([reason]) if reason and reason.strip() else None
        _record(house, tx, known, USER_DISABLED, user_id, UserDisabled(reason=why))
    house.ledger.checkpoint()
    passwords(house).forget(user_id)
    return f"the user {name} is disabled; what they decided stands"


def set_password(house: House, name: str, password: str) -> str:
    """Set a user's password. Raises NotFound or BadInput."""
    passwords(house).set(named(house, name).user_id, password)
    return f"the password of {name} is set"


def listed(house: House) -> dict[str, Any]:
    """Every user there ever was, and whether roles are asked for."""
    known = people(house)
    return {"enforced": known.enforced, "users": [_shown(house, user) for user in known.users.values()]}


def named(house: House, name: str) -> SignedIn:
    """The user of this name who was not disabled. Raises NotFound."""
    found = next((user for user in _active(house, people(house)) if user.name == name), None)
    if found is None:
        raise NotFound(f"there is no user '{name}'; 'tunegate users list' shows them")
    return found


def authenticate(house: House, name: str, password: str) -> SignedIn:
    """Who this is. Raises Denied in the same words and no sooner than `SOONEST`, whatever was wrong; says how long to
    wait after too many wrong passwords for a name, whether or not somebody has it."""
    began, table = monotonic(), passwords(house)
    user = next((user for user in _active(house, people(house)) if user.name == name), None)
    if (seconds := table.try_now(name, house.clock())) > 0:
        raise Denied(f"too many wrong passwords for this name; wait {seconds:.0f} s and try again")
    if table.verify(user.user_id if user else None, password) and user is not None:
        table.right(name)
        return user
    if user is not None:
        _denied(house, Denial(action=SIGN_IN, by=user.user_id, rule="password"))
    else:
        _deny_stranger(house, "password")
    sleep(max(0.0, SOONEST - (monotonic() - began)))
    raise Denied(WRONG)


def refuse_sign_in(house: House, rule: str, why: str, by: str | None = None, is_known: bool = False) -> Denied:
    """The error for a sign-in at another place (OpenID Connect) that did not succeed, recorded. `is_known`: the place
    had vouched for somebody; what anybody may send is recorded `STRANGERS` times an hour only."""
    if is_known:
        _denied(house, Denial(action=SIGN_IN, by=by, rule=rule))
    else:
        _deny_stranger(house, rule)
    return Denied(why)


def _deny_stranger(house: House, rule: str) -> None:
    """Who can't be told apart from anybody must not be able to fill a ledger that forgets nothing."""
    ledger, since = house.ledger, format_time(house.clock() - timedelta(hours=1))
    latest = ledger.events(DENIED, before=ledger.size(), limit=AMONG)
    known = (event for event in latest if event.at >= since and event.body["action"] == SIGN_IN)
    if sum(event.body["by"] is None for event in known) < STRANGERS:
        _denied(house, Denial(action=SIGN_IN, rule=rule))


def authorise(house: House, user_id: str, action: str, about: str | None = None) -> SignedIn:
    """The user, if they may do it now; asked anew each time, so that what an admin ends is over. Raises Denied."""
    user = people(house).users.get(user_id)
    if user is not None and user.may(action):
        return signed_in(house, user)
    roles = "unknown" if user is None else "disabled" if user.disabled_at else ", ".join(user.roles)
    _denied(house, Denial(action=action, about=about, by=user_id, rule="role"))
    raise Denied(f"you are {roles}, which may not do '{action}'; it takes {' or '.join(who_may(action))}")


def authorise_person(house: House, name: str, action: str, about: str | None = None) -> None:
    """The same for the person named on the command line. Where there are no users yet, everybody may. Raises Denied."""
    known = people(house)
    if not known.enforced:
        return
    user = next((user for user in _active(house, known) if user.name == name), None)
    if user is not None:
        authorise(house, user.user_id, action, about)
        return
    _denied(house, Denial(action=action, about=about, rule="no-user"))
    who = "there are users here, and you named none" if name == STARTER else f"'{name}' is no user"
    needed = f"'{action}' takes {' or '.join(who_may(action))}"
    raise Denied(f"{who}; {needed}: set TUNEGATE_USER to your name, or ask an admin to add you")


def acting(house: House, user: SignedIn) -> House:
    """The same house in the hands of a signed-in user: what happens through it is recorded as done by their key.

    Raises BadInput for a user whose private key does not lie here.
    """
    if not user.signs_here:
        raise BadInput(f"the key of {user.name} is kept elsewhere; nothing can be signed for them here")
    return house.acting_for(user.name)


def deny(house: House, action: str, about: str | None, by: str | None, rule: str, why: str) -> Denied:
    """Record that something was denied; the error to raise."""
    _denied(house, Denial(action=action, about=about, by=by, rule=rule))
    return Denied(why)


def denials(house: House) -> list[dict[str, Any]]:
    """What was denied, in order."""
    events = house.existing_ledger.events(DENIED) if house.has_ledger else []
    return [{"seq": event.seq, "at": event.at, **event.body} for event in events]


def _denied(house: House, denial: Denial) -> None:
    house.ledger.append(DENIED, denial.model_dump(mode="json"))
    house.ledger.checkpoint()


def _record(house: House, tx: Transaction, known: People, kind: str, subject: str | None, body: Record) -> None:
    """Append one event, if it may follow from what is known."""
    actor = house.person_key(house.person).key_id
    known.follow(tx.append(kind, body.model_dump(mode="json"), subject=subject, actor=actor))


def _active(house: House, known: People) -> list[SignedIn]:
    return [signed_in(house, user) for user in known.users.values() if user.disabled_at is None]


def signed_in(house: House, user: User) -> SignedIn:
    """A user with the name that is kept for them here."""
    name = _name(house, user)
    signs_here = (house.keys / f"{name}.key").exists()
    return SignedIn(user.user_id, name, user.roles, user.key_id, signs_here)


def _name(house: House, user: User) -> str:
    return house.rows.get(user.name)[0] or "(erased)"


def _shown(house: House, user: User) -> dict[str, Any]:
    return {
        "user_id": user.user_id,
        "name": _name(house, user),
        "roles": list(user.roles),
        "key_id": user.key_id,
        "state": "disabled" if user.disabled_at else "active",
        "added_at": user.added_at,
        "disabled_at": user.disabled_at,
        "has_password": user.disabled_at is None and passwords(house).has(user.user_id),
    }
