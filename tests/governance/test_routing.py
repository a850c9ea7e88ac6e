"""The history of routes: whatever is tried in whatever order, only what is released and not withdrawn has a place."""

from dataclasses import dataclass, replace
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from governance.registry import Registry
from governance.routing import KILLED, PAUSED, PROMOTED, ROLLED_BACK, UNKILLED, Promoted, RouteState, Why, follow
from governance.snapshot import make_snapshot, sign_snapshot
from tunegate_core.errors import BadInput, IntegrityError, NotFound
from tunegate_core.snapshot import ALL, verify_snapshot

KEY = Ed25519PrivateKey.generate()
PUBLIC = KEY.public_key().public_bytes_raw()
DIGEST = "sha256:" + "1" * 64
NAMES = {"a": "bot", "b": "bot", "c": "desk"}  # a name and the route of its versions
VERSIONS = [f"{name}@{number}" for name in NAMES for number in ((1, 2, 3) if name == "a" else (1, 2))]
PLACES = st.sampled_from(["champion", "canary", "shadow"])
SHARES = st.integers(0, ALL)


@dataclass(frozen=True)
class Happened:
    """An event without a ledger."""

    kind: str
    subject: str | None
    body: dict[str, Any]
    at: str = "2026-01-01T00:00:00.000000Z"
    seq: int = 0


def planned(version: str) -> Happened:
    name, number = version.split("@")
    items = {"t": {"digest": DIGEST}}
    body = {"name": name, "version": int(number), "route": NAMES[name], "items": items, "attempt": 1}
    return Happened("planned", version, body)


def sealed(version: str) -> Happened:
    adapter = {
        "tree": "sha256:" + version.encode().hex().ljust(64, "0"), "base": DIGEST, "template": DIGEST, "config": DIGEST,
        "rank": 4, "target_modules": ["q_proj"], "parameters": 1,
    }  # fmt: skip
    return Happened("sealed", version, {"adapter": adapter})


def released(version: str) -> Happened:
    return Happened("released", version, {"statement": DIGEST, "route": NAMES[version[0]]})


def told(*kinds: tuple[str, str]) -> list[Happened]:
    """`("released", "a@1")` and the like, each version planned and sealed before."""
    versions = dict.fromkeys(version for kind, version in kinds if kind == "released")
    before = [event for version in versions for event in (planned(version), sealed(version))]
    return before + [
        released(version) if kind == "released" else Happened(kind, version, {}) for kind, version in kinds
    ]


def promoted(version: str, place: str = "champion", share_bp: int = ALL) -> Happened:
    body = Promoted(version=version, place=place, share_bp=share_bp)
    return Happened(PROMOTED, NAMES[version[0]], body.model_dump())


def paused(version: str) -> Happened:
    return Happened(PAUSED, NAMES[version[0]], {"canary": version})


def rolled_back(events: list[Happened], alias: str = "bot") -> Happened:
    return Happened(ROLLED_BACK, alias, state_of(events, alias).step_back().model_dump())


def numbered(events: list[Happened]) -> list[Happened]:
    return [replace(event, seq=seq) for seq, event in enumerate(events)]


def state_of(events: list[Happened], alias: str = "bot") -> RouteState:
    return Registry.from_events(events).state(alias)


def taken(events: list[Happened], event: Happened) -> RouteState:
    """The route after an event, as it is tried before it is recorded."""
    registry = Registry.from_events(events)
    return follow(registry.state(str(event.subject)), event.kind, event.body, registry.is_released)


TWO = told(("released", "a@1"), ("released", "a@2"))
THREE = told(("released", "a@1"), ("released", "a@2"), ("released", "b@1"))


