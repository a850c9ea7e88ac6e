"""What people said, from the file to the verdict and back to data: nothing lost, nothing overwritten, no peeking."""

import json
from pathlib import Path
from typing import Any

import pytest

from eval.feedback.entry import Entry
from governance.ledger.event import Event
from governance.lifecycle import Judged
from tests.tunegate.rated import prompt, said, tell
from tunegate import steps
from tunegate.cli import app
from tunegate.erasing import erase
from tunegate.feedback import RECORDED, import_file, record, recorded
from tunegate.feedback_export import TESTED, export
from tunegate.feedback_reading import agreed, listed
from tunegate.house import House
from tunegate.proving import verify
from tunegate.recording import standing
from tunegate.release import evaluate
from tunegate_core.errors import BadInput, DataError
from tunegate_core.records import Verdict


@pytest.fixture
def house(home: Path) -> Any:
    house = House(home, f"sqlite:///{home / 'ledger.sqlite'}")
    yield house
    if house.has_ledger:
        house.existing_ledger.close()


def write(path: Path, entries: list[Entry]) -> Path:
    rows = [entry.model_dump(exclude={"source", "origin"}, exclude_none=True) for entry in entries]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    return path


def events(house: House) -> list[Event]:
    return house.existing_ledger.events(kind=RECORDED)


def outcome(house: House) -> str:
    state = standing(house, "liked@1").state
    assert isinstance(state, Judged)
    return state.outcome


def reason(house: House) -> str:
    return Verdict.parse(house.store.get(standing(house, "liked@1").body("judged")["verdict"])).results[0].reason


def test_a_file_is_one_batch_and_the_ledger_holds_no_word_of_it(house: House, tmp_path: Path) -> None:
    path = write(tmp_path / "said.jsonl", [said(n, True, reason="clearer by far") for n in range(5)])
    assert import_file(house, path) == {"source": str(path), "recorded": 5, "known": 0}
    assert import_file(house, path) == {"source": str(path), "recorded": 0, "known": 5}
    (event,) = events(house)
    assert event.body["n"] == 5 and event.body["kinds"] == {"preference": 5} and event.body["consented"] == 0
    told = event.canonical().decode()
    assert not any(word in told for word in ("ann", "clearer", "p1", "ours", prompt(1)))
    assert verify(house, None)["ok"]


def test_a_bad_file_records_nothing(house: House, tmp_path: Path) -> None:
    path = tmp_path / "said.jsonl"
    path.write_text(said(1, True).model_dump_json(exclude={"source"}) + '\n{"kind": "thumb"}\n', "utf-8")
    with pytest.raises(DataError, match="line 2"):
        import_file(house, path)
    assert not house.has_ledger


def test_changing_ones_mind_keeps_both_words(house: House) -> None:
    record(house, [said(1, True)], "file")
    record(house, [said(1, False, reason="looked again")], "file")
    found = recorded(house)
    assert [entry.value for entry in found.entries] == ["a", "b"]
    assert [entry.value for entry in found.standing()] == ["b"]
    assert len(events(house)) == 2


def test_an_erased_row_says_nothing_and_everything_verifies(house: House) -> None:
    record(house, [said(1, True), said(2, False)], "file")
    house.rows.erase(events(house)[0].body["rows"], 0)
    found = recorded(house)
    assert found.erased == 1 and [entry.item for entry in found.entries] == ["p2"]
    assert verify(house, None)["ok"]


def test_a_persons_words_are_withdrawn_like_any_other_data(house: House) -> None:
    record(house, [said(1, True, author="ann"), said(2, False, author="ben")], "file")
    erase(house, None, "ann", "asked to be forgotten")
    found = recorded(house)
    assert found.erased == 1 and [entry.author for entry in found.entries] == ["ben"]
    assert verify(house, None)["ok"]


def test_a_candidate_waits_until_every_prompt_is_rated_and_is_then_judged(house: House) -> None:
    tell(house)
    assert outcome(house) == "UNDECIDED" and "not rated yet: 20" in reason(house)
    record(house, [said(n, True) for n in range(19)], "file")
    evaluate(house, "liked@1")
    assert outcome(house) == "UNDECIDED" and "not rated yet: 1, rated, waits for the rest: 19" in reason(house)
    record(house, [said(19, False)], "file")
    evaluate(house, "liked@1")
    assert outcome(house) == "PASS" and "95.0 %" in reason(house)
    kinds = [event.kind for event in standing(house, "liked@1").events]
    assert kinds == ["planned", "sealed", *["examined", "judged"] * 3]
    record(house, [said(n, False) for n in range(20)], "file")
    evaluate(house, "liked@1")  # decided is decided
    assert outcome(house) == "PASS" and len(standing(house, "liked@1").events) == len(kinds)
    assert verify(house, None)["ok"]


