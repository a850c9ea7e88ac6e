"""Each form is whole, each field is answered with its events or open, and what is open is truly not recorded."""

import hashlib
import json
import re
from dataclasses import replace
from typing import Any

import pytest

from governance.document.form import NOT_RECORDED
from governance.document.held import Explained, Held
from governance.document.making import form_of, kinds, make
from governance.document.model import Document, Entry
from governance.documents.nist_ai_rmf import ANSWERS as NIST_ANSWERS
from governance.lifecycle import Planned
from tests.governance.document.conftest import CONFIG, Make, base, dataset
from tunegate_core.errors import BadInput

KINDS = (
    "annex-iv", "article-12", "change-log", "data-sheet", "evaluation-report", "fairness-report", "iso-42001", "ml-bom",
    "model-card", "nist-ai-rmf",
)  # fmt: skip
# What even a whole release leaves open although something could answer it: it did not come from the Hub, no evidence
# holds figures per group or preferences, no task is about safety, secrets or privacy, and nothing was explained.
OPEN_ALTHOUGH_ASKED = {
    "base-hub", "data-hub", "groups", "2g-groups", "3-persons", "MEASURE 2.11", "A.5.4", "preference",
    "known", "group-checks", "2h", "MEASURE 2.6", "MEASURE 2.9", "MEASURE 2.10",
}  # fmt: skip


ROWS = CONFIG["finetune"]["data"]


def asks(kind: str) -> list[Any]:
    return [ask for _, group in form_of(kind).sections for ask in group]


def entry(document: Document, name: str) -> Entry:
    return next(entry for entry in document.entries() if entry.id == name)


def texts(document: Document) -> list[str]:
    """Everything a document says about a release."""
    facts = [fact.value for entry in document.entries() for fact in entry.facts]
    rows = [row for entry in document.entries() for table in entry.tables for row in table.rows]
    return [*facts, *(cell for row in rows for cell in row.cells)]


def test_these_are_the_documents() -> None:
    assert tuple(kinds()) == KINDS
    with pytest.raises(BadInput, match="did you mean 'model-card'"):
        form_of("modelcard")


@pytest.mark.parametrize("kind", KINDS)
def test_every_field_is_backed_by_an_event_or_open(kind: str, whole: Held) -> None:
    document = make(kind, whole)
    assert [entry.id for entry in document.entries()] == [ask.id for ask in asks(kind) if not ask.is_extra]
    assert len({ask.id for ask in asks(kind)}) == len(asks(kind))
    proved = {proof.seq for proof in document.extract}
    for found in document.entries():
        assert (found.open is None) == bool(found.sources())
        assert {source.event for source in found.sources()} <= proved
    assert proved == {source.event for found in document.entries() for source in found.sources()}
    assert all(note.source for note in document.notes)


@pytest.mark.parametrize("kind", KINDS)
def test_the_extract_proves_itself(kind: str, whole: Held) -> None:
    for proof in make(kind, whole).extract:
        assert proof.leaf == hashlib.sha256(b"\0" + proof.text.encode()).hexdigest()
        said = json.loads(proof.text)
        assert (said["seq"], said["kind"], said["at"]) == (proof.seq, proof.kind, proof.at)


@pytest.mark.parametrize("kind", KINDS)
def test_open_points_are_true(kind: str, whole: Held) -> None:
    """Where all is recorded, only what nothing records stays open; each such field says so."""
    document = make(kind, whole)
    answerable = {ask.id for ask in asks(kind) if ask.answer is not None}
    assert {found.id for found in document.open_points()} & answerable <= OPEN_ALTHOUGH_ASKED
    for ask in asks(kind):
        if ask.answer is None:
            assert entry(document, ask.id).open == (ask.open or NOT_RECORDED)


@pytest.mark.parametrize("kind", sorted({*KINDS} - {"change-log"}))
def test_what_has_not_happened_is_open(kind: str, make: Make) -> None:
    """A plan alone answers nothing about training, evidence, verdict or release."""
    from governance.document.making import make as document

    found = document(kind, make(upto="planned"))
    assert {source.event for entry in found.entries() for source in entry.sources()} == {0}
    assert not {"PASS", "FAIL", "UNDECIDED", "approved"} & set(texts(found))
    later = {
        "verdict", "checks", "results", "scores", "metrics", "decisions", "run", "adapter", "released", "2g-results",
        "2g-signed", "2c-architecture", "12-2b", "MEASURE 1.3", "MEASURE 2.5", "MANAGE 1.1", "A.6.2.4", "A.6.2.5",
        "A.6.2.6",
    }  # fmt: skip
    assert {entry.id for entry in found.entries() if entry.open is None} & later == set()


