"""What a route points to: one pure function per event, used before it is recorded and again when it is replayed.

1. A version has a place on a route only while it is released, and only on the route it was released for.
2. The first release of a route is its champion; from then on only `promote` and `rollback` move it.
3. `rollback` ends the canary; where there is none, the champion before answers again.
4. A version that is revoked leaves every place at once, those in the history too. Nothing takes a champion's place by
   itself: the route is empty until a rollback, a promotion or its next release.
5. A canary is measured against its champion, and ends when another takes the champion's place.
6. `kill` stops every answer of the route, whatever it points to, until `unkill`.
7. A paused canary keeps its share and gets no more by itself: a person promotes it, to the same share too, or ends it.

A route event's subject is the route's alias; its body names what follows from it, so that it can be read by itself.
"""

from collections.abc import Callable, Mapping
from typing import Any, Literal

from pydantic import Field, ValidationError

from tunegate_core.errors import BadInput, IntegrityError
from tunegate_core.records import Record
from tunegate_core.snapshot import ALL, Route, Subject

PROMOTED, ROLLED_BACK = "route-promoted", "route-rolled-back"
KILLED, UNKILLED = "route-killed", "route-unkilled"
PAUSED = "route-canary-paused"

Place = Literal["champion", "canary", "shadow"]
MayAnswer = Callable[[str, str], bool]  # version, alias -> whether it is released for that route and not withdrawn


class Why(Record):
    """Why a route was changed. `reason`: a commitment to a person's erasable text.

    `found`: what the canary analysis found, with its metric; `analysis`: the store's digest of its figures.
    """

    reason: str | None = None
    found: str | None = None
    analysis: str | None = None


class Promoted(Why):
    """A version gets a place. `share_bp` of 10,000: all for a champion; a shadow's 0 ends it."""

    version: Subject
    place: Place
    share_bp: int = Field(ge=0, le=ALL)


class RolledBack(Why):
    """`ended` answers no more (None: nothing answered), `champion` does."""

    ended: Subject | None
    champion: Subject


class Paused(Why):
    """Too little was seen of the canary in the time it had: a person decides."""

    canary: Subject


class RouteState(Record):
    """A route as its events tell. `before`: earlier champions that may still answer, the latest last."""

    route: Route
    before: tuple[Subject, ...] = ()
    paused: bool = False

    def place_of(self, version: str) -> Place | None:
        """Where a version stands on this route."""
        route = self.route
        places: tuple[tuple[Place, str | None], ...] = (
            ("champion", route.champion), ("canary", route.canary), ("shadow", route.shadow)
        )  # fmt: skip
        return next((place for place, found in places if found == version), None)

    def step_back(self) -> RolledBack:
        """What a rollback would do now. Raises BadInput when there is nothing to go back to."""
        route = self.route
        if route.canary is not None and route.champion is not None:
            return RolledBack(ended=route.canary, champion=route.champion)
        earlier = [version for version in self.before if version != route.champion]
        if not earlier:
            raise BadInput(
                f"the route {route.alias} has no champion before {route.champion or 'the one that was withdrawn'}; "
                f"promote another version, or stop it with 'tunegate kill {route.alias}'"
            )
        return RolledBack(ended=route.champion, champion=earlier[-1])

    def without(self, version: str) -> "RouteState":
        """The route after a version was withdrawn; the same one when it had no place here."""
        before = tuple(found for found in self.before if found != version)
        place = self.place_of(version)
        if place == "champion":
            return RouteState(route=_moved(self.route, champion=None, canary=None, canary_bp=0), before=before)
        ended = {} if place is None else {place: None, f"{place}_bp": 0}
        paused = self.paused and place != "canary"
        return RouteState(route=_moved(self.route, **ended), before=before, paused=paused)

    def led_by(self, version: str, before: tuple[str, ...]) -> "RouteState":
        """The route with another champion; a canary ends, and so does the champion's own shadow."""
        ended: dict[str, Any] = {"canary": None, "canary_bp": 0}
        if self.route.shadow == version:
            ended |= {"shadow": None, "shadow_bp": 0}
        return RouteState(route=_moved(self.route, champion=version, **ended), before=before)


def created(alias: str, version: str) -> RouteState:
    """A route whose first version was released."""
    return RouteState(route=Route(alias=alias, champion=version))


