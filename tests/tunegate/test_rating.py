"""From one config to a release that people asked for: real answers of a tiny model, rated, judged, released."""

import json
from pathlib import Path

import pytest

from eval.feedback import answers
from eval.feedback.entry import Entry
from finetune.base import materialise
from governance.lifecycle import Planned
from governance.policy import ApprovalRule
from tests.eval.conftest import tiny_adapter  # noqa: F401 - a fixture
from tests.tunegate.rated import DIGEST, LIKED
from tunegate.feedback import record, recorded
from tunegate.house import House, silent
from tunegate.rating import sheets
from tunegate.reading import where
from tunegate.recording import append, record_once, standing
from tunegate.release import release
from tunegate_core.config.schema import BaseBlock
from tunegate_core.records import AdapterRecord

PROMPTS = 12
CONFIG = """\
name: chosen
finetune: {adapter: elsewhere@1}
eval:
  tasks:
    - {name: chat, feedback: prompts.jsonl}
governance: {policy: policy.yaml}
"""
POLICY = """\
name: liked
checks:
  - {id: liked, kind: preferred, task: chat}
approvals: {required: 0}
"""


def seal_elsewhere(house: House, base_folder: Path, adapter_folder: Path) -> None:
    """elsewhere@1: a sealed adapter of a tiny base, told without training."""
    base = materialise(BaseBlock(model=str(base_folder)), house.store, house.cache, silent)
    tree = house.store.put_tree(adapter_folder)
    planned = Planned(
        name="elsewhere", version=1, route="elsewhere", run="told", starter="0" * 16, config=DIGEST, base=base,
        data=None, policy=house.store.put(LIKED.canonical()), margins=LIKED.margins(), approvals=ApprovalRule(),
        items={}, champion=None, source_adapter="before@1", attempt=1,
    )  # fmt: skip
    adapter = AdapterRecord(
        tree=tree, base=base.tree, template=base.template, config=DIGEST, rank=4, target_modules=("q_proj",),
        parameters=1,
    )  # fmt: skip
    with house.ledger.write() as tx:
        append(house, tx, "elsewhere@1", "planned", planned.model_dump(mode="json"), "plan/elsewhere")
    record_once(house, "elsewhere@1", "sealed", lambda: {"adapter": adapter.model_dump(mode="json")})


@pytest.mark.slow
def test_people_decide(
    home: Path,
    tmp_path: Path,
    tiny_base: Path,
    tiny_adapter: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(answers, "MOST_TOKENS", 8)
    house = House(home, f"sqlite:///{home / 'ledger.sqlite'}")
    seal_elsewhere(house, tiny_base, tiny_adapter)
    rows = [{"id": f"p{n}", "prompt": f"What is number {n} good for?"} for n in range(PROMPTS)]
    (tmp_path / "prompts.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "config.yaml").write_text(CONFIG)
    (tmp_path / "policy.yaml").write_text(POLICY)
    assert release(house, tmp_path / "config.yaml") == "chosen@1"
    assert where(standing(house, "chosen@1")) == "undecided"
    (sheet,) = sheets(house, "chosen@1")
    asked = [index for index in range(PROMPTS) if not sheet.is_alike(index)]
    assert asked, "the adapter changes the base's answers"
    said = [
        Entry(
            kind="preference", item=f"p{n}", author="ann", value="b", a="base", b="chosen@1", origin="test",
            answer_a=sheet.other.answers[n], answer_b=sheet.candidate.answers[n],
        )
        for n in asked
    ]  # fmt: skip
    record(house, said, "file")
    monkeypatch.setattr(answers, "answer_all", None)  # nothing is answered again
    release(house, tmp_path / "config.yaml")
    assert where(standing(house, "chosen@1")) == "released"
    assert len(recorded(house).entries) == len(asked)
    house.ledger.close()


def test_finished_answers_are_recalled_and_damaged_ones_are_not(tmp_path: Path) -> None:
    path = tmp_path / "answers" / "one.json"
    answers._keep(path, ("yes", "no"))
    assert answers._recall(path, 2) == ("yes", "no")
    assert answers._recall(path, 3) is None
    path.write_bytes(path.read_bytes()[:-2] + b"X]")
    assert answers._recall(path, 2) is None
    assert answers._recall(tmp_path / "absent.json", 2) is None
