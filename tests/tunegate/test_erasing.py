"""Withdrawn data: what learnt from it ends or is made anew, text and salt are gone everywhere, the ledger verifies."""

import tarfile
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from governance.policy import ErasureRule, Policy
from tunegate import erasing, steps, tracing
from tunegate.cli import app
from tunegate.house import House
from tunegate.keeping import backup, restore
from tunegate.proving import verify
from tunegate.publishing import snapshot_file
from tunegate.reading import overview
from tunegate.recording import append, record_once, standing
from tunegate_core.errors import BadInput, NotFound, TunegateError
from tunegate_core.proof.keys import parse_public_key
from tunegate_core.records import DatasetRecord, RowCounts, TrainingRecord
from tunegate_core.snapshot import verify_snapshot

JANE, OTHER, SHARED = '{"text":"I am Jane Doe"}', '{"text":"nobody at all"}', '{"text":"Opening hours?"}'
GAIN, FEW = (60, 4, 200), (3, 2, 20)
TRAINED = TrainingRecord(
    steps=1, rows_per_step=1, supervised_tokens=1, first_loss=1.0, final_loss=0.5, packing=False, precision="float32",
    workers=1, strategy="none", trained_parameters=1,
)  # fmt: skip


def learn(told: Any, version: int, texts: list[str], counts: tuple[int, int, int] | None = GAIN, **more: Any) -> str:
    """A candidate that learnt from these rows, as far as these counts take it. `dropped`: rows training did not see."""
    house, store = told.house, told.house.store
    rule, dropped = more.get("rule"), more.get("dropped", ())
    lineage = [{"row": i, "status": "dropped" if i in dropped else "kept"} for i in range(len(texts))]
    zero = dict.fromkeys(RowCounts.model_fields, 0)
    data = DatasetRecord(
        source="rows.jsonl", rows=house.rows.put(texts), lineage=store.put_json(lineage), tokens=1, supervised_tokens=1,
        counts=RowCounts(**{**zero, "read": len(texts), "kept": len(texts)}),
    )  # fmt: skip
    found = told.plan(version + 100)  # for its form only
    policy = Policy.parse(store.get(found.policy)).model_copy(update={"erasure": rule})
    planned = found.model_copy(
        update={"version": version, "data": data, "source_adapter": None, "policy": store.put(policy.canonical()),
                "run": f"data-{version}", "route": f"bot-{version}"}
    )  # fmt: skip
    with house.ledger.write() as tx:
        append(house, tx, planned.subject, "planned", planned.model_dump(mode="json"), f"data/{version}")
    if counts is not None:
        body = {"training": TRAINED.model_dump(mode="json"), "output": told.tree(f"out-{version}"),
                "environment": store.put(b"{}")}  # fmt: skip
        record_once(house, planned.subject, "trained", lambda: body)
        told.judge(planned, counts)
    return str(planned.subject)


def states(house: House) -> dict[str, str]:
    return {row["version"]: row["state"] for row in overview(house)["candidates"] if "10" not in row["version"]}


@pytest.fixture
def house(told: Any) -> House:
    """bot@1 released with Jane's row, bot@2 undecided with it, bot@3 released without, bot@4 only planned with it."""
    learn(told, 1, [JANE, SHARED])
    learn(told, 2, [OTHER, JANE], FEW)
    learn(told, 3, [OTHER, SHARED])
    learn(told, 4, [JANE], None)
    found: House = told.house
    return found


def test_a_subject_is_found_by_their_words(house: House) -> None:
    found = tracing.find_subject(house, "jane  DOE")
    assert len(found) == 3
    assert {item.text for item in found} == {JANE}
    assert tracing.find_subject(house, "Jan") == []  # not a word of its own
    for short in ("", "..", "x y", " - "):
        with pytest.raises(BadInput, match="too short"):
            tracing.find_subject(house, short)


def test_a_row_is_found_wherever_the_same_text_is(house: House) -> None:
    (first, *_) = tracing.find_subject(house, "Jane Doe")
    assert {item.name for item in tracing.find_row(house, first.name)} == {
        item.name for item in tracing.find_subject(house, "Jane Doe")
    }
    with pytest.raises(NotFound, match="there is no row 7"):
        tracing.find_row(house, f"{first.rows}#7")
    for wrong in ("", "rows:0#0", first.rows, f"{first.rows}#-1"):
        with pytest.raises(BadInput, match="names no row"):
            tracing.find_row(house, wrong)


