"""A candidate whose answers people compare, told without a model: planned, sealed, examined and judged."""

from collections.abc import Callable, Sequence
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
from tunegate_core.canonical import canonical_json
from tunegate_core.records import AdapterRecord, BaseModelRecord, Evidence

LIKED = Policy(
    name="liked",
    checks=({"id": "liked", "kind": "preferred", "task": "chat"},),
    approvals=ApprovalRule(required=0),
)
DIGEST = "sha256:" + "0" * 64


def tell(
    house: House,
    prompts: int = 20,
    name: str = "liked",
    raters: int = 1,
    more: str = "",
    policy: Policy = LIKED,
    items: Sequence[Item] = (),
    beside: Callable[[str, str], Sequence[Evidence]] = lambda ours, base: (),
) -> Planned:
    """NAME@1 against the base, judged before anybody has rated it. Its prompts are in its plan, as a file.

    `more` ends each made-up prompt, all answers and, cut to 100 characters, the id. `items`: the
    prompts, if not so many made-up ones; `beside`: other evidence about its adapter and the base's tree.
    """
    store = house.store
    items = tuple(items) or tuple(
        Item(f"p{n}{more[:100]}", prompt(n) + more, None, None, f"p{n}") for n in range(prompts)
    )
    tree, base_tree = _tree(house, f"{name}: adapter"), _tree(house, f"{name}: base")
    base = BaseModelRecord(
        source="folder", tree=base_tree, template=DIGEST, architecture="LlamaForCausalLM", parameters=1, vocabulary=1,
        hidden_size=1,
    )  # fmt: skip
    lines = b"".join(canonical_json({"id": item.id, "prompt": item.text}) + b"\n" for item in items)
    task = {"name": "chat", "feedback": store.put(lines), "questions": None, "task_yaml": None}
    others = beside(tree, base_tree)
    told = {e.task: {"digest": e.items, "metric": e.metric, "n": e.n, "clusters": e.n} for e in others}
    chat = {"digest": DIGEST, "metric": "preferred", "n": len(items), "clusters": len(items)}
    planned = Planned(
        name=name, version=1, route=name, run=f"run-{name}", starter="0" * 16,
        config=store.put_json({"eval": {"tasks": [task], "batch_size": 1}}), base=base, data=None,
        policy=store.put(policy.canonical()), margins=policy.margins(), approvals=policy.approvals,
        items={**told, "chat": chat}, champion=None, source_adapter="elsewhere@1", attempt=1,
    )  # fmt: skip
    adapter = AdapterRecord(
        tree=tree, base=base_tree, template=DIGEST, config=planned.config, rank=1, target_modules=("q_proj",),
        parameters=1,
    )  # fmt: skip
    ours = Side(planned.subject, tree, tuple(f"ours {n}{more}" for n in range(len(items))))
    theirs = Side("base", base_tree, tuple(f"theirs {n}{more}" for n in range(len(items))))
    sheet = Sheet("chat", DIGEST, raters, items, "base", ours, theirs)
    evidence = preference_evidence(sheet, [], DIGEST, store.put_json(sheet.to_json()))
    blobs = [store.put(each.canonical()) for each in (*others, evidence)]
    with house.ledger.write() as tx:
        append(house, tx, planned.subject, "planned", planned.model_dump(mode="json"), f"plan/{name}")
    record_once(house, planned.subject, "sealed", lambda: {"adapter": adapter.model_dump(mode="json")})
    record_once(house, planned.subject, "examined", lambda: {"evidence": blobs})
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
