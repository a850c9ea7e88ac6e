"""People declare what no record answers; documents show it as theirs, and no declaration stands beside a record."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from typer.testing import CliRunner

from governance.document.making import kinds, render
from governance.document.model import Entry
from tunegate import declared, declaring
from tunegate.cli import app
from tunegate.documenting import document
from tunegate.erasing import erase
from tunegate.exporting import export_release
from tunegate.house import House
from tunegate.proving import verify
from tunegate_core.errors import BadInput, NotFound
from tunegate_core.rows import Rows

PURPOSE = "Answers questions about boats."


def house_of(home: Path) -> House:
    return House(home, f"sqlite:///{home / 'ledger.sqlite'}")


def declare(house: House, said: Any, version: str = "bot@1") -> dict[str, Any]:
    file = house.home / "declared.yaml"
    file.write_text(said if isinstance(said, str) else yaml.safe_dump(said, sort_keys=False))
    return declaring.declare(house, version, file)


def entry(house: House, kind: str, field: str, version: str = "bot@1") -> Entry:
    return next(entry for entry in document(house, version, kind).entries() if entry.id == field)


def test_a_declaration_is_shown_as_one_with_its_event(told_home: Path) -> None:
    house = house_of(told_home)
    before = document(house, "bot@1", "model-card")
    assert entry(house, "model-card", "direct-use").open is not None
    done = declare(house, {"model-card": {"direct-use": f" {PURPOSE}\n"}, "annex-iv": {"1a-purpose": PURPOSE}})
    assert done["declared"] == ["model-card/direct-use", "annex-iv/1a-purpose"]
    (fact,) = entry(house, "model-card", "direct-use").facts
    assert (fact.name, fact.value) == (f"declared by key {house.person_key(house.person).key_id}", PURPOSE)
    assert [source.event for source in fact.sources] == [done["event"]]
    after = document(house, "bot@1", "model-card")
    assert len(after.open_points()) == len(before.open_points()) - 1
    assert done["event"] in {proof.seq for proof in after.extract}
    for form in ("html", "markdown", "json", "pdf"):
        assert form == "pdf" or PURPOSE in render(after, form).decode()
    assert entry(house, "model-card", "direct-use", "bot@2").open is not None  # of one version
    assert verify(house, None)["ok"]


def test_declared_words_are_not_drawn_as_a_verdict(told_home: Path) -> None:
    house = house_of(told_home)
    declare(house, {"model-card": {"direct-use": "PASS"}})
    page = render(document(house, "bot@1", "model-card"), "html").decode()
    assert "<dd>PASS<" in page and '<dd><b class="PASS">PASS</b>' in page  # hers, and the policy's


def test_the_ledger_holds_the_fields_and_not_the_words(told_home: Path) -> None:
    house = house_of(told_home)
    done = declare(house, {"model-card": {"contact": "ann@example.org"}})
    event = next(event for event in house.existing_ledger.events(declared.DECLARED) if event.seq == done["event"])
    assert event.subject is None and event.body["fields"] == [["model-card", "contact"]]
    assert b"example.org" not in event.canonical()


def test_the_latest_counts_and_the_same_again_is_not_recorded(told_home: Path) -> None:
    house = house_of(told_home)
    declare(house, {"model-card": {"direct-use": "Boats.", "contact": "ann"}})
    second = declare(house, {"model-card": {"direct-use": PURPOSE, "contact": "ann"}})
    assert second["declared"] == ["model-card/direct-use"]
    assert entry(house, "model-card", "direct-use").facts[0].value == PURPOSE
    assert entry(house, "model-card", "contact").facts[0].value == "ann"
    size = house.existing_ledger.size()
    again = declare(house, {"model-card": {"direct-use": PURPOSE}})
    assert (again["event"], again["declared"], house.existing_ledger.size()) == (None, [], size)
    assert declare(house, {"model-card": {"direct-use": ""}})["open"] == second["open"] + 1
    assert entry(house, "model-card", "direct-use").open is not None
    assert declare(house, {"model-card": {"direct-use": ""}})["event"] is None


def test_what_is_erased_is_gone_from_documents(told_home: Path) -> None:
    house = house_of(told_home)
    done = declare(house, {"model-card": {"contact": "ann@example.org", "developers": "The desk"}})
    told = erase(house, None, "ann@example.org", "she left")
    assert len(told["rows"]) == 1 and told["candidates"] == []
    assert entry(house, "model-card", "contact").facts[0].value == "(erased)"
    assert entry(house, "model-card", "developers").facts[0].value == "The desk"
    assert verify(house, None)["ok"]
    assert declare(house, {"model-card": {"contact": "ann@example.org"}})["event"] > done["event"]
    assert entry(house, "model-card", "contact").facts[0].value == "ann@example.org"


def test_an_exported_folder_says_whose_words_are_in_it(told_home: Path, tmp_path: Path) -> None:
    house, out = house_of(told_home), tmp_path / "out"
    declare(house, {"model-card": {"contact": "ann@example.org"}})
    export_release(house, "bot@1", out)
    assert "ann@example.org" in (out / "documents" / "model-card.html").read_text()
    assert "What people declared" in (out / "README.md").read_text()


def test_lost_words_are_found_by_verify(told_home: Path) -> None:
    house = house_of(told_home)
    done = declare(house, {"model-card": {"contact": "ann"}})
    (event,) = house.existing_ledger.events(declared.DECLARED)
    Path(Rows(house.store_url)._path(event.body["rows"])).unlink()
    assert [problem["first"] for problem in verify(house, None)["problems"]] == [done["event"]]


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ({"model-card": {"results": "best"}}, "line 2: model-card.results: records answer this"),
        ({"model-card": {"direct-uses": "x"}}, r"there is no such field \(did you mean 'direct-use'\?\)"),
        (
            {"model-cart": {"direct-use": "x"}},
            r"line 1: model-cart: no document of bot@1 of this kind .* \(did you mean 'model-card'\?\)",
        ),
        ({"change-log": {"first": "x"}}, "line 1: change-log: no document of bot@1 of this kind"),
        ({"model-card": "x"}, "line 1: model-card: expected its fields"),
        ({"model-card": {"contact": 7}}, r"line 2: model-card.contact: expected text \(put it in quotes\); found 7"),
        ({"annex-iv": {5: "x"}}, "line 2: annex-iv.5: put the field's name in quotes"),
        ({"model-card": {"contact": "x" * 4001}}, "4,001 characters; expected at most 4,000"),
        ('{"model-card": {"contact": "\\ud83d\\ude00"}}', r"line 1: model-card.contact: holds U\+D83D"),
        (
            'model-card:\n  contact: "ann\\e[2J"\n',
            r"line 2: model-card.contact: holds U\+001B, which is no letter or sign",
        ),
        ('model-card:\n  contact: "a\\x7f"\n', r"holds U\+007F"),
        ('model-card:\n  contact: "PASS \\u202e[12]"\n', r"holds U\+202E"),
        ('model-card:\n  contact: "\\uffff"\n', r"holds U\+FFFF"),
        ({"model-card": {"contact": None}}, "every field is empty"),
        ("- a\n", "expected kinds of documents"),
        ("", "expected kinds of documents"),
    ],
)
def test_what_can_not_be_declared_is_told_and_nothing_is_recorded(said: Any, why: str, told_home: Path) -> None:
    house = house_of(told_home)
    size = house.existing_ledger.size()
    with pytest.raises(BadInput, match=why):
        declare(house, said)
    assert house.existing_ledger.size() == size
    with pytest.raises(NotFound):
        declare(house, {"model-card": {"contact": "x"}}, "bot@77")


def test_a_record_that_comes_later_counts(told_home: Path) -> None:
    house = house_of(told_home)
    assert entry(house, "model-card", "results", "bot@5").open is not None  # only planned
    declare(house, {"model-card": {"results": "very good"}}, "bot@5")
    assert entry(house, "model-card", "results", "bot@5").facts[0].value == "very good"
    declared.record(house, "bot@1", {("model-card", "results"): "very good"})  # as if before its examination
    assert all("very good" not in fact.value for fact in entry(house, "model-card", "results").facts)


def test_what_letters_and_emoji_need_is_text(told_home: Path) -> None:
    house = house_of(told_home)
    said = "می\u200cخواهم, \u05d0\u200f, \U0001f469\u200d\U0001f4bb, ❤\ufe0f"
    declare(house, {"model-card": {"contact": said}})
    assert entry(house, "model-card", "contact").facts[0].value == said
    assert yaml.safe_load(declaring.template(house, "bot@1"))["model-card"]["contact"] == said


def test_a_file_filled_in_early_can_be_declared_again(told_home: Path, tmp_path: Path) -> None:
    """What was still open when the file was printed, and left empty, is not declared: a record may answer it since."""
    house, file = house_of(told_home), tmp_path / "early.yaml"
    file.write_text(declaring.template(house, "bot@5").replace('"direct-use":', f'"direct-use": {PURPOSE}'))
    assert '"results":\n' in file.read_text()  # bot@5 is only planned
    assert declaring.declare(house, "bot@1", file)["declared"] == ["model-card/direct-use"]


def test_the_log_holds_every_declaration(told_home: Path) -> None:
    house = house_of(told_home)
    done = [declare(house, {"model-card": {"direct-use": text}})["event"] for text in ("Cars.", PURPOSE, "")]
    (table,) = entry(house, "article-12", "12-1").tables
    assert [int(row.cells[0]) for row in table.rows if row.cells[2] == declared.DECLARED] == done


def test_the_card_takes_its_front_matter_from_what_was_declared(told_home: Path) -> None:
    house = house_of(told_home)

    def card(**said: str) -> dict[str, Any]:
        declare(house, {"model-card": {field.replace("_", "-"): text for field, text in said.items()}})
        return document(house, "bot@1", "model-card").metadata or {}

    plain = document(house, "bot@1", "model-card").metadata or {}
    assert not {"language", "base_model", "datasets"} & set(plain)
    said = card(licence_adapter="mit", language="en, de", base_hub="org/base", data_hub="org/rows")
    wanted = {"license": "mit", "language": ["en", "de"], "base_model": "org/base", "datasets": ["org/rows"]}
    assert wanted.items() <= said.items()
    loose = card(licence_adapter="For us alone", language="English", base_hub="ours", data_hub="ours")
    assert loose == {**plain, "license": "other"}
    none = card(licence_adapter="n/a", language="all of it", base_hub="n/a", data_hub="../rows")
    assert none == {**plain, "license": "other"}


def test_the_bill_of_materials_holds_what_was_declared_of_it(told_home: Path) -> None:
    house = house_of(told_home)

    def properties() -> dict[str, str]:
        bill = json.loads(render(document(house, "bot@1", "ml-bom"), "json"))
        assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(json.dumps(bill)) is None
        found = bill["metadata"]["component"]["properties"]
        prefix = "tunegate:declared:"
        return {each["name"].removeprefix(prefix): each["value"] for each in found if each["name"].startswith(prefix)}

    assert properties() == {}
    done = declare(house, {"ml-bom": {"supplier": "Ann <ann@example.org>"}, "model-card": {"contact": "ann"}})
    declared.record(house, "bot@1", {("ml-bom", "metrics"): "very good"})  # as if before its examination
    event = str(done["event"])
    assert properties() == {"supplier": "Ann <ann@example.org>", "supplier:event": event}
    erase(house, None, "ann@example.org", "she left")
    assert properties() == {"supplier": "(erased)", "supplier:event": event}


def test_the_template_holds_every_open_point_and_what_was_declared(told_home: Path, tmp_path: Path) -> None:
    house = house_of(told_home)
    said = 'With "quotes", a # sign: and ünïcode'
    declare(house, {"model-card": {"contact": said}})
    text = declaring.template(house, "bot@1")
    read = yaml.safe_load(text)
    assert read["model-card"]["contact"] == said
    for kind in kinds():
        if kind != "change-log":
            left = {point.id for point in document(house, "bot@1", kind).open_points()}
            assert {field for field, value in read.get(kind, {}).items() if value is None} == left
    filled = tmp_path / "filled.yaml"
    filled.write_text(text.replace('"carbon":', '"carbon": none that was measured'))
    assert declaring.declare(house, "bot@1", filled)["declared"] == ["model-card/carbon"]


def test_the_verb(told_home: Path, tmp_path: Path) -> None:
    def run(*args: str) -> Any:
        return CliRunner(env={"COLUMNS": "200"}).invoke(app, ["declare", "bot@1", *args])

    file = tmp_path / "declared.yaml"
    file.write_text(run("--template").stdout.replace('"direct-use":', f'"direct-use": "{PURPOSE}"'))
    said = json.loads(run(str(file), "--json").stdout)
    assert said["declared"] == ["model-card/direct-use"] and said["open"] > 0
    assert f"nothing new was declared; {said['open']} points of its documents stay open" in run(str(file)).stdout
    assert isinstance(run().exception, BadInput) and isinstance(run(str(file), "--template").exception, BadInput)