class Routes(RuleBasedStateMachine):
    """Anything may be tried; what is accepted is recorded. A small model says who should answer."""

    def __init__(self) -> None:
        super().__init__()
        self.events: list[Happened] = []
        self.life: dict[str, str] = {}
        self.champion: dict[str, str | None] = {}
        self.stack: dict[str, list[str]] = {}
        self.epoch = -1

    def attempt(self, event: Happened) -> bool:
        """Record it if it may follow. What is refused would not replay either."""
        try:
            after = taken(self.events, event)
        except BadInput:
            with pytest.raises(IntegrityError, match=r"does not follow|there is no route"):
                Registry.from_events([*self.events, event])
            return False
        self.events.append(event)
        assert state_of(self.events, str(event.subject)) == after
        return True

    @initialize()
    def begin(self) -> None:
        for version in ("a@1", "a@2", "b@1"):
            self.release(version)

    @rule(version=st.sampled_from(VERSIONS))
    def release(self, version: str) -> None:
        if version in self.life:
            return
        alias = NAMES[version[0]]
        self.events += [planned(version), sealed(version), released(version)]
        self.life[version] = "released"
        self.champion[alias] = self.champion.get(alias) or version

    @rule(version=st.sampled_from(VERSIONS), kind=st.sampled_from(["revoked", "retired"]))
    def withdraw(self, version: str, kind: str) -> None:
        if self.life.get(version) != "released":
            return
        alias = NAMES[version[0]]
        self.events.append(Happened(kind, version, {}))
        self.life[version] = kind
        if self.champion[alias] == version:
            self.champion[alias] = None
        self.stack[alias] = [found for found in self.stack.get(alias, []) if found != version]
        assert state_of(self.events, alias).place_of(version) is None

    @rule(version=st.sampled_from(VERSIONS), place=PLACES, share_bp=SHARES)
    def promote(self, version: str, place: str, share_bp: int) -> None:
        alias = NAMES[version[0]]
        if alias not in self.champion:
            return
        done = self.attempt(promoted(version, place, share_bp))
        assert not done or self.life[version] == "released"
        if done and place == "champion" and self.champion[alias] != version:
            self.stack.setdefault(alias, []).extend(filter(None, [self.champion[alias]]))
            self.champion[alias] = version

    @rule(version=st.sampled_from(VERSIONS))
    def lead(self, version: str) -> None:
        self.promote(version, "champion", ALL)

    @rule(alias=st.sampled_from(["bot", "desk"]))
    def roll_back(self, alias: str) -> None:
        if alias not in self.champion:
            return
        state = state_of(self.events, alias)
        earlier = [version for version in self.stack.get(alias, []) if version != self.champion[alias]]
        if state.route.canary is None and not earlier:
            with pytest.raises(BadInput, match="has no champion before"):
                state.step_back()
            return
        assert self.attempt(rolled_back(self.events, alias))
        if state.route.canary is None:
            self.champion[alias] = earlier[-1]
            while self.stack[alias].pop() != earlier[-1]:
                pass
        assert state_of(self.events, alias).route.canary is None

    @rule(alias=st.sampled_from(["bot", "desk"]), kind=st.sampled_from([KILLED, UNKILLED]))
    def switch(self, alias: str, kind: str) -> None:
        if alias in self.champion:
            assert self.attempt(Happened(kind, alias, Why().model_dump()))
            assert state_of(self.events, alias).route.killed == (kind == KILLED)

    @rule(version=st.sampled_from(VERSIONS))
    def pause(self, version: str) -> None:
        alias = NAMES[version[0]]
        if alias in self.champion:
            is_canary = state_of(self.events, alias).route.canary == version
            assert self.attempt(paused(version)) == is_canary

    @invariant()
    def only_what_is_released_has_a_place(self) -> None:
        registry = Registry.from_events(self.events)
        assert registry.routes == self.champion
        for alias, state in registry.states.items():
            route = state.route
            places = [found for found in (route.champion, route.canary, route.shadow) if found]
            assert len(places) == len(set(places))
            assert all(self.life[version] == "released" for version in [*places, *state.before])
            assert all(NAMES[version[0]] == alias for version in places)
            assert (route.canary is None) == (route.canary_bp == 0)
            assert (route.shadow is None) == (route.shadow_bp == 0)
            assert route.canary is None or route.champion is not None
            assert route.canary is not None or not state.paused

    @invariant()
    def the_snapshot_verifies_and_its_epoch_grows_with_every_event(self) -> None:
        snapshot = make_snapshot(numbered(self.events), len(self.events))
        data = sign_snapshot(snapshot, KEY.sign, "k")
        assert verify_snapshot(data, PUBLIC, max(self.epoch, 0)) == snapshot
        assert snapshot.epoch == len(self.events) >= self.epoch
        self.epoch = snapshot.epoch
        assert {grant.subject for grant in snapshot.grants} == {
            v for v, life in self.life.items() if life == "released"
        }


TestRoutes = Routes.TestCase
TestRoutes.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)


