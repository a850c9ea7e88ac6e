"""A candidate whose answers people compare, told without a model: planned, sealed, examined and judged."""

import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from eval.feedback.entry import Entry
from eval.feedback.evidence import Sheet, Side, preference_evidence
from eval.task import Item
from governance.lifecycle import Planned
from governance.policy import ApprovalRule, Policy
from tunegate import steps
from tunegate.house import House
from tunegate.recording import append, record_once
from tunegate_core.records import AdapterRecord, BaseModelRecord

LIKED = Policy(
    name="liked",
    checks=({"id": "liked", "kind": "preferred", "task": "chat"},),
    approvals=ApprovalRule(required=0),
)
DIGEST = "sha256:" + "0" * 64


def tell(house: House, prompts: int = 20, name: str = "liked", raters: int = 1, more: str = "") -> Planned:
    """NAME@1 against the base, judged before anybody has rated it. Its prompts are in its plan, as a file. `more` ends
    each prompt, its answers and, cut to 100 characters, its id."""
    store = house.store
    tree, base_tree = _tree(house, f"{name}: adapter"), _tree(house, f"{name}: base")
    base = BaseModelRecord(
        source="folder", tree=base_tree, template=DIGEST, architecture="LlamaForCausalLM", parameters=1, vocabulary=1,
        hidden_size=1,
    )  # fmt: skip
    items = tuple(Item(f"p{n}{more[:100]}", prompt(n) + more, None, None, f"p{n}") for n in range(prompts))
    lines = "".join(json.dumps({"id": item.id, "prompt": item.text}) + "\n" for item in items)
    task = {"name": "chat", "feedback": store.put(lines.encode()), "questions": None, "task_yaml": None}
    planned = Planned(
        name=name, version=1, route=name, run=f"run-{name}", starter="0" * 16,
        config=store.put_json({"eval": {"tasks": [task], "batch_size": 1}}), base=base, data=None,
        policy=store.put(LIKED.canonical()), margins=LIKED.margins(), approvals=LIKED.approvals,
        items={"chat": {"digest": DIGEST, "metric": "preferred", "n": prompts, "clusters": prompts}}, champion=None,
        source_adapter="elsewhere@1", attempt=1,
    )  # fmt: skip
    adapter = AdapterRecord(
        tree=tree, base=base_tree, template=DIGEST, config=planned.config, rank=1, target_modules=("q_proj",),
        parameters=1,
    )  # fmt: skip
    ours = Side(planned.subject, tree, tuple(f"ours {n}{more}" for n in range(prompts)))
    theirs = Side("base", base_tree, tuple(f"theirs {n}{more}" for n in range(prompts)))
    sheet = Sheet("chat", DIGEST, raters, items, "base", ours, theirs)
    evidence = preference_evidence(sheet, [], DIGEST, store.put_json(sheet.to_json()))
    blob = store.put(evidence.canonical())
    with house.ledger.write() as tx:
        append(house, tx, planned.subject, "planned", planned.model_dump(mode="json"), f"plan/{name}")
    record_once(house, planned.subject, "sealed", lambda: {"adapter": adapter.model_dump(mode="json")})
    record_once(house, planned.subject, "examined", lambda: {"evidence": [blob]})
    steps.judge(house, planned)
    return planned


def _tree(house: House, words: str) -> str:
    with TemporaryDirectory() as folder:
        (Path(folder) / "file.txt").write_text(words)
        return str(house.store.put_tree(Path(folder)))


def prompt(number: int) -> str:
    """The text of a prompt: long enough to be found in other text."""
    return f"Please explain to me in your own words what number {number} is good for"


def said(number: int, wins: bool, author: str = "ann", **changes: Any) -> Entry:
    """One comparison of `liked@1` with the base, imported from a file."""
    fields: dict[str, Any] = {
        "kind": "preference", "item": f"p{number}", "author": author, "value": "a" if wins else "b", "a": "liked@1",
        "b": "base", "prompt": prompt(number), "answer_a": f"ours {number}", "answer_b": f"theirs {number}",
        "origin": "test",
    }  # fmt: skip
    return Entry(**{**fields, **changes})