@pytest.mark.parametrize(
    ("task", "answered"),
    [
        ({"metric": "acc"}, set()),
        ({"metric": "refuses", "probes": "jailbreak"}, {"MEASURE 2.6"}),
        ({"metric": "complies", "questions": "own.jsonl"}, {"MEASURE 2.6"}),
        ({"metric": "withholds", "probes": "injection"}, {"2h"}),
        ({"metric": "withholds", "probes": "memorised"}, {"MEASURE 2.10"}),
        ({"metric": "exposure", "probes": "canaries"}, {"MEASURE 2.10"}),
        ({"metric": "no_pii", "probes": "personal"}, {"MEASURE 2.10"}),
    ],
)
def test_what_a_task_is_about_answers_the_points_about_it(make: Make, task: dict, answered: set[str]) -> None:
    from governance.document.making import make as document

    held = make(config={**CONFIG, "eval": {"tasks": [{"name": "facts", **task}]}})
    found = [entry for kind in ("nist-ai-rmf", "annex-iv") for entry in document(kind, held).entries()]
    about = {"MEASURE 2.6", "MEASURE 2.10", "2h"}
    assert {entry.id for entry in found if entry.id in about and entry.open is None} == answered


def test_recorded_explanations_are_counted_without_their_words(make: Make) -> None:
    from governance.document.making import make as document

    held = make()
    told = {"prompt": "a secret", "answer": "another"}
    explained = replace(held, explained=[Explained(event=held.events[0], told=told)])
    (fact,) = entry(document("nist-ai-rmf", explained), "MEASURE 2.9").facts
    assert (fact.name, fact.value) == ("answers explained", "1")


@pytest.mark.parametrize(
    ("kind", "field", "changes"),
    [
        ("model-card", "licence", {"base": base(licence=None)}),
        ("model-card", "data", {"data": None, "source_adapter": "bot@9"}),
        ("model-card", "run", {"source_adapter": "bot@9"}),
        ("data-sheet", "composition-2", {"data": None, "source_adapter": "bot@9"}),
        ("data-sheet", "composition-4", {"config": {"finetune": {"data": {**ROWS, "form": "auto"}}}}),
        ("ml-bom", "software", {"source_adapter": "bot@9"}),
        ("annex-iv", "1c", {"source_adapter": "bot@9"}),
    ],
)
def test_a_field_opens_when_its_record_is_left_out(make: Make, kind: str, field: str, changes: dict) -> None:
    from governance.document.making import make as document

    assert entry(document(kind, make()), field).open is None
    assert entry(document(kind, make(**changes)), field).open is not None


def test_a_field_closes_when_its_record_is_there(make: Make) -> None:
    from governance.document.making import make as document

    held = make(base=base(source="hub://org/m@abc"), data=dataset(source="hub://org/d"))
    card = document("model-card", held)
    assert [fact.value for fact in entry(card, "base-hub").facts] == ["org/m"]
    assert [fact.value for fact in entry(card, "data-hub").facts] == ["org/d"]


def test_what_went_wrong_is_told(make: Make) -> None:
    from governance.document.making import make as document

    fine, bad = (document("article-12", make(counts=counts)) for counts in ((40, 5, 55), (5, 40, 55)))
    assert entry(fine, "12-2a").facts[0].value == "none in 10 events"
    assert [table.title for table in entry(bad, "12-2a").tables] == [
        "Refusals, withdrawals and stops", "Checks that did not pass",
    ]  # fmt: skip


LEAVES = (
    ("version", 7), ("champion", "bot@88"), ("starter", "ab" * 8), ("route", "elsewhere"),
    ("base.source", "pkg://another@2"), ("base.parameters", 87654), ("base.licence", "mit"),
    ("data.source", "other.jsonl"), ("data.tokens", 98765), ("data.counts.duplicate", 6543),
    ("data.rows", "rows:" + "4" * 64), ("approvals.required", 19), ("policy", "sha256:" + "3" * 64),
)  # fmt: skip