def test_rollback_after_promote_returns_to_the_champion_before() -> None:
    events = [*THREE, promoted("a@2"), promoted("b@1")]
    assert state_of(events).before == ("a@1", "a@2")
    for expected in ("a@2", "a@1"):
        events.append(rolled_back(events))
        assert state_of(events).route.champion == expected
    with pytest.raises(BadInput, match="bot has no champion before a@1; promote another version"):
        rolled_back(events)


def test_rollback_ends_the_canary_first_and_leaves_the_champion() -> None:
    events = [*THREE, promoted("a@2"), promoted("b@1", "canary", 1000)]
    back = rolled_back(events)
    assert (back.body["ended"], back.body["champion"]) == ("b@1", "a@2")
    events.append(back)
    assert (state_of(events).route.canary, state_of(events).route.champion) == (None, "a@2")
    events.append(rolled_back(events))
    assert state_of(events).route.champion == "a@1"


def test_rollback_never_returns_to_what_was_withdrawn() -> None:
    events = [*THREE, promoted("a@2"), promoted("b@1"), Happened("revoked", "a@2", {})]
    assert state_of([*events, rolled_back(events)]).route.champion == "a@1"


def test_after_the_champion_is_revoked_a_rollback_finds_the_one_before() -> None:
    events = [*TWO, promoted("a@2"), Happened("revoked", "a@2", {})]
    assert state_of(events).route.champion is None
    assert rolled_back(events).body["ended"] is None
    assert state_of([*events, rolled_back(events)]).route.champion == "a@1"


def test_back_and_forth_between_two_is_no_loop() -> None:
    events = [*TWO, promoted("a@2"), promoted("a@1")]
    events.append(rolled_back(events))
    assert state_of(events).route.champion == "a@2"
    events.append(rolled_back(events))
    assert (state_of(events).route.champion, state_of(events).before) == ("a@1", ())


def test_a_revoked_champion_takes_its_canary_along_and_a_revoked_canary_only_itself() -> None:
    events = [*THREE, promoted("a@2", "canary", 500), promoted("b@1", "shadow", 100)]
    without_champion = state_of([*events, Happened("revoked", "a@1", {})]).route
    assert (without_champion.champion, without_champion.canary, without_champion.canary_bp) == (None, None, 0)
    without_canary = state_of([*events, Happened("revoked", "a@2", {})]).route
    assert (without_canary.champion, without_canary.canary, without_canary.shadow) == ("a@1", None, "b@1")
    without_shadow = state_of([*events, Happened("revoked", "b@1", {})]).route
    assert (without_shadow.canary, without_shadow.shadow, without_shadow.shadow_bp) == ("a@2", None, 0)


def test_a_canary_grows_and_becomes_champion() -> None:
    events = list(TWO)
    for share in (100, 1000, 5000):
        events.append(promoted("a@2", "canary", share))
        assert (state_of(events).route.canary, state_of(events).route.canary_bp) == ("a@2", share)
    route = state_of([*events, promoted("a@2")]).route
    assert (route.champion, route.canary, route.canary_bp) == ("a@2", None, 0)


def test_a_shadow_may_become_the_canary_and_0_ends_it() -> None:
    events = [*TWO, promoted("a@2", "shadow", 300)]
    assert state_of([*events, promoted("a@2", "shadow", 0)]).route.shadow is None
    route = state_of([*events, promoted("a@2", "canary", 300)]).route
    assert (route.canary, route.shadow, route.shadow_bp) == ("a@2", None, 0)


@pytest.mark.parametrize(
    ("events", "event", "message"),
    [
        (TWO, promoted("a@1", "canary", 100), "a@1 is the champion of bot already"),
        ([*TWO, promoted("a@2", "canary", 100)], promoted("a@2", "shadow", 100), "a@2 is the canary of bot already"),
        ([*THREE, promoted("a@2", "canary", 9)], promoted("b@1", "canary", 9), "a@2 is the canary of bot; promote it"),
        (TWO, promoted("a@2", "canary", 0), "'tunegate rollback bot' ends it"),
        (TWO, promoted("b@1"), "b@1 is not released for the route bot"),
        ([*TWO, Happened("revoked", "a@2", {})], promoted("a@2"), "or was withdrawn"),
        ([*TWO, Happened("revoked", "a@1", {})], promoted("a@2", "canary", 9), "has no champion that a@2 could stand"),
        (
            [*TWO, *told(("released", "c@1"))],
            Happened(PROMOTED, "bot", promoted("c@1").body),
            "c@1 is not released for the route bot",
        ),
    ],
)
def test_what_may_not_happen_is_refused_before_and_when_replayed(
    events: list[Happened], event: Happened, message: str
) -> None:
    with pytest.raises(BadInput, match=message):
        taken(events, event)
    with pytest.raises(IntegrityError, match=message):
        Registry.from_events([*events, event])


