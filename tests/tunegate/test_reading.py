"""What the reading verbs show is what the events say."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from tunegate import deciding, reading
from tunegate.cli import app
from tunegate.house import House
from tunegate.recording import standing, verdict_of
from tunegate_core.errors import BadInput


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


def test_a_report_tells_the_verdict_with_all_that_stands_behind_it(told_home: Path) -> None:
    house = house_of(told_home)
    now, text = standing(house, "bot@1"), reading.report(house, "bot@1")
    verdict = verdict_of(house, now)
    assert verdict is not None
    assert text.startswith("# bot@1: PASS\n")
    assert "The candidate is released." in text
    named = [verdict.digest(), *verdict.evidence, now.adapter.tree, now.body("released")["statement"]]
    assert [name for name in named if name not in text] == []
    assert text == reading.report(house, "bot@1")
    assert "# bot@2: FAIL" in reading.report(house, "bot@2")
    with pytest.raises(BadInput, match="bot@5 is not judged yet"):
        reading.report(house, "bot@5")


def test_a_report_names_who_decided(told_home: Path) -> None:
    house = house_of(told_home)
    key = deciding.create_key(house, "reviewer")["key_id"]
    assert "Nobody yet." in reading.report(house, "bot@4")
    deciding.refuse(house, "bot@4", "reviewer", "not now")
    text = reading.report(house, "bot@4")
    assert f"refused by key `{key}`" in text
    assert "not now" not in text
    assert "The candidate is refused." in text


def test_the_verb_prints_or_writes_it(told_home: Path, tmp_path: Path) -> None:
    run, expected = CliRunner().invoke, reading.report(house_of(told_home), "bot@1")
    assert run(app, ["report", "bot@1"]).output == expected
    written = run(app, ["report", "bot@1", "-o", str(tmp_path / "report.md")])
    assert (written.exit_code, (tmp_path / "report.md").read_text()) == (0, expected)
    assert isinstance(run(app, ["report", "bot@5"]).exception, BadInput)
