"""Which version answers: a pure function of the route, the caller and nothing else.

`bucket = SHA-256(alias, canary, unit) mod 10,000`, and the canary answers when `bucket < canary_bp`. So the same unit
(user, session or key) gets the same arm each time, raising the weight only adds units, lowering it only takes some
away, and another canary on the same route meets other units first.

A route that was killed or has no champion is an error, never an answer by something else.
"""

import hashlib
from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal

from serving.errors import model_not_found, switched_off
from serving.view import Key, View
from tunegate_core.snapshot import ALL, Route

Arm = Literal["champion", "canary", "direct", "shadow"]


@dataclass(frozen=True)
class Decision:
    """`alias` is the route, `subject` the version (NAME@N), `name` what the engine calls it, `epoch` the snapshot's."""

    alias: str
    subject: str
    arm: Arm
    name: str
    epoch: int


def bucket(alias: str, experiment: str, unit: str) -> int:
    """A number below 10,000, the same for the same unit of the same experiment."""
    told = "\0".join((alias, experiment, unit)).encode("utf-8", "surrogatepass")
    return int.from_bytes(hashlib.sha256(told).digest()[:8]) % ALL


def decide(view: View, key: Key, model: str, unit: str, held: Collection[tuple[str, str]] = frozenset()) -> Decision:
    """Who answers `model` for this caller. Raises Refusal: 404 for what is not there or not allowed, 503 when killed.

    `model` is a route's alias, or NAME@N for keys with the scope `admin` or `read`. `held`: alias and canary of those
    that were found worse and get nobody, although the ledger has not taken it yet.
    """
    if "@" in model:
        return _direct(view, key, model)
    route = view.routes.get(model)
    if route is None or not key.may_call(model):
        raise model_not_found()
    _refuse_killed(route)
    if route.champion is None:
        raise switched_off("No version answers on this route.")
    canary = None if (model, route.canary) in held else route.canary
    if canary is not None and bucket(model, canary, unit) < route.canary_bp:
        return Decision(model, canary, "canary", view.names[canary], view.epoch)
    return Decision(model, route.champion, "champion", view.names[route.champion], view.epoch)


def shadow(view: View, alias: str, request_id: str) -> Decision | None:
    """The version that sees this request beside the one that answers; None for most requests."""
    route = view.routes.get(alias)
    if route is None or route.shadow is None or route.killed:
        return None
    if bucket(alias, route.shadow, request_id) >= route.shadow_bp:
        return None
    return Decision(alias, route.shadow, "shadow", view.names[route.shadow], view.epoch)


def _direct(view: View, key: Key, subject: str) -> Decision:
    alias = subject.partition("@")[0]
    if subject not in view.grants or not key.may_call(alias) or key.scopes.isdisjoint(("admin", "read")):
        raise model_not_found()
    route = view.routes.get(alias)
    if route is not None:
        _refuse_killed(route)
    return Decision(alias, subject, "direct", view.names[subject], view.epoch)


def _refuse_killed(route: Route) -> None:
    if route.killed:
        raise switched_off("This route is switched off.")
