"""A verified snapshot, put in order for looking things up: made once when it arrives, read by every request."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from tunegate_core.snapshot import Grant, KeyGrant, Limits, Route, Scope, Snapshot, Staleness, engine_name


@dataclass(frozen=True)
class Key:
    """An API key as it is checked. `expires`: seconds since 1970, None for never; `models`: None for all.

    `family`: the ids of all keys that are one by rotation, the oldest first, itself among them.
    """

    key_id: str
    secret_sha256: str
    scopes: frozenset[Scope]
    models: frozenset[str] | None
    expires: float | None
    limits: Limits
    family: tuple[str, ...]

    @property
    def owner(self) -> str:
        """Whose files, batches and account these are: the oldest key's, so that they outlive a rotation."""
        return self.family[0]

    def is_valid(self, now: float) -> bool:
        """Whether it has not expired."""
        return self.expires is None or now < self.expires

    def may_call(self, alias: str) -> bool:
        """Whether the key's list of models allows this route."""
        return self.models is None or alias in self.models


@dataclass(frozen=True)
class View:
    """What requests are decided by. `names` gives the engine's name of each granted version."""

    epoch: int
    routes: Mapping[str, Route]
    grants: Mapping[str, Grant]
    names: Mapping[str, str]
    keys: Mapping[str, Key]
    routed: frozenset[str]  # versions that some route names: those an engine has loaded
    staleness: Staleness

    @classmethod
    def of(cls, snapshot: Snapshot) -> "View":
        """The view of a snapshot that was verified before."""
        routes = snapshot.route_by_alias()
        grants = snapshot.grant_by_subject()
        named = {part for route in snapshot.routes for part in (route.champion, route.canary, route.shadow) if part}
        return cls(
            epoch=snapshot.epoch,
            routes=routes,
            grants=grants,
            names={subject: engine_name(grant) for subject, grant in grants.items()},
            keys=_keys(snapshot.keys),
            routed=frozenset(named),
            staleness=snapshot.staleness,
        )

    def wanted(self) -> frozenset[str]:
        """The engine's names of all versions that some route names."""
        return frozenset(self.names[subject] for subject in self.routed)

    def holder(self, owner: str, now: float) -> Key | None:
        """A key by which the owner may ask now; None when there is none any more."""
        return next(
            (key for key in self.keys.values() if key.owner == owner and key.is_valid(now) and "infer" in key.scopes),
            None,
        )

    def still_answers(self, alias: str, subject: str, key_id: str) -> bool:
        """Whether an answer that was begun may go on: not killed, not revoked, the key still valid."""
        route = self.routes.get(alias)
        return subject in self.grants and key_id in self.keys and not (route is not None and route.killed)


def _keys(grants: Sequence[KeyGrant]) -> dict[str, Key]:
    families: dict[str, dict[str, None]] = {}
    for grant in grants:
        ids = (*grant.before, grant.key_id)
        families.setdefault(ids[0], {}).update(dict.fromkeys(ids))
    return {grant.key_id: _key(grant, tuple(families[(*grant.before, grant.key_id)[0]])) for grant in grants}


def _key(key: KeyGrant, family: tuple[str, ...]) -> Key:
    return Key(
        key_id=key.key_id,
        secret_sha256=key.secret_sha256,
        scopes=frozenset(key.scopes),
        models=None if key.models is None else frozenset(key.models),
        expires=None if key.expires is None else datetime.fromisoformat(key.expires).timestamp(),
        limits=key.limits,
        family=family,
    )
