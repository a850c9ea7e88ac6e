"""Routes, versions and attempts as the events tell them."""

import time
from dataclasses import dataclass
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from governance.registry import Registry


@dataclass(frozen=True)
class Happened:
    """An event without a ledger."""

    kind: str
    subject: str | None
    body: dict[str, Any]
    at: str = "2026-01-01T00:00:00Z"


def planned(name: str, version: int, route: str = "bot", **items: str) -> Happened:
    frozen = {task: {"digest": digest} for task, digest in (items or {"t": "sha256:1"}).items()}
    body = {"name": name, "version": version, "route": route, "items": frozen, "attempt": 1}
    return Happened("planned", f"{name}@{version}", body)


def event(kind: str, subject: str) -> Happened:
    return Happened(kind, subject, {"outcome": "PASS"} if kind == "judged" else {})


def test_an_empty_ledger_has_nothing() -> None:
    registry = Registry.from_events([])
    assert registry.next_version("a") == 1
    assert registry.champion("bot") is None
    assert registry.attempts("bot", {"t": "sha256:1"}) == 0


def test_versions_count_by_name() -> None:
    registry = Registry.from_events([planned("a", 1), planned("b", 1), planned("a", 2)])
    assert (registry.next_version("a"), registry.next_version("b"), registry.next_version("c")) == (3, 2, 1)


def test_the_first_release_makes_the_route_and_a_later_one_does_not_move_it() -> None:
    before = [planned("a", 1), planned("a", 2)]
    assert Registry.from_events(before).champion("bot") is None
    first = [*before, event("released", "a@2")]
    assert Registry.from_events(first).champion("bot") == "a@2"
    both = Registry.from_events([*first, event("released", "a@1")])
    assert both.champion("bot") == "a@2"
    assert both.entries["a@1"].state == "Released"


def test_routes_do_not_touch_each_other() -> None:
    events = [planned("a", 1, "one"), planned("b", 1, "two"), event("released", "a@1"), event("released", "b@1")]
    registry = Registry.from_events([*events, event("revoked", "a@1")])
    assert registry.routes == {"one": None, "two": "b@1"}


def test_a_revoked_champion_leaves_the_route_empty_and_another_release_leaves_it_alone() -> None:
    events = [planned("a", 1), planned("a", 2), event("released", "a@1"), event("released", "a@2")]
    assert Registry.from_events([*events, event("revoked", "a@2")]).champion("bot") == "a@1"
    assert Registry.from_events([*events, event("revoked", "a@1")]).champion("bot") is None
    assert Registry.from_events([*events, event("retired", "a@1")]).champion("bot") is None


def test_after_a_revocation_the_next_release_takes_the_route() -> None:
    events = [planned("a", 1), event("released", "a@1"), event("revoked", "a@1"), planned("a", 2)]
    assert Registry.from_events([*events, event("released", "a@2")]).champion("bot") == "a@2"


def test_attempts_count_by_route_and_by_the_items_themselves() -> None:
    registry = Registry.from_events(
        [
            planned("a", 1, t="sha256:1"),
            planned("a", 2, renamed="sha256:1"),  # the same items under another name
            planned("a", 3, t="sha256:2"),
            planned("b", 1, "other", t="sha256:1"),
            planned("c", 1, t="sha256:1", more="sha256:2"),
        ]
    )
    assert registry.attempts("bot", {"t": "sha256:1"}) == 3
    assert registry.attempts("bot", {"t": "sha256:2"}) == 2
    assert registry.attempts("bot", {"t": "sha256:1", "more": "sha256:2"}) == 4
    assert registry.attempts("other", {"t": "sha256:1"}) == 1
    assert registry.attempts("bot", {"t": "sha256:3"}) == 0


def test_events_about_nobody_known_are_passed_over() -> None:
    registry = Registry.from_events([Happened("key-created", None, {}), event("released", "ghost@1"), planned("a", 1)])
    assert list(registry.entries) == ["a@1"]
    assert registry.routes == {}


@given(st.lists(st.tuples(st.sampled_from(["released", "revoked", "retired", "judged"]), st.integers(1, 3))))
def test_a_champion_was_released_and_not_withdrawn_since(story: list[tuple[str, int]]) -> None:
    events = [planned("a", version) for version in (1, 2, 3)]
    events += [event(kind, f"a@{version}") for kind, version in story]
    registry = Registry.from_events(events)
    champion = registry.champion("bot")
    if champion is not None:
        last = [kind for kind, version in story if f"a@{version}" == champion and kind != "judged"]
        assert last[-1] == "released"


def test_ten_thousand_candidates_are_quick() -> None:
    events = [planned("a", number) for number in range(1, 10_001)]
    events += [event("released", f"a@{number}") for number in range(1, 10_001)]
    start = time.perf_counter()
    registry = Registry.from_events(events)
    assert registry.next_version("a") == 10_001
    assert registry.attempts("bot", {"t": "sha256:1"}) == 10_000
    assert registry.champion("bot") == "a@1"
    assert time.perf_counter() - start < 2.0
