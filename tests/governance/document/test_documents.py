"""What single documents promise: the card loads with the Hub's own classes, the bill of materials is valid."""

import copy
import json
from dataclasses import replace
from typing import Any

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from governance.document.held import Held
from governance.document.making import make, render
from governance.document.model import Document, Entry, Table
from governance.judge import judge
from tests.governance.document.conftest import CONFIG, POLICY, Make, base, dataset, digest
from tunegate_core.errors import BadInput
from tunegate_core.records import Augmentation, GroupOutcome, Interval


def entry(document: Document, name: str) -> Entry:
    return next(entry for entry in document.entries() if entry.id == name)


def cells(document: Document, name: str) -> list[tuple[str, ...]]:
    return [row.cells for table in entry(document, name).tables for row in table.rows]


def test_the_report_gives_the_verdict_with_every_reason(whole: Held) -> None:
    report = make("evaluation-report", whole)
    assert whole.verdict is not None
    assert entry(report, "verdict").facts[0].value == "PASS"
    assert cells(report, "checks") == [(r.check, r.outcome, r.reason) for r in whole.verdict.results]
    assert cells(report, "decisions")[0][0] == "approved"


@pytest.mark.parametrize(
    ("counts", "outcome"), [((40, 5, 55), "PASS"), ((5, 40, 55), "FAIL"), ((3, 2, 95), "UNDECIDED")]
)
def test_the_report_tells_every_outcome(make: Make, counts: tuple[int, int, int], outcome: str) -> None:
    from governance.document.making import make as document

    report = document("evaluation-report", make(counts=counts))
    assert entry(report, "verdict").facts[0].value == outcome
    assert (entry(report, "released").open is None) == (outcome == "PASS")


def test_every_figure_has_its_n_and_bounds(make: Make) -> None:
    from governance.document.making import make as document

    report = document("evaluation-report", make(unmeasured={"no answer": 7, "too long": 3}))
    assert ("facts", "acc", "candidate", "95.0", "90.1 to 97.5", "100", "100", "no answer: 7, too long: 3") in cells(
        report, "scores"
    )
    assert cells(report, "differences")[0][:4] == ("facts", "acc", "base", "+35.0")
    assert cells(report, "differences")[0][5:9] == ("100", "100", "40", "5")
    spans = [row.span for row in entry(report, "scores").tables[0].rows]
    assert all(span and span.low <= span.value <= span.high for span in spans)


def test_scores_of_answers_that_were_cut_off_or_declined_are_told(make: Make) -> None:
    from governance.document.making import make as document

    held = make(unmeasured={"no answer": 7})
    (found,) = held.evidence
    ours = found.arms[0].model_copy(update={"doubtful": {"cut off": 3, "refused": 1}})
    found = found.model_copy(update={"arms": (ours, *found.arms[1:])})
    verdict = judge(POLICY, ours.subject, [found], 2, None)
    told = document("evaluation-report", replace(held, evidence=[found], verdict=verdict))
    lost = ("facts", "candidate", "100", "7", "no answer: 7", "cut off: 3, refused: 1")
    assert lost in cells(told, "lost")
    score = next(row for row in cells(told, "scores") if row[2] == "candidate")
    assert score[-1] == "no answer: 7, scored but cut off: 3, scored but refused: 1"


def test_what_was_not_measured_is_never_zero(make: Make) -> None:
    from governance.document.making import make as document

    held = make(counts=(0, 0, 0), unmeasured={"no answer": 7})
    report = document("evaluation-report", held)
    row = next(row for row in cells(report, "scores") if row[2] == "candidate")
    assert row[3:5] == ("not measured", "none")
    card = document("model-card", held)
    assert card.metadata is not None
    assert "model-index" not in card.metadata and "metrics" not in card.metadata


def test_groups_are_told_where_tasks_name_them(make: Make) -> None:
    from governance.document.making import make as document

    held = make(groups=True, counts=(40, 10, 50))
    found = cells(document("evaluation-report", held), "groups")
    scores = {row[2:5]: row[5] for row in found if len(row) == 7}
    assert scores["old", "50", "candidate"] == "90.0"  # gained 40 and same 50, every second item
    assert set(scores) == {(group, "50", arm) for group in ("old", "young") for arm in ("candidate", "base")}
    (apart,) = [row for row in found if len(row) == 5 and row[2] == "candidate"]
    assert apart[3] == "0.0"
    for kind, name in (("model-card", "groups"), ("annex-iv", "2g-groups"), ("nist-ai-rmf", "MEASURE 2.11")):
        assert entry(document(kind, held), name).open is None
        assert entry(document(kind, make()), name).open is not None


