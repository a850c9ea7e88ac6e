"""People and their signing keys as the ledger tells: who has which roles, and which keys count at which time.

1. A user is added with roles, may get others, and is disabled; a disabled user never comes back under the same id.
2. A signing key counts from the event that records it until one that ends it (`key-rotated`, `key-revoked`). What it
   signed before stands; what is signed with it later is refused. An ended key never comes back.
3. A decision counts only if its key counted, and its user had a role that the plan asks for, when it was recorded.

Names and reasons are personal text: events hold commitments to them. Passwords are no part of this
(governance.passwords). The key that starts runs may be older than its first event; a key that no event speaks of counts
while it was not ended.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Self

from pydantic import Field, ValidationError

from governance.happened import Happened
from governance.roles import Role, may_any
from tunegate_core.errors import BadInput, IntegrityError, NotFound
from tunegate_core.proof.keys import key_id as name_of
from tunegate_core.proof.keys import parse_public_key
from tunegate_core.proof.rotation import Rotation, verify_rotation
from tunegate_core.records import Record

USER_ADDED, USER_ROLES_SET, USER_DISABLED = USER_EVENTS = ("user-added", "user-roles-set", "user-disabled")
KEY_CREATED, KEY_ROTATED, KEY_REVOKED = SIGNING_KEY_EVENTS = ("key-created", "key-rotated", "key-revoked")
DENIED = "access-denied"
PEOPLE_EVENTS = (*USER_EVENTS, *SIGNING_KEY_EVENTS)


class UserAdded(Record):
    """`name`: a commitment to erasable text. `key_id`: the signing key that this user decides with, if any."""

    name: str
    roles: tuple[Role, ...] = Field(min_length=1)
    key_id: str | None = None


class UserRoles(Record):
    """The roles from now on."""

    roles: tuple[Role, ...] = Field(min_length=1)


class UserDisabled(Record):
    """`reason`: a commitment to erasable text."""

    reason: str | None = None


class KeyCreated(Record):
    """A signing key by its public half (PEM)."""

    key_id: str
    public: str


class KeyRotated(KeyCreated):
    """A new key in place of one that ends now, as both of them say."""

    replaces: str
    rotation: Rotation


class KeyRevoked(Record):
    """A key that counts no more. `reason`: a commitment to erasable text."""

    key_id: str
    reason: str | None = None


class Denial(Record):
    """The body of a denied action: what was tried on what, by whom (a user's id or a key's), and which rule said no."""

    action: str
    about: str | None = None
    by: str | None = None
    rule: str


@dataclass(frozen=True)
class User:
    """A user as events tell. `name` is the commitment; times are RFC 3339 in UTC."""

    user_id: str
    name: str
    roles: tuple[Role, ...]
    key_id: str | None
    added_at: str
    disabled_at: str | None = None

    def may(self, action: str) -> bool:
        """Whether this user may do it now."""
        return self.disabled_at is None and may_any(self.roles, action)


@dataclass(frozen=True)
class PersonKey:
    """A signing key and the time in which it counts; `ended_at` is None while it does."""

    key_id: str
    public: str
    created_at: str
    ended_at: str | None = None
    ended_by: str | None = None


@dataclass
class People:
    """Every user and signing key there ever was, by id, in the order of their events."""

    users: dict[str, User] = field(default_factory=dict)
    keys: dict[str, PersonKey] = field(default_factory=dict)
    first: dict[str, str] = field(default_factory=dict)  # a key that took over -> the first of its line

    @classmethod
    def from_events(cls, events: Iterable[Happened]) -> Self:
        """Walk the events once. Raises IntegrityError for what could not have happened then."""
        people = cls()
        for event in events:
            people.take(event)
        return people

    def take(self, event: Happened) -> None:
        """Go on with one event that was recorded; others than people's are passed over. Raises IntegrityError."""
        try:
            self.follow(event)
        except (BadInput, ValidationError) as error:
            raise IntegrityError(f"'{event.kind}' of {event.subject} could not have happened then: {error}") from error

    def follow(self, event: Happened) -> None:
        """Go on with one event, if it may happen now. Raises BadInput."""
        step = STEPS.get(event.kind)
        if step is not None:
            step(self, event)

    @property
    def enforced(self) -> bool:
        """Whether roles are asked for at all: from the first user on, for ever."""
        return bool(self.users)

    def user(self, user_id: str) -> User:
        """A user who was not disabled. Raises NotFound or BadInput."""
        found = self.users.get(user_id)
        if found is None:
            raise NotFound(f"there is no user {user_id}; 'tunegate users list' shows them")
        if found.disabled_at is not None:
            raise BadInput(f"the user {user_id} was disabled at {found.disabled_at}; add a new one")
        return found

    def of_key(self, key_id: str) -> User | None:
        """The user who decides with this key and was not disabled."""
        found = (user for user in self.users.values() if user.key_id == key_id and user.disabled_at is None)
        return next(found, None)

    def ended(self, key_id: str) -> str | None:
        """Since when a key counts no more (RFC 3339); None while it does."""
        return self.keys[key_id].ended_at if key_id in self.keys else None

    def origin(self, key_id: str) -> str:
        """The first key of a line of rotated ones: two keys of one origin are one person's."""
        return self.first.get(key_id, key_id)

    def objection(self, key_id: str, action: str, roles: tuple[Role, ...] = ()) -> str | None:
        """Why a key's decision does not count now; None when it does. `roles`: of which its user must have one."""
        if (ended := self.ended(key_id)) is not None:
            return f"the key {key_id} counts no more since {ended}"
        if not (self.enforced or roles):
            return None
        user = self.of_key(key_id)
        if user is None:
            return f"the key {key_id} is no user's; 'tunegate users add NAME --role ROLE' makes one of its owner"
        if not user.may(action):
            return f"the user {user.user_id} is {', '.join(user.roles)}, which may not {action}"
        if roles and not set(roles) & set(user.roles):
            return f"the user {user.user_id} is {', '.join(user.roles)}; the policy asks for {' or '.join(roles)}"
        return None

    def _add_user(self, event: Happened) -> None:
        said, user_id = UserAdded.model_validate(event.body), str(event.subject)
        if user_id in self.users:
            raise BadInput(f"there is a user {user_id} already")
        if not self.users and "admin" not in said.roles:
            raise BadInput("the first user must be an admin, or nobody could add the others")
        if said.key_id is not None:
            if (owner := self.of_key(said.key_id)) is not None:
                raise BadInput(f"the key {said.key_id} is that of the user {owner.user_id} already")
            if self.ended(said.key_id) is not None:
                raise BadInput(f"the key {said.key_id} counts no more")
        self.users[user_id] = User(user_id, said.name, said.roles, said.key_id, event.at)

    def _set_roles(self, event: Happened) -> None:
        said, user = UserRoles.model_validate(event.body), self.user(str(event.subject))
        self._keep_an_admin(user, said.roles)
        self.users[user.user_id] = replace(user, roles=said.roles)

    def _disable(self, event: Happened) -> None:
        UserDisabled.model_validate(event.body)
        user = self.user(str(event.subject))
        self._keep_an_admin(user, ())
        self.users[user.user_id] = replace(user, disabled_at=event.at)

    def _keep_an_admin(self, user: User, roles: tuple[Role, ...]) -> None:
        others = (other for other in self.users.values() if other.user_id != user.user_id and other.disabled_at is None)
        if "admin" not in roles and not any("admin" in other.roles for other in others):
            raise BadInput(f"the user {user.user_id} is the last admin; add another one first")

    def _create_key(self, event: Happened) -> None:
        self._record_key(KeyCreated.model_validate(event.body), event.at)

    def _rotate_key(self, event: Happened) -> None:
        said = KeyRotated.model_validate(event.body)
        if (ended := self.ended(said.replaces)) is not None:
            raise BadInput(f"the key {said.replaces} counts no more since {ended}; make a new one")
        pair = tuple(map(name_of, verify_rotation(said.rotation)))
        if pair != (said.replaces, said.key_id) or said.rotation.new != said.public:
            raise BadInput(f"a rotation from {pair[0]} to {pair[1]} is recorded as one from {said.replaces}")
        self._record_key(said, event.at)
        self._end(said.replaces, event.at, event.kind)
        self.first[said.key_id] = self.origin(said.replaces)
        owner = self.of_key(said.replaces)
        if owner is not None:
            self.users[owner.user_id] = replace(owner, key_id=said.key_id)

    def _revoke_key(self, event: Happened) -> None:
        said = KeyRevoked.model_validate(event.body)
        if self.ended(said.key_id) is None:
            self._end(said.key_id, event.at, event.kind)

    def _record_key(self, said: KeyCreated, at: str) -> None:
        if said.key_id != name_of(parse_public_key(said.public.encode())):
            raise BadInput(f"an event records the key {said.key_id} but holds another")
        if said.key_id in self.keys:
            raise BadInput(f"the key {said.key_id} is recorded already")
        self.keys[said.key_id] = PersonKey(said.key_id, said.public, at)

    def _end(self, key_id: str, at: str, by: str) -> None:
        found = self.keys.get(key_id) or PersonKey(key_id, "", at)
        self.keys[key_id] = replace(found, ended_at=at, ended_by=by)


STEPS = {
    USER_ADDED: People._add_user,
    USER_ROLES_SET: People._set_roles,
    USER_DISABLED: People._disable,
    KEY_CREATED: People._create_key,
    KEY_ROTATED: People._rotate_key,
    KEY_REVOKED: People._revoke_key,
}