@pytest.mark.parametrize(("path", "value"), LEAVES)
def test_a_value_is_what_its_event_says(make: Make, path: str, value: Any) -> None:
    """Change a record and every document says the new value where it said the old, and nothing else."""
    from governance.document.making import make as document

    held = make(upto="planned")
    body = json.loads(json.dumps(held.events[0].body))
    inner = body
    *above, last = path.split(".")
    for key in above:
        inner = inner[key]
    old, inner[last] = inner[last], value
    subject = f"{body['name']}@{body['version']}"
    event = held.events[0].model_copy(update={"body": Planned.model_validate(body).model_dump(mode="json"),
                                              "subject": subject})  # fmt: skip
    changed = type(held)(events=[event], around=(), head=held.head, config=held.config, policy=held.policy)
    said = [(document(kind, held), document(kind, changed)) for kind in KINDS if kind != "change-log"]
    new = {source.record for _, after in said for entry in after.entries() for source in entry.sources()}
    shown = {text.replace(",", "") for _, after in said for text in texts(after)} | {str(name) for name in new}
    before = {text.replace(",", "") for was, _ in said for text in texts(was)}
    assert str(value) in shown
    assert str(value) not in before, f"{old} and {value} can't be told apart"


# What is worked out from records rather than copied: figures in percent or GiB, and our words for yes, no and nothing.
DERIVED = re.compile(
    r"every check of the policy passed|settled|none( in \d+ events)?|never|-|yes|no|Released|approved|"
    r"[+-]?\d+\.\d( to [+-]?\d+\.\d)?|\d+\.\d GiB|\d+ days|[\d.]+(e-\d+)?|the same \(\d+ values\)|"
    r"\d+\.\d \[\d+\.\d, \d+\.\d\], n=\d+"
)


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_is_said_that_no_record_holds(kind: str, whole: Held) -> None:
    """What is copied lies in a cited event, or in a record that such an event names by digest.

    The first cell of a row is its label.
    """
    stored = json.dumps([
        [side.config, side.policy.model_dump(mode="json"), side.environment.model_dump(mode="json"),
         side.verdict.model_dump(mode="json"), side.manifest.model_dump(mode="json"),
         [item.model_dump(mode="json") for item in side.evidence]]
        for side in (whole, whole.other)
    ])  # fmt: skip
    document = make(kind, whole)
    corpus = stored + "".join(proof.text for proof in document.extract)
    facts = [fact.value for entry in document.entries() for fact in entry.facts]
    rows = [row for entry in document.entries() for table in entry.tables for row in table.rows]
    said = {*facts, *(cell for row in rows for cell in row.cells[1:])}
    copied = [text for text in said if not DERIVED.fullmatch(text) and text.replace(",", "") not in corpus]
    lists = [text for text in copied if any(part not in corpus for part in text.split(", "))]
    assert [text for text in lists if text.removesuffix(" tokens").replace(",", "") not in corpus] == []


def test_the_forms_are_whole() -> None:
    """Counts and points of the public forms themselves."""
    nist = [ask.id for ask in asks("nist-ai-rmf")]
    functions = {"GOVERN": 19, "MAP": 18, "MEASURE": 22, "MANAGE": 13}
    assert {name: sum(point.startswith(f"{name} ") for point in nist) for name in functions} == functions
    assert set(NIST_ANSWERS) <= set(nist)
    iso = [ask.id for ask in asks("iso-42001")]
    per_clause = {at: sum(point.split(".")[1] == str(at) for point in iso) for at in range(2, 11)}
    assert per_clause == {2: 3, 3: 2, 4: 5, 5: 4, 6: 9, 7: 5, 8: 4, 9: 3, 10: 3}
    sheet = [ask.id.rpartition("-")[0] for ask in asks("data-sheet")]
    assert {part: sheet.count(part) for part in dict.fromkeys(sheet) if part} == {
        "motivation": 4, "composition": 16, "collection": 12, "preparation": 4, "uses": 6, "distribution": 7,
        "maintenance": 8,
    }  # fmt: skip
    annex = {ask.id.partition("-")[0] for ask in asks("annex-iv")}
    assert annex == {*(f"1{c}" for c in "abcdefgh"), *(f"2{c}" for c in "abcdefgh"), *"3456789"}
    log = {ask.id for ask in asks("article-12")}
    assert {"12-1", "12-2a", "12-2b", "12-2c", "12-3", "19"} <= log


@pytest.mark.parametrize("kind", ["annex-iv", "article-12", "nist-ai-rmf", "iso-42001"])
def test_maps_claim_no_conformity_and_rules_have_dates(kind: str, whole: Held) -> None:
    document = make(kind, whole)
    said = " ".join(note.text for note in document.notes)
    assert "no conformity" in said
    assert re.search(r"20(23|24|26|27)", said)
    assert not re.search(r"\b(complies|compliant|conforms)\b", document.model_dump_json())