def test_the_fairness_report_tells_what_checks_found_for_each_group(make: Make) -> None:
    from governance.document.making import make as document

    held = make(groups=True, counts=(40, 10, 50))
    interval = Interval(value=-0.12, low=-0.2, high=-0.04, confidence=0.95, n=50, clusters=50, method="told")
    old = GroupOutcome(column="age", group="old", outcome="FAIL", interval=interval)
    young = GroupOutcome(column="age", group="young", outcome="UNDECIDED")
    assert held.verdict is not None
    judged = held.verdict.results[0].model_copy(update={"groups": (old, young)})
    verdict = held.verdict.model_copy(update={"results": (judged,)})
    report = document("fairness-report", replace(held, verdict=verdict))
    assert cells(report, "group-checks") == [
        (judged.check, "age: old", "FAIL", "-12.0", "-20.0 to -4.0", "50"),
        (judged.check, "age: young", "UNDECIDED", "not measured", "none", "0"),
    ]
    known = {row[2]: row[5] for row in cells(report, "known")}
    assert set(known) == {"old", "young"} and known["old"] == "something"
    for name in ("groups", "known", "group-checks"):
        assert entry(document("fairness-report", make()), name).open is not None
    assert entry(report, "others").open is not None


def test_what_changed_for_a_group_is_told_with_its_bounds(make: Make) -> None:
    from governance.document.making import make as document

    held = make(groups=True, counts=(40, 10, 50))
    (item,) = held.evidence
    pair = item.pairs[0].model_copy(update={"clusters": item.pairs[0].clusters[:50]})  # 40 gained, 10 lost
    groups = (item.groups[0].model_copy(update={"pairs": (pair,)}), item.groups[1])
    found = replace(held, evidence=[item.model_copy(update={"groups": groups})])
    (row,) = [row for row in cells(document("evaluation-report", found), "groups") if row[4] == "the base"]
    assert row[:6] == ("facts", "age", "old", "50", "the base", "+60.0")
    low, high = map(float, row[6].split(" to "))
    assert 0 < low < 60 < high < 100


def test_a_preference_is_told_as_a_win_rate(make: Make) -> None:
    from governance.document.making import make as document

    held = make(counts=(40, 10, 50))
    (item,) = held.evidence
    ours = item.arms[0].model_copy(update={"clusters": ((1, 1.0, 1.0),) * 60 + ((1, 0.5, 0.25),) * 40})
    preferred = item.model_copy(
        update={"task": "chat", "metric": "preferred", "scale": "share", "arms": (ours, item.arms[1]), "people": 3}
    )
    (row,) = cells(document("evaluation-report", replace(held, evidence=[item, preferred])), "preference")
    assert row[:3] == ("chat", "base", "80.0")
    low, high = map(float, row[3].split(" to "))
    assert low < 80 < high
    assert row[4:] == ("100", "100", "3", "none")
    assert entry(document("evaluation-report", held), "preference").open is not None


def test_items_that_training_saw_are_told(make: Make) -> None:
    from governance.document.making import make as document

    assert ("facts", "6", "1", "2", "3", "21") in cells(document("evaluation-report", make()), "overlap")


def test_answers_to_another_form_of_a_question_are_told(make: Make) -> None:
    from governance.document.making import make as document

    (row,) = cells(document("evaluation-report", make()), "robustness")
    assert row[:4] == ("facts", "plain", "candidate", "100.0")
    assert row[-1] == "2"


def test_copies_of_rows_are_counted_apart(make: Make) -> None:
    from governance.document.making import make as document

    made = Augmentation(pairs=digest("9"), copies=12, dropped=1, unchanged=2, ambiguous=3)
    told = cells(document("data-sheet", make(data=dataset(augmented=made))), "composition-2")
    assert ("learnt as well: copies about the other group", "12") in told


