"""Who may do what: one vocabulary of scopes, and the API keys that carry them.

1. A key's secret is shown once and kept by nobody here; the ledger holds its SHA-256.
2. A key is valid from its creation until it expires or is revoked. A revoked key never comes back.
3. Rotating makes a new key with the same rights, and the old one's end: `OVERLAP` later, never after its own expiry.
   Both count against the same limits and budgets (`KeyGrant.before`).

Key events are about the key's id. The name somebody gave a key is personal text: the event holds a commitment to it.
"""

import hashlib
import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Self, get_args

from pydantic import ValidationError

from governance.happened import Happened
from governance.ledger.event import format_time
from tunegate_core.errors import BadInput, IntegrityError, NotFound
from tunegate_core.records import Record
from tunegate_core.snapshot import KeyGrant, Limits, Scope

KEY_CREATED, KEY_REVOKED = KEY_EVENTS = ("api-key-created", "api-key-revoked")
OVERLAP = timedelta(hours=24)
SECRET_BYTES, ID_BYTES = 32, 8

SCOPES: Mapping[Scope, str] = {
    "infer": "call a route",
    "feedback": "rate an answer",
    "read": "read reports and figures, and call a version by NAME@N",
    "train": "start a training",
    "approve": "sign a verdict",
    "admin": "change routes and keys, and call a version by NAME@N",
}


class Created(Record):
    """The body of a creation. `name`: a commitment to erasable text. `replaces` ends at `replaced_at` (RFC 3339)."""

    grant: KeyGrant
    name: str
    replaces: str | None = None
    replaced_at: str | None = None


class Revoked(Record):
    """The body of a revocation. `reason`: a commitment to erasable text."""

    reason: str | None = None


@dataclass(frozen=True)
class ApiKey:
    """A key as its events tell. `name` is the commitment to it; times are RFC 3339 in UTC.

    `until`: its end as it was made, also where it ends sooner because another took its place; None for never.
    """

    grant: KeyGrant
    name: str
    created_at: str
    until: str | None = None
    revoked_at: str | None = None
    replaced_by: str | None = None

    def is_valid(self, at: str) -> bool:
        """Whether it may be used at that time."""
        return self.revoked_at is None and not self.is_expired(at)

    def is_expired(self, at: str) -> bool:
        """Whether its time is over."""
        return self.grant.expires is not None and _moment(at) >= _moment(self.grant.expires)


@dataclass
class Access:
    """Every API key there ever was, by id, in the order of creation."""

    keys: dict[str, ApiKey] = field(default_factory=dict)

    @classmethod
    def from_events(cls, events: Iterable[Happened]) -> Self:
        """Walk the events once. Raises IntegrityError for what is no key event or could not have happened then."""
        access = cls()
        for event in events:
            try:
                access.follow(event)
            except (BadInput, ValidationError) as error:
                raise IntegrityError(f"'{event.kind}' of {event.subject} is no event of an API key: {error}") from error
        return access

    def follow(self, event: Happened) -> None:
        """Go on with one event; others than keys' are passed over. Raises BadInput when it may not happen now."""
        if event.kind == KEY_CREATED:
            self._create(Created.model_validate(event.body), event)
        elif event.kind == KEY_REVOKED:
            Revoked.model_validate(event.body)
            key = self.usable(str(event.subject))
            self.keys[key.grant.key_id] = replace(key, revoked_at=event.at)

    def usable(self, key_id: str) -> ApiKey:
        """The key, if it was not revoked. Raises NotFound or BadInput."""
        key = self.keys.get(key_id)
        if key is None:
            raise NotFound(f"there is no API key {key_id}; 'tunegate keys list' shows them")
        if key.revoked_at is not None:
            raise BadInput(f"the API key {key_id} was revoked at {key.revoked_at}; make a new one")
        return key

    def grants(self, at: str) -> tuple[KeyGrant, ...]:
        """Keys that are valid at that time, or still will be."""
        return tuple(key.grant for key in self.keys.values() if key.is_valid(at))

    def _create(self, said: Created, event: Happened) -> None:
        grant = said.grant
        if event.subject != grant.key_id or grant.key_id in self.keys:
            raise BadInput(f"an event about {event.subject} makes {grant.key_id}; expected a new key's own id")
        if said.replaces is not None:
            old = self.usable(said.replaces)
            ends = _earlier(old.grant.expires, said.replaced_at or event.at)
            ended = old.grant.model_copy(update={"expires": ends})
            self.keys[said.replaces] = replace(old, grant=ended, replaced_by=grant.key_id)
            grant = grant.model_copy(update={"before": (*old.grant.before, said.replaces)})
        self.keys[grant.key_id] = ApiKey(grant, said.name, event.at, grant.expires)


def new_grant(
    scopes: Sequence[str], models: Sequence[str] | None, expires: str | None, limits: Limits
) -> tuple[KeyGrant, str]:
    """A new key's grant and the key itself, `tg_<key_id>_<secret>`, which is kept nowhere. Raises BadInput."""
    unknown = sorted(set(scopes) - set(get_args(Scope)))
    if unknown or not scopes:
        raise BadInput(f"{', '.join(unknown) or 'none'} is no scope of an API key; expected of {', '.join(SCOPES)}")
    key_id, secret = secrets.token_hex(ID_BYTES), secrets.token_urlsafe(SECRET_BYTES)
    try:
        grant = KeyGrant(
            key_id=key_id,
            secret_sha256=hashlib.sha256(secret.encode("ascii")).hexdigest(),
            scopes=tuple(scope for scope in SCOPES if scope in scopes),
            models=tuple(sorted(set(models))) if models else None,
            expires=expires,
            limits=limits,
        )
    except ValidationError as error:
        found = "; ".join(f"{'.'.join(map(str, line['loc']))}: {line['msg']}" for line in error.errors())
        raise BadInput(f"an API key can't be made like this: {found}") from error
    return grant, f"tg_{key_id}_{secret}"


def renewed(key: ApiKey, now: datetime) -> tuple[KeyGrant, str]:
    """Another key with the same rights, and the same time to live from now on: that which the key was made with, also
    where it was rotated before."""
    grant, expires = key.grant, key.until
    if expires is not None:
        expires = format_time(now + (_moment(expires) - _moment(key.created_at)))
    return new_grant(grant.scopes, grant.models, expires, grant.limits)


def _earlier(one: str | None, other: str) -> str:
    return other if one is None or _moment(other) < _moment(one) else one


def _moment(text: str) -> datetime:
    try:
        found = datetime.fromisoformat(text)
    except ValueError as error:
        raise IntegrityError(f"{text!r} is no time; expected RFC 3339") from error
    if found.tzinfo is None:
        raise IntegrityError(f"{text!r} is a time without a zone; expected UTC")
    return found