def test_trace_goes_both_ways(house: House) -> None:
    forward = tracing.trace_rows(house, tracing.find_subject(house, "Jane Doe"))
    assert [row["version"] for row in forward["candidates"]] == ["bot@1", "bot@2", "bot@4"]
    assert forward["routes"] == [{"route": "bot-1", "place": "champion"}]
    back = tracing.trace_release(house, "bot@1")
    assert back["data"]["rows"] in {item.rows for item in tracing.find_subject(house, "Jane Doe")}
    assert back["verdict"]["outcome"] == "PASS"
    assert [event["kind"] for event in back["events"]][-1] == "released"


def test_erasing_revokes_what_learnt_from_it(house: House) -> None:
    before = b"".join(path.read_bytes() for path in (house.home / "store").rglob("*") if path.is_file())
    assert b"Jane Doe" in before
    done = erasing.erase(house, None, "Jane Doe", "she asked")
    assert {row["version"]: row["fate"] for row in done["candidates"]} == {
        "bot@1": "revoked", "bot@2": "withdrawn", "bot@4": "withdrawn"
    }  # fmt: skip
    assert states(house) == {"bot@1": "Revoked", "bot@2": "Withdrawn", "bot@3": "Released", "bot@4": "Withdrawn"}
    assert all(type(standing(house, name).state).__name__ == state for name, state in states(house).items())
    after = b"".join(path.read_bytes() for path in (house.home / "store").rglob("*") if path.is_file())
    assert b"Jane Doe" not in after
    report = verify(house, None)
    assert report["ok"], report["problems"]
    assert (report["erased_rows"], report["notes"]) == (3, [])
    snapshot = verify_snapshot(snapshot_file(house).read_bytes(), parse_public_key(house.public_key))
    assert {grant.subject for grant in snapshot.grants} == {"bot@3"}
    assert tracing.trace_release(house, "bot@1")["data"]["erased"] == [0]
    assert tracing.find_subject(house, "Jane Doe") == []


def test_what_is_withdrawn_can_not_be_released_any_more(house: House) -> None:
    erasing.erase(house, None, "Jane Doe", "she asked")
    for kind, body in (("trained", {}), ("approved", {"verdict": "v"}), ("released", {"route": "bot-4"})):
        with pytest.raises(TunegateError), house.ledger.write() as tx:
            append(house, tx, "bot@4", kind, body, f"again/{kind}")
    steps.settle(house, standing(house, "bot@2").planned)
    assert states(house)["bot@2"] == "Withdrawn"


def test_the_policy_may_give_time_to_make_it_anew(told: Any) -> None:
    learn(told, 1, [JANE], rule=ErasureRule(then="retrain", days=14))
    learn(told, 2, [JANE], FEW, rule=ErasureRule(then="retrain"))
    house = told.house
    done = erasing.erase(house, None, "Jane Doe", "she asked")
    assert [row["fate"] for row in done["candidates"]] == ["scheduled", "withdrawn"]
    assert states(house) == {"bot@1": "Released", "bot@2": "Withdrawn"}
    (event,) = house.ledger.events("retraining-scheduled")
    assert event.body["version"] == "bot@1" and event.body["due"] > event.at
    (candidate, _) = tracing.trace_rows(house, [tracing.Found(done["rows"][0]["row"][:-2], 0, None)])["candidates"]
    assert candidate["due"] == event.body["due"]
    assert verify(house, None)["ok"]


def test_a_row_that_training_did_not_see_ends_nothing(told: Any) -> None:
    learn(told, 1, [OTHER, JANE], dropped=(1,))
    assert erasing.erase(told.house, None, "Jane Doe", "she asked")["candidates"] == []
    assert states(told.house) == {"bot@1": "Released"}
    assert verify(told.house, None)["erased_rows"] == 1


