"""What the first page says is ready to promote."""

from governance.registry import Entry, Registry
from governance.routing import RouteState
from tunegate.console.overview import _ready
from tunegate.console.projection import Known
from tunegate_core.snapshot import Route

LED = Route(alias="bot", champion="bot@3", canary="bot@5", canary_bp=500, shadow="bot@6", shadow_bp=100)
EMPTY = Route(alias="other", champion=None)


def entry(subject: str, state: str = "Released") -> Entry:
    name, _, version = subject.partition("@")
    return Entry(subject, name, int(version), name, {}, 1, "2026-01-01T00:00:00Z", state)


def test_ready_is_what_is_newer_than_the_champion_and_has_no_place() -> None:
    states = {7: "Revoked", 8: "Judged"}
    entries = [entry(f"bot@{number}", states.get(number, "Released")) for number in range(1, 10)]
    entries.insert(2, entry("other@1"))  # of a route where nothing answers
    registry = Registry(
        {found.subject: found for found in entries},
        {route.alias: RouteState(route=route) for route in (LED, EMPTY)},
    )
    assert [found.subject for found in _ready(Known(registry=registry))] == ["bot@9", "bot@4", "other@1"]
    rolled_back = Known(registry=registry, placed={"bot@9"})
    assert [found.subject for found in _ready(rolled_back)] == ["bot@4", "other@1"]
