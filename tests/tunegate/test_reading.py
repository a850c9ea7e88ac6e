"""What the reading verbs show is what the events say."""

from pathlib import Path

from tunegate import reading
from tunegate.house import House
from tunegate.recording import standing


def house_of(home: Path) -> House:
    return House(home, f"sqlite:///{home / 'ledger.sqlite'}")


def test_the_list_is_what_replaying_each_candidate_gives(told_home: Path) -> None:
    house = house_of(told_home)
    listed = reading.overview(house)
    assert listed["routes"] == {"bot": "bot@1"}
    assert [(row["version"], row["state"], row["verdict"]) for row in listed["candidates"]] == [
        ("bot@1", "Released", "PASS"),
        ("bot@2", "Refused", "FAIL"),
        ("bot@3", "Judged", "UNDECIDED"),
        ("bot@4", "Judged", "PASS"),
        ("bot@5", "Planned", None),
    ]
    for row in listed["candidates"]:
        now = standing(house, row["version"])
        assert row["state"] == type(now.state).__name__
        assert row["adapter"] == (now.adapter.tree if now.has("sealed") else None)
        assert (row["attempt"], row["route"]) == (now.planned.attempt, now.planned.route)
        assert row["planned_at"] == now.events[0].at


def test_what_to_do_next_is_said(told_home: Path) -> None:
    house = house_of(told_home)
    assert reading.candidate(house, "bot@1")["next"] == ["ask for the model 'bot': tunegate serve --dev"]
    waits, how = reading.candidate(house, "bot@4")["next"]
    assert waits.startswith("waits for 1 approval by another key") and "approve bot@4" in how
    assert reading.candidate(house, "bot@2")["next"] == []