def test_saying_what_is_so_already_changes_nothing() -> None:
    events = [*TWO, promoted("a@2", "canary", 100)]
    assert taken(events, promoted("a@1")) == taken(events, promoted("a@2", "canary", 100)) == state_of(events)


def test_a_paused_canary_waits_until_a_person_says_anything_about_it() -> None:
    events = [*THREE, promoted("a@2", "canary", 100), paused("a@2")]
    for beside in (Happened(KILLED, "bot", {}), Happened(UNKILLED, "bot", {}), promoted("b@1", "shadow", 5)):
        events.append(beside)
        assert state_of(events).paused and state_of(events).route.canary_bp == 100
    assert state_of([*events, Happened("revoked", "b@1", {})]).paused
    for said in (promoted("a@2", "canary", 100), promoted("a@2"), rolled_back(events), Happened("revoked", "a@2", {})):
        assert not state_of([*events, said]).paused
    with pytest.raises(BadInput, match="a@2 is not the canary of bot; nothing is"):
        taken(TWO, paused("a@2"))


def test_a_rollback_that_says_what_does_not_follow_is_refused() -> None:
    events = [*TWO, promoted("a@2")]
    forged = Happened(ROLLED_BACK, "bot", {**rolled_back(events).body, "champion": "a@2"})
    with pytest.raises(IntegrityError, match="ends a@2 and returns to a@1 now; found a@2 and a@2"):
        Registry.from_events([*events, forged])


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        (PROMOTED, {"version": "a@2"}), (PROMOTED, {**promoted("a@2").body, "share_bp": ALL + 1}),
        (PROMOTED, {**promoted("a@2").body, "version": "../a@2"}), (PROMOTED, {**promoted("a@2").body, "more": 1}),
        (ROLLED_BACK, {}), (KILLED, {"killed": False}), (UNKILLED, {"reason": 1}),
    ],
)  # fmt: skip
def test_a_body_that_is_not_its_kinds_is_refused(kind: str, body: dict[str, Any]) -> None:
    with pytest.raises(IntegrityError, match="does not hold what it must"):
        Registry.from_events([*TWO, Happened(kind, "bot", body)])


def test_there_is_no_route_before_its_first_release() -> None:
    with pytest.raises(IntegrityError, match="there is no route bot; there are: none yet"):
        Registry.from_events([planned("a@1"), Happened(KILLED, "bot", {})])
    with pytest.raises(NotFound, match="there is no route desk; there are: bot"):
        Registry.from_events(TWO).state("desk")


def test_a_killed_route_keeps_what_it_points_to_and_can_be_mended() -> None:
    events = [*TWO, promoted("a@2"), Happened(KILLED, "bot", {})]
    assert (state_of(events).route.killed, state_of(events).route.champion) == (True, "a@2")
    events.append(rolled_back(events))
    assert (state_of(events).route.killed, state_of(events).route.champion) == (True, "a@1")
    assert not state_of([*events, Happened(UNKILLED, "bot", {})]).route.killed


def test_a_release_that_takes_an_empty_route_leaves_its_history_and_its_switch() -> None:
    events = [*TWO, promoted("a@2"), Happened(KILLED, "bot", {}), Happened("revoked", "a@2", {})]
    events += told(("released", "b@1"))
    assert state_of(events).route.champion == "b@1"
    assert state_of(events).route.killed
    assert rolled_back(events).body["champion"] == "a@1"


def test_a_champion_is_never_before_itself() -> None:
    events = [*TWO, promoted("a@2"), promoted("a@1"), Happened("revoked", "a@2", {})]
    with pytest.raises(BadInput, match="bot has no champion before a@1"):
        rolled_back(events)


def test_a_shadow_that_becomes_champion_is_no_shadow() -> None:
    route = state_of([*TWO, promoted("a@2", "shadow", 300), promoted("a@2")]).route
    assert (route.champion, route.shadow, route.shadow_bp) == ("a@2", None, 0)