def follow(state: RouteState, kind: str, body: Mapping[str, Any], may_answer: MayAnswer) -> RouteState:
    """The route after an event. Raises BadInput when it may not happen now, IntegrityError for no such body."""
    try:
        return FOLLOWING[kind](state, body, may_answer)
    except ValidationError as error:
        raise IntegrityError(f"route {state.route.alias}: '{kind}' does not hold what it must: {error}") from error


def promote(state: RouteState, body: Mapping[str, Any], may_answer: MayAnswer) -> RouteState:
    """A version takes a place, or gets another share where it stands. Saying what is so already changes nothing."""
    said, route = Promoted.model_validate(body), state.route
    now = state.place_of(said.version)
    if not may_answer(said.version, route.alias):
        raise BadInput(
            f"{said.version} is not released for the route {route.alias}, or was withdrawn; only a release can be "
            "promoted; 'tunegate list' shows them"
        )
    if said.place == "champion":
        before = state.before + ((route.champion,) if route.champion is not None else ())
        return state if now == "champion" else state.led_by(said.version, before)
    if route.champion is None:
        raise BadInput(f"the route {route.alias} has no champion that {said.version} could stand beside; promote one")
    return _beside(state, said, now)


def roll_back(state: RouteState, body: Mapping[str, Any], may_answer: MayAnswer) -> RouteState:
    """The canary ends, or the champion before answers again: what the event says must be what follows."""
    said, expected = RolledBack.model_validate(body), state.step_back()
    if (said.ended, said.champion) != (expected.ended, expected.champion):
        raise BadInput(
            f"a rollback of {state.route.alias} ends {expected.ended} and returns to {expected.champion} now; found "
            f"{said.ended} and {said.champion}; look at 'tunegate routes' and try again"
        )
    if said.champion == state.route.champion:
        return RouteState(route=_moved(state.route, canary=None, canary_bp=0), before=state.before)
    last = max(at for at, version in enumerate(state.before) if version == said.champion)
    return state.led_by(said.champion, state.before[:last])


def kill(state: RouteState, body: Mapping[str, Any], may_answer: MayAnswer) -> RouteState:
    """Nothing answers on this route."""
    Why.model_validate(body)
    return state.model_copy(update={"route": _moved(state.route, killed=True)})


def unkill(state: RouteState, body: Mapping[str, Any], may_answer: MayAnswer) -> RouteState:
    """The route answers again, with what it points to now."""
    Why.model_validate(body)
    return state.model_copy(update={"route": _moved(state.route, killed=False)})


def pause(state: RouteState, body: Mapping[str, Any], may_answer: MayAnswer) -> RouteState:
    """The canary stays as it is, until a person decides."""
    said = Paused.model_validate(body)
    if said.canary != state.route.canary:
        raise BadInput(f"{said.canary} is not the canary of {state.route.alias}; {state.route.canary or 'nothing'} is")
    return state.model_copy(update={"paused": True})


FOLLOWING: dict[str, Callable[[RouteState, Mapping[str, Any], MayAnswer], RouteState]] = {
    PROMOTED: promote,
    ROLLED_BACK: roll_back,
    KILLED: kill,
    UNKILLED: unkill,
    PAUSED: pause,
}


def _beside(state: RouteState, said: Promoted, now: Place | None) -> RouteState:
    """A canary or a shadow beside the champion."""
    route, place = state.route, said.place
    taken = route.canary if place == "canary" else route.shadow
    if now not in (None, place) and (now, place) != ("shadow", "canary"):
        raise BadInput(f"{said.version} is the {now} of {route.alias} already, and can't be its {place} as well")
    if taken not in (None, said.version):
        raise BadInput(f"{taken} is the {place} of {route.alias}; promote it, or end it before another takes its place")
    if place == "canary":
        if said.share_bp == 0:
            raise BadInput(f"a canary of 0 % sees nothing; 'tunegate rollback {route.alias}' ends it")
        left = {"shadow": None, "shadow_bp": 0} if now == "shadow" else {}
        moved = _moved(route, canary=said.version, canary_bp=said.share_bp, **left)
        return RouteState(route=moved, before=state.before)
    shadow = said.version if said.share_bp else None
    return state.model_copy(update={"route": _moved(route, shadow=shadow, shadow_bp=said.share_bp)})


def _moved(route: Route, **places: Any) -> Route:
    return Route(**{**dict(route), **places})