def test_there_is_one_look_at_the_figures(house: House) -> None:
    """Who could add ratings until they suit would pass anything."""
    planned = tell(house)
    record(house, [said(n, n % 2 > 0) for n in range(20)], "file")
    steps.judge(house, planned)
    assert outcome(house) == "UNDECIDED" and "50.0 %" in reason(house)
    before = house.existing_ledger.size()
    record(house, [said(n, True, author="ben") for n in range(20)], "file")
    record(house, [said(n, True, reason="on second thoughts") for n in range(20)], "file")
    steps.judge(house, planned)
    assert outcome(house) == "UNDECIDED" and house.existing_ledger.size() == before + 2


def test_a_disliked_candidate_fails(house: House) -> None:
    planned = tell(house)
    record(house, [said(n, n == 0) for n in range(20)], "file")
    steps.judge(house, planned)
    steps.settle(house, planned)
    assert standing(house, "liked@1").has("refused")


def test_judging_again_without_news_records_nothing(house: House) -> None:
    planned = tell(house)
    before = house.existing_ledger.size()
    steps.judge(house, planned)
    assert house.existing_ledger.size() == before


def test_two_raters_are_waited_for(house: House) -> None:
    planned = tell(house, raters=2)
    record(house, [said(n, True) for n in range(20)], "file")
    steps.judge(house, planned)
    assert outcome(house) == "UNDECIDED"
    record(house, [said(n, True, author="ben") for n in range(20)], "file")
    steps.judge(house, planned)
    assert outcome(house) == "PASS"


def test_what_is_listed(house: House) -> None:
    tell(house)
    record(house, [said(n, True) for n in range(12)], "file")
    found = listed(house)
    assert found["kinds"] == {"preference": 12} and found["authors"] == 1
    (waiting,) = found["waiting"]
    assert waiting["version"] == "liked@1" and waiting["missing"] == 8 and waiting["said"] == {"candidate": 12}
    told = agreed(house)
    assert told["win_rates"][0]["interval"]["n"] == 12
    assert "no finite strengths" in told["strengths"]["why"]


def test_an_export_holds_only_what_may_be_learnt_from(house: House, tmp_path: Path) -> None:
    tell(house)
    free = {"consent": True, "prompt": "What is the best way to boil an egg?", "item": "egg"}
    record(house, [said(1, True, **free), said(2, True, **{**free, "consent": False, "item": "other"})], "file")
    done = export(house, tmp_path / "pairs.jsonl")
    assert done["pairs"] == 1
    (row,) = [json.loads(line) for line in (tmp_path / "pairs.jsonl").read_text().splitlines()]
    assert row["prompt"][0]["content"] == free["prompt"] and row["consent"] is True
    with pytest.raises(BadInput, match="expected a new file"):
        export(house, tmp_path / "pairs.jsonl")


@pytest.mark.parametrize("wrap", ["{}", "Hello. {} Thank you very much!"])
def test_a_test_item_never_returns(house: House, tmp_path: Path, wrap: str) -> None:
    tell(house)
    record(house, [said(3, True, consent=True, prompt=wrap.format(prompt(3)), item="elsewhere")], "file")
    with pytest.raises(BadInput, match=TESTED):
        export(house, tmp_path / "pairs.jsonl")
    assert not (tmp_path / "pairs.jsonl").exists()


def test_no_export_while_items_can_not_be_read(house: House, tmp_path: Path) -> None:
    tell(house)
    record(house, [said(1, True, consent=True, prompt="free", item="free")], "file")
    planned = standing(house, "liked@1").planned
    task = json.loads(house.store.get(planned.config))["eval"]["tasks"][0]
    house.store.remove(task["feedback"])
    with pytest.raises(BadInput, match="bring them back"):
        export(house, tmp_path / "pairs.jsonl")


def test_the_verbs(house: House, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path / "said.jsonl", [said(n, n % 3 > 0, author=f"a{n % 2}") for n in range(30)])

    def shown(*words: str) -> str:
        app(["feedback", *words], standalone_mode=False)
        return capsys.readouterr().out

    assert json.loads(shown("import", str(path), "--json"))["recorded"] == 30
    assert "30 preference; by 2 people" in shown("list")
    told = shown("agreement")
    assert "base preferred to liked@1: 33.3" in told and "a0: too little to tell" in told
    assert "too little to tell" in shown("agreement", "--json")
    with pytest.raises(BadInput, match="without consent: 30"):
        shown("export", "-o", str(tmp_path / "pairs.jsonl"))
    with pytest.raises(BadInput, match="LANGFUSE_BASE_URL"):
        shown("send")