def test_who_took_over_the_adapter_is_affected_too(told: Any) -> None:
    source = learn(told, 1, [JANE])
    planned = told.plan(2)
    house = told.house
    with house.ledger.write() as tx:
        other = planned.model_copy(update={"version": 3, "source_adapter": source, "run": "r3", "route": "other"})
        append(house, tx, "bot@3", "planned", other.model_dump(mode="json"), "plan/3")
    told.judge(other, GAIN)
    found = {row["version"]: row for row in erasing.erase(house, None, "Jane Doe", "asked")["candidates"]}
    assert found["bot@3"]["through"] == "bot@1"
    assert states(house)["bot@3"] == "Revoked"


def test_a_preview_changes_nothing(house: House) -> None:
    size = house.existing_ledger.size()
    shown = erasing.preview(house, None, "Jane Doe")
    assert [row["fate"] for row in shown["candidates"]] == ["revoked", "withdrawn", "withdrawn"]
    assert house.existing_ledger.size() == size
    with pytest.raises(BadInput, match="needs a reason"):
        erasing.erase(house, None, "Jane Doe", " ")
    with pytest.raises(BadInput, match="either --row"):
        erasing.preview(house, None, None)
    with pytest.raises(NotFound, match="nothing was erased"):
        erasing.erase(house, None, "John Doe", "asked")
    assert house.existing_ledger.size() == size


