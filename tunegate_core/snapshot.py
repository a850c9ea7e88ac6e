"""What serving may do now: routes, grants and API keys, signed by the ledger's key and verified by each replica itself.

A snapshot is a projection of the ledger at one epoch (the number of events it was made from). A replica never takes an
older one than it has, so that a route can't be turned back by replaying a file; nor one that another key signed.
"""

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from tunegate_core.canonical import Digest
from tunegate_core.config.schema import NAME, VERSION
from tunegate_core.errors import IntegrityError
from tunegate_core.proof.dsse import verify_envelope
from tunegate_core.records import Record

SNAPSHOT_TYPE = "application/vnd.tunegate.serving-snapshot+json"
ALL = 10_000  # basis points

Scope = Literal["infer", "feedback", "read", "train", "approve", "admin"]
Alias = Annotated[str, StringConstraints(pattern=NAME)]
Subject = Annotated[str, StringConstraints(pattern=VERSION)]


class Grant(Record):
    """A released version that may be loaded: its adapter's store tree, and the base and template it belongs to."""

    subject: Subject
    adapter: Digest
    base: Digest
    template: Digest
    statement: Digest
    rank: int = Field(gt=0)


class Route(Record):
    """A name that callers use. The canary gets `canary_bp` of 10,000 units (users, sessions or keys), sticky by hash.

    `shadow` sees a sample of `shadow_bp` of 10,000 requests, and nobody sees its answers.
    """

    alias: Alias
    champion: Subject | None
    canary: Subject | None = None
    canary_bp: int = Field(default=0, ge=0, le=ALL)
    shadow: Subject | None = None
    shadow_bp: int = Field(default=0, ge=0, le=ALL)
    killed: bool = False


class Limits(Record):
    """What a key may use; None is no limit. Money is counted in millionths of the rate card's currency."""

    requests_per_minute: int | None = Field(default=None, ge=0)
    tokens_per_minute: int | None = Field(default=None, ge=0)
    budget_tokens: int | None = Field(default=None, ge=0)
    budget_micros: int | None = Field(default=None, ge=0)


class KeyGrant(Record):
    """An API key `tg_<key_id>_<secret>`: `secret_sha256` is the hex SHA-256 of the secret's ASCII bytes.

    The secret has 256 random bits, so a fast hash is as good as a slow one. `models`: the aliases it may call, None for
    all. `expires`: RFC 3339, UTC. `before`: ids of the keys it came from by rotation, the oldest first; all of them
    count against the same limits.
    """

    key_id: str = Field(pattern=r"^[0-9a-f]{16}$")
    secret_sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    scopes: tuple[Scope, ...] = Field(min_length=1)
    models: tuple[Alias, ...] | None = None
    expires: str | None = None
    limits: Limits = Limits()
    before: tuple[str, ...] = ()


class Staleness(Record):
    """What to do when no newer snapshot could be read for `max_stale_s` seconds: serve on, or answer 503."""

    max_stale_s: int = Field(default=3600, gt=0)
    then: Literal["serve", "refuse"] = "serve"


class Snapshot(Record):
    """Everything a gateway or replica decides by. `epoch`: events in the ledger it was made from."""

    epoch: int = Field(ge=0)
    routes: tuple[Route, ...] = ()
    grants: tuple[Grant, ...] = ()
    keys: tuple[KeyGrant, ...] = ()
    staleness: Staleness = Staleness()

    def route_by_alias(self) -> Mapping[str, Route]:
        """Routes by the name that callers use."""
        return {route.alias: route for route in self.routes}

    def grant_by_subject(self) -> Mapping[str, Grant]:
        """Grants by NAME@N."""
        return {grant.subject: grant for grant in self.grants}


def verify_snapshot(data: bytes, public_raw: bytes, newest_epoch: int = 0) -> Snapshot:
    """The snapshot in a DSSE envelope. Raises IntegrityError unless this key signed it and it is not an older one.

    Every version that a route names must have its grant: a route to something that was not released is no snapshot.
    """
    snapshot = Snapshot.parse(verify_envelope(data, public_raw, SNAPSHOT_TYPE))
    if snapshot.epoch < newest_epoch:
        raise IntegrityError(f"the snapshot is of epoch {snapshot.epoch}; expected {newest_epoch} or newer")
    granted = snapshot.grant_by_subject()
    named = {part for route in snapshot.routes for part in (route.champion, route.canary, route.shadow) if part}
    missing = sorted(named - granted.keys())
    if missing:
        raise IntegrityError(f"the snapshot routes to {', '.join(missing)} without a grant")
    return snapshot


def base_name(base: Digest) -> str:
    """What the engine calls a base: the first 12 hex digits of its tree's digest."""
    return base.removeprefix("sha256:")[:12]


def engine_name(grant: Grant) -> str:
    """What the engine calls a version's adapter: `<base12>:<adapter12>`. One name never means two versions."""
    return f"{base_name(grant.base)}:{base_name(grant.adapter)}"
