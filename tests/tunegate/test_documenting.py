"""Documents of a real home: made from its ledger and store, the same until the ledger grows."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from governance.document.making import kinds
from governance.document.model import Document
from tunegate import deciding
from tunegate.cli import app
from tunegate.documenting import document, write_all
from tunegate.house import House
from tunegate.recording import standing, verdict_of
from tunegate_core.errors import BadInput, IntegrityError, NotFound


def house_of(home: Path) -> House:
    return House(home, f"sqlite:///{home / 'ledger.sqlite'}")


def test_a_report_names_all_that_stands_behind_the_verdict(told_home: Path) -> None:
    house = house_of(told_home)
    now, report = standing(house, "bot@1"), document(house, "bot@1", "evaluation-report")
    verdict = verdict_of(house, now)
    assert verdict is not None
    text = report.model_dump_json()
    named = [verdict.digest(), *verdict.evidence, now.adapter.tree, now.body("released")["statement"]]
    assert [name for name in named if name not in text] == []
    assert report.state == "Released"
    assert report.head.size == house.existing_ledger.size()
    assert report.head.root == house.existing_ledger.head()[1].hex()
    assert document(house, "bot@1", "evaluation-report") == report
    assert "FAIL" in document(house, "bot@2", "evaluation-report").model_dump_json()


def test_a_document_of_a_plan_is_mostly_open(told_home: Path) -> None:
    made = document(house_of(told_home), "bot@5", "evaluation-report")
    assert {entry.id for entry in made.open_points()} >= {"verdict", "checks", "scores", "released"}


def test_who_decided_is_told_and_why_is_not(told_home: Path) -> None:
    house = house_of(told_home)
    key = deciding.create_key(house, "reviewer")["key_id"]
    before = document(house, "bot@4", "evaluation-report")
    assert "decisions" in {entry.id for entry in before.open_points()}
    deciding.refuse(house, "bot@4", "reviewer", "not now")
    after = document(house, "bot@4", "evaluation-report")
    (row,) = next(entry for entry in after.entries() if entry.id == "decisions").tables[0].rows
    assert (row.cells[0], row.cells[2]) == ("refused", key)
    assert "not now" not in after.model_dump_json()
    assert after.head.size > before.head.size


def test_a_changed_record_makes_no_document(told_home: Path) -> None:
    house = house_of(told_home)
    name = standing(house, "bot@1").body("judged")["verdict"].removeprefix("sha256:")
    (path,) = (path for path in (told_home / "store").rglob("*") if name[4:] in path.name)
    path.chmod(0o600)
    path.write_bytes(path.read_bytes().replace(b"PASS", b"FAIL"))
    with pytest.raises(IntegrityError):
        document(house, "bot@1", "evaluation-report")


def test_all_of_them_in_a_folder(told_home: Path, tmp_path: Path) -> None:
    run, out = CliRunner().invoke, tmp_path / "papers"
    done = run(app, ["document", "bot@1", "--kind", "all", "--format", "markdown", "-o", str(out)])
    assert done.exit_code == 0, done.output
    assert sorted(path.stem for path in out.iterdir()) == sorted({*kinds()} - {"change-log"})
    assert "left out change-log" in done.output
    said = write_all(house_of(told_home), "bot@2", "json", tmp_path / "second")
    assert len(said) == len(kinds())
    with pytest.raises(NotFound):
        write_all(house_of(told_home), "bot@9", "json", tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_the_verbs_write_and_print(told_home: Path, tmp_path: Path) -> None:
    run, house = CliRunner().invoke, house_of(told_home)
    asked = ["document", "bot@2", "--kind", "change-log"]
    printed = run(app, [*asked, "--json"]).output
    assert Document.model_validate(json.loads(printed)) == document(house, "bot@2", "change-log")
    assert '"bot@1"' in printed
    out = tmp_path / "report.html"
    assert run(app, ["report", "bot@1", "-o", str(out)]).exit_code == 0
    assert out.read_text() == run(app, ["report", "bot@1"]).output
    assert out.read_text().startswith("<!doctype html>")


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["bot@1", "--kind", "model-cart"], "did you mean 'model-card'"),
        (["bot@1", "--kind", "model-card"], "where to"),
        (["bot@1", "--kind", "all"], "-o FOLDER"),
        (["bot@1", "--kind", "change-log", "--json"], "--against"),
        (["bot@2", "--kind", "model-card", "--against", "bot@1", "--json"], "leave out --against"),
    ],
)
def test_what_can_not_be_made_is_told(told_home: Path, args: list[str], said: str) -> None:
    error = CliRunner().invoke(app, ["document", *args]).exception
    assert isinstance(error, BadInput)
    assert said in str(error)