def test_a_crash_after_the_record_is_seen_and_the_same_command_ends_it(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    def died(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as broken:
        broken.setattr(type(house.rows), "erase", died)
        with pytest.raises(KeyboardInterrupt):
            erasing.erase(house, None, "Jane Doe", "asked")
    report = verify(house, None)
    assert not report["ok"]
    assert all("its text is here" in problem["what"] for problem in report["problems"])
    size = house.existing_ledger.size()
    erasing.erase(house, None, "Jane Doe", "asked")
    assert house.existing_ledger.size() == size
    assert verify(house, None)["ok"]


def test_a_row_erased_behind_the_ledgers_back_is_told(house: House) -> None:
    (found, *_) = tracing.find_subject(house, "Jane Doe")
    house.rows.erase(found.rows, found.row)
    report = verify(house, None)
    assert report["ok"]
    assert "1 rows read as erased, and no event says so" in report["notes"][0]


def test_the_text_is_taken_from_known_backups(house: House, tmp_path: Path) -> None:
    archive, moved = tmp_path / "one.tgz", tmp_path / "two.tgz"
    backup(house, archive, with_keys=False)
    backup(house, moved, with_keys=False)
    moved.rename(tmp_path / "elsewhere.tgz")
    done = erasing.erase(house, None, "Jane Doe", "asked")
    assert [row["found"].split(";")[0] for row in done["backups"]] == ["3 rows erased", "is not there"]
    with tarfile.open(archive) as tar:
        texts = [tar.extractfile(member).read() for member in tar if member.isfile()]
    assert not any(b"Jane Doe" in text for text in texts)
    restored = House(tmp_path / "restored", f"sqlite:///{tmp_path / 'restored' / 'ledger.sqlite'}")
    restore(restored, archive)  # it still verifies, and its rows read as erased
    report = verify(restored, None)
    assert report["ok"]
    assert "3 rows read as erased" in report["notes"][0]


def test_an_old_copy_that_brings_the_text_back_is_seen(house: House) -> None:
    (found, *_) = tracing.find_subject(house, "Jane Doe")
    path = house.home / "store" / "rows" / f"{found.rows.removeprefix('rows:')}.jsonl"
    old = path.read_bytes()
    erasing.erase(house, None, "Jane Doe", "asked")
    path.write_bytes(old)
    (problem,) = verify(house, None)["problems"]
    assert problem["where"] == found.name
    erasing.erase(house, found.name, None, "again")
    assert verify(house, None)["ok"]


def test_answers_in_the_request_records_go_too(house: House) -> None:
    from sqlalchemy import insert

    from serving.tables import Tables, requests, texts

    file = house.home / "serving" / "requests.sqlite"
    tables = Tables(file)
    row = {column.name: 0 for column in requests.columns if not column.nullable} | {
        "seq": 1, "id": "chatcmpl-1", "key_id": "k", "unit": "u", "alias": "bot-1", "version": "bot@1",
        "arm": "champion", "operation": "chat", "text": "h1",
    }  # fmt: skip
    with tables.writing() as connection:
        connection.execute(insert(requests), row)
        for name, body in (("h1", b'{"prompt":"I am Jane Doe"}'), ("h2", b'{"prompt":"hello"}')):
            connection.execute(insert(texts), {"hash": name, "at": 0, "body": body})
    tables.close()
    back = tracing.trace_answer(house, "chatcmpl-1")
    assert tracing.trace_answer(house, "1") == back  # by the x-request-id
    assert (back["version"], back["release"]["state"]) == ("bot@1", "Released")
    with pytest.raises(NotFound, match="no answer chatcmpl-2"):
        tracing.trace_answer(house, "chatcmpl-2")
    assert erasing.erase(house, None, "Jane Doe", "asked")["request_texts"] == 1
    data = b"".join(path.read_bytes() for path in file.parent.glob("requests.sqlite*"))
    assert b"Jane Doe" not in data
    assert b"hello" in data


def test_the_verbs(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TUNEGATE_HOME", str(house.home))

    def run(*args: str) -> Any:
        return CliRunner().invoke(app, list(args))

    assert "answers on: bot-1 (champion)" in run("trace", "--subject", "Jane Doe").output
    assert "bot@1  Released, champion of bot-1" in run("trace", "bot@1").output
    assert isinstance(run("trace").exception, BadInput)
    assert isinstance(run("trace", "bot@1", "--subject", "x").exception, BadInput)
    assert "nothing was erased; give --reason" in run("erase", "--subject", "Jane Doe").output
    assert "revoked" in run("erase", "--subject", "Jane Doe", "--reason", "asked").output
    row = house.ledger.events("erased")[0].body["rows"][0]
    told = run("trace", "--row", f"{row['rows']}#{row['row']}").output
    assert "erased" in told and "answers on: no route" in told


@pytest.mark.parametrize(
    "text",
    [
        '{"text":"Dear\\nJane Doe"}', '{"text":"\\tJane\\nDoe,"}', '{"text":"it is \\"Jane Doe\\""}', "JANE  DOE",
        '{"messages":[{"content":"by Jane Doe","role":"user"}]}', '{"Jane Doe":1}',
    ],
)  # fmt: skip
def test_a_subject_is_found_however_it_is_written(told: Any, text: str) -> None:
    commitment = told.house.rows.put([text])
    assert [(item.rows, item.row) for item in tracing.find_subject(told.house, "Jane Doe")] == [(commitment, 0)]
    assert tracing.find_subject(told.house, "ane Doe") == []


def test_a_letter_with_its_accent_apart_is_the_same_letter(told: Any) -> None:
    told.house.rows.put(["Jose\u0301 Mu\u0308ller", "JOS\u00c9 M\u00dcLLER", "Jose Muller"])
    assert sorted(item.row for item in tracing.find_subject(told.house, "Jos\u00e9 M\u00fcller")) == [0, 1]


def test_what_erasing_does_not_reach_is_told(told: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Answers to evaluation items are what evidence stands on; they stay, and who erases hears of it."""
    samples = told.house.store.put_json([{"answer": "I am Jane Doe"}])
    made = told.evidence
    monkeypatch.setattr(told, "evidence", lambda *given: made(*given).model_copy(update={"samples": samples}))
    learn(told, 1, [JANE])
    assert erasing.preview(told.house, None, "Jane Doe")["in_evaluations"] == [samples]
    assert erasing.erase(told.house, None, "Jane Doe", "asked")["in_evaluations"] == [samples]
    assert verify(told.house, None)["ok"]


def test_a_subject_who_is_in_no_row_is_erased_from_requests(told: Any) -> None:
    from sqlalchemy import insert

    from serving.tables import Tables, texts

    house = told.house
    learn(told, 1, [OTHER])
    with pytest.raises(NotFound, match="nothing was erased"):
        erasing.erase(house, None, "Jane Doe", "asked")
    tables = Tables(house.home / "serving" / "requests.sqlite")
    with tables.writing() as connection:
        connection.execute(insert(texts), {"hash": "h", "at": 0, "body": b'{"prompt":"Hi,\\nJane Doe here"}'})
    tables.close()
    assert erasing.preview(house, None, "Jane Doe")["request_texts"] == 1
    done = erasing.erase(house, None, "Jane Doe", "asked")
    assert (done["request_texts"], done["rows"], done["candidates"]) == (1, [], [])
    with pytest.raises(NotFound):
        erasing.preview(house, None, "Jane Doe")
