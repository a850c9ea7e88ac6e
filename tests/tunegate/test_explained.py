"""Explanations are recorded where somebody asks for that, shown in reports, and erasable; nobody else sees any."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from governance.document.making import render
from governance.document.model import Document
from governance.ledger import Event
from tunegate import explained, explaining
from tunegate.cli import app
from tunegate.documenting import document
from tunegate.erasing import erase
from tunegate.house import House
from tunegate.proving import verify
from tunegate.recording import standing
from tunegate_core.rows import Rows

ROW = '{"messages":[{"content":"May I return the boat?","role":"user"}]}'


def house_of(home: Path) -> House:
    return House(home, f"sqlite:///{home / 'ledger.sqlite'}")


def found(house: House, prompt: str = "return my boat") -> dict[str, Any]:
    """What `explain` would find, told without a model."""
    words = [{"word": word, "weight": weight} for word, weight in zip(prompt.split(), (0.5, -0.25, 2.0), strict=True)]
    return {
        "version": "bot@1",
        "prompt": prompt,
        "answer": "Within 30 days.",
        "words": words,
        "deletion": 2.0,
        "chance": 0.125,
        "edits": [{"without": ["boat"], "answer": "Return what?"}],
        "fewest": {"without": ["return", "boat"], "answer": ""},
        "rows": house.rows.put([ROW, '{"text":"other"}']),
        "nearest": [{"row": 0, "similarity": 0.75, "text": "as it was read"}],
    }


def cells(report: Document) -> list[list[tuple[str, ...]]]:
    told = [entry for entry in report.entries() if entry.id == "explained"]
    return [[row.cells for row in table.rows] for entry in told for table in entry.tables]


def test_a_report_shows_what_was_asked_for_and_nothing_else(told_home: Path) -> None:
    house = house_of(told_home)
    before = document(house, "bot@1", "evaluation-report")
    assert cells(before) == [] and "explained" not in {entry.id for entry in before.entries()}
    event = explained.record(house, found(house))
    report = document(house, "bot@1", "evaluation-report")
    name = found(house)["rows"]
    assert cells(report) == [
        [("1", "return my boat", "Within 30 days.", "return (+0.50) my (-0.25) boat (+2.00)", "2.00 and 0.12")],
        [("1", "boat", "Return what?"), ("1", "return boat", "(nothing)")],
        [("1", f"{name}#0", "0.75")],
    ]
    assert event.seq in {proof.seq for proof in report.extract}
    for form in ("html", "markdown", "json"):
        made = render(report, form).decode()
        assert "return (+0.50)" in made and "May I return the boat?" not in made  # the row is another person's
    assert cells(document(house, "bot@2", "evaluation-report")) == []
    assert standing(house, "bot@1").state == standing(house_of(told_home), "bot@1").state  # no step of the release path


def test_the_ledger_holds_no_word_of_it(told_home: Path) -> None:
    house = house_of(told_home)
    event = explained.record(house, found(house))
    assert explained.record(house, found(house)) == event  # the same once
    assert set(event.body) == {"version", "adapter", "rows"} and event.subject is None
    (told,) = (text for text in house.rows.get(event.body["rows"]))
    assert told is not None and "read" not in told  # training rows are named, not copied
    assert json.loads(told)["nearest"] == [{"row": 0, "similarity": 0.75}]
    assert verify(house, None)["ok"]


def test_what_is_erased_is_gone_from_the_next_report(told_home: Path) -> None:
    house = house_of(told_home)
    event = explained.record(house, found(house))
    assert cells(document(house, "bot@1", "evaluation-report"))[0][0][1] == "return my boat"
    told = erase(house, None, "my boat", "asked to")
    assert [row["row"] for row in told["rows"]] == [f"{event.body['rows']}#0"] and told["candidates"] == []
    assert cells(document(house, "bot@1", "evaluation-report")) == [[("1", *["(erased)"] * 4)]]
    assert verify(house, None)["ok"]


def test_a_lost_explanation_is_found_by_verify(told_home: Path) -> None:
    house = house_of(told_home)
    event = explained.record(house, found(house))
    Path(Rows(house.store_url)._path(event.body["rows"])).unlink()
    problems = verify(house, None)["problems"]
    assert [problem["first"] for problem in problems] == [event.seq]


def test_weights_that_say_nothing_are_told(told_home: Path) -> None:
    house = house_of(told_home)
    explained.record(
        house, {**found(house), "deletion": 0.1, "chance": 0.5, "edits": [], "fewest": None, "nearest": []}
    )
    explained.record(house, {**found(house), "deletion": None, "chance": None})
    answers = cells(document(house, "bot@1", "evaluation-report"))[0]
    assert [row[4] for row in answers] == ["0.10 and 0.50: the weights say nothing here", "too few words to try"]


@pytest.mark.parametrize("keep", [False, True])
def test_the_verb_records_only_when_asked(told_home: Path, monkeypatch: pytest.MonkeyPatch, keep: bool) -> None:
    house = house_of(told_home)
    monkeypatch.setattr(explaining, "explain", lambda house, version, prompt: found(house))
    asked = ["explain", "bot@1", "--prompt", "return my boat", *(["--record"] if keep else [])]
    done = CliRunner().invoke(app, [*asked, "--json"])
    assert done.exit_code == 0, done.output
    events = explained.events(house, "bot@1")
    assert len(events) == keep
    assert json.loads(done.stdout).get("event") == (events[0].seq if keep else None)
    shown = CliRunner().invoke(app, asked).stdout
    assert ("recorded as event" in shown) == keep


def test_a_report_reads_them_once(told_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    house = house_of(told_home)
    event = explained.record(house, found(house))
    asked: list[str] = []
    read = explained.events

    def counted(house: House, version: str) -> list[Event]:
        asked.append(version)
        return read(house, version)

    monkeypatch.setattr(explained, "events", counted)
    assert event.seq in {proof.seq for proof in document(house, "bot@1", "evaluation-report").extract}
    assert asked == ["bot@1"]
