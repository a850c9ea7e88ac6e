"""What is kept in memory is what reading everything again would give, however the events come in."""

import pytest

from governance.registry import KINDS, Registry
from tunegate import routing, users
from tunegate.console import projection
from tunegate.console.projection import Known, Projection
from tunegate.house import House
from tunegate_core.errors import TunegateError


@pytest.mark.parametrize("at_once", [1, 3, 7, 1000])
def test_it_is_the_registry_however_the_events_come(
    house: House, at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(projection, "READ_AT_ONCE", at_once)
    kept = Projection(house)
    same(kept.now(), house)
    routing.kill(house, "bot", "to see it")
    users.disable(house, "trainer")
    known = kept.now()
    same(known, house)
    assert known.registry.states["bot"].route.killed
    assert [user.disabled_at is None for user in known.people.users.values()].count(False) == 1


def test_nothing_new_is_nothing_to_read(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = Projection(house)
    kept.now()
    house.ledger.append("note", {})
    assert kept.now().size == house.ledger.size()
    monkeypatch.setattr(type(house.existing_ledger), "events", None)  # would fail if it were called
    assert kept.now().size == house.ledger.size()


def test_who_reads_is_not_disturbed_by_what_comes_in(house: House) -> None:
    kept = Projection(house)
    before = kept.now()
    reading = iter(before.registry.entries.values()), iter(before.people.users.values()), iter(before.registry.states)
    for each in reading:
        next(each)
    routing.kill(house, "bot", "meanwhile")
    users.add(house, "another", ["auditor"])
    assert len(kept.now().people.users) == len(before.people.users) + 1
    for each in reading:
        list(each)  # raises when what it goes through has changed
    assert not before.registry.states["bot"].route.killed


def test_an_event_that_could_not_have_happened_is_never_passed_over(house: House) -> None:
    kept = Projection(house)
    size = kept.now().size
    house.ledger.append("route-killed", {}, subject="no-such-route")
    for _ in range(2):
        with pytest.raises(TunegateError):
            kept.now()
    assert kept._known.size == size


def test_an_older_ledger_in_its_place_is_read_anew(house: House) -> None:
    kept = Projection(house)
    kept._known.size = 10_000
    same(kept.now(), house)


def same(known: Known, house: House) -> None:
    events = house.ledger.events(KINDS)
    fresh = Registry.from_events(events)
    assert known.size == house.ledger.size()
    assert (known.registry.entries, known.registry.states) == (fresh.entries, fresh.states)
    for event in events:
        if event.subject in known.trails:
            assert known.trails[event.subject].marks[event.kind] >= event.seq