def test_the_card_loads_with_the_classes_of_the_hub(make: Make) -> None:
    from huggingface_hub import ModelCard

    from governance.document.making import make as document

    held = make(base=base(source="hub://org/m@abc"), data=dataset(source="hub://org/d"))
    card = ModelCard(render(document("model-card", held), "markdown").decode())
    data = card.data
    assert (data.base_model, data.license, data.library_name, data.datasets) == (
        "org/m",
        "apache-2.0",
        "peft",
        ["org/d"],
    )
    assert data.model_name == "bot@1"
    assert data.get("base_model_relation") == "adapter"
    (result,) = data.eval_results
    assert (result.dataset_name, result.metric_type, result.metric_value) == ("facts", "acc", 0.95)
    assert result.dataset_revision == digest("0")
    assert card.text.lstrip().startswith("# Model card: bot@1")


def test_a_card_names_nothing_that_is_not_recorded(make: Make) -> None:
    from governance.document.making import make as document

    card = document("model-card", make(base=base(licence=None)))
    assert card.metadata is not None
    assert not {"license", "base_model", "datasets", "language"} & set(card.metadata)


def problems(bill: dict[str, Any]) -> object:
    return JsonStrictValidator(SchemaVersion.V1_6).validate_str(json.dumps(bill))


def test_the_bill_of_materials_is_valid(make: Make) -> None:
    from governance.document.making import make as document

    stories = [{}, {"upto": "planned"}, {"source_adapter": "bot@9", "data": None}, {"base": base(licence=None)},
               {"counts": (0, 0, 0), "unmeasured": {"no answer": 7}}]  # fmt: skip
    for changes in stories:
        made = document("ml-bom", make(**changes))
        assert json.loads(render(made, "json")) == made.own_form
        assert problems(made.own_form or {}) is None
    broken = copy.deepcopy(document("ml-bom", make()).own_form or {})
    broken["metadata"]["component"]["modelCard"]["conforms"] = True
    assert problems(broken) is not None


def test_the_bill_names_what_the_adapter_stands_on(whole: Held) -> None:
    bill = make("ml-bom", whole).own_form
    assert bill is not None
    model = bill["metadata"]["component"]
    assert (model["type"], model["name"], model["version"]) == ("machine-learning-model", "bot", "2")
    assert model["components"][0]["hashes"] == [{"alg": "SHA-256", "content": "9" * 64}]
    parts = {part["bom-ref"]: part for part in bill["components"]}
    assert parts["rows:" + "d" * 64]["type"] == "data"
    assert parts["pypi:torch"]["purl"] == "pkg:pypi/torch@2.13.0"
    assert model["modelCard"]["modelParameters"]["datasets"] == [{"ref": "rows:" + "d" * 64}]
    (depends,) = [line["dependsOn"] for line in bill["dependencies"] if line["ref"] == "bot@2"]
    assert set(depends) == set(parts)
    leaves = {proof.seq: proof.leaf for proof in make("ml-bom", whole).extract}
    for part in bill["components"]:
        told = {line["name"]: line["value"] for line in part["properties"]}
        assert told["tunegate:leaf"] == leaves[int(told["tunegate:event"])]


def tables(document: Document, name: str) -> list[Table]:
    return list(entry(document, name).tables)


def test_a_change_log_tells_what_differs(make: Make) -> None:
    from governance.document.making import make as document

    changed = {**CONFIG, "finetune": {**CONFIG["finetune"], "lora": {"rank": 16, "targets": "all-linear"}}}
    later = make(version=2, first=20, config=changed, data=dataset(tokens=5))
    log = document("change-log", replace(later, other=make()))
    assert cells(log, "config") == [("finetune.lora.rank", "8", "16"), ("finetune.lora.rslora", "yes", "-")]
    assert cells(log, "data") == [("tokens", "4,321", "5")]
    assert entry(log, "policy").facts[0].value.startswith("the same")
    assert cells(log, "scores")[0][0] == "facts acc"
    assert {source.event for source in entry(log, "config").sources()} == {0, 20}


def test_scores_on_other_items_are_not_set_side_by_side(make: Make) -> None:
    from governance.document.making import make as document

    later = make(version=2, first=20, items={"facts": {"digest": digest("f"), "n": 100}})
    log = document("change-log", replace(later, other=make()))
    assert cells(log, "items") == [("facts", digest("0"), digest("f"))]
    assert entry(log, "scores").open == "No task was measured for both on the same items."


def test_a_change_log_needs_two(make: Make) -> None:
    from governance.document.making import make as document

    with pytest.raises(BadInput, match="name one with --against"):
        document("change-log", make())
