"""What people said, for the console's benchmark: candidates that wait for ratings, and clicks about them and others."""

from typing import Any

from eval.feedback.entry import Entry
from eval.feedback.evidence import METRIC, Sheet, Side, preference_evidence
from eval.task import Item
from governance.lifecycle import Planned
from governance.policy import ApprovalRule, Policy
from tunegate.feedback import enter
from tunegate.house import House
from tunegate_core.records import AdapterRecord, BaseModelRecord, CheckResult, Verdict

WAITING, PROMPTS, PEOPLE = 5, 60, 3  # candidates; prompts and raters of each
OTHERS = 2_000  # clicks about releases of the past, one batch each
DIGEST = "sha256:" + "0" * 64
TASK = "chat"
LIKED = Policy(name="liked", checks=({"id": "liked", "kind": "preferred", "task": TASK},))


def fill_feedback(house: House, tree: str) -> None:
    """All of it once; `tree`: an adapter in the store. Half of what is asked of the first candidate is said."""
    if "liked@1" in house.registry().entries:
        return
    for number in range(OTHERS):
        enter(house, click(number % PROMPTS, f"person-{number % PEOPLE}", f"bot@{number + 1}"))
    for version in range(1, WAITING + 1):
        wait(house, version, tree)
    for number in range(PROMPTS * PEOPLE // 2):
        enter(house, click(number // PEOPLE, f"person-{number % PEOPLE}", "liked@1"))


def wait(house: House, version: int, tree: str) -> None:
    """A candidate that was judged before anybody rated its answers."""
    base = BaseModelRecord(
        source="folder", tree=tree, template=DIGEST, architecture="LlamaForCausalLM", parameters=1, vocabulary=1,
        hidden_size=1,
    )  # fmt: skip
    planned = Planned(
        name="liked", version=version, route="liked", run=f"liked-{version}", starter="0" * 16,
        config=house.store.put_json({"finetune": {}, "eval": {"tasks": []}}), base=base, data=None,
        policy=house.store.put(LIKED.canonical()), margins=LIKED.margins(), approvals=ApprovalRule(),
        items={TASK: {"digest": DIGEST, "metric": METRIC, "n": PROMPTS, "clusters": PROMPTS}}, champion=None,
        source_adapter="elsewhere@1", attempt=version,
    )  # fmt: skip
    adapter = AdapterRecord(
        tree=tree, base=tree, template=DIGEST, config=planned.config, rank=1, target_modules=("q_proj",), parameters=1
    )
    items = tuple(Item(f"p{n}", prompt(n), None, None, f"p{n}") for n in range(PROMPTS))
    ours = Side(planned.subject, tree, tuple(f"ours {n}" for n in range(PROMPTS)))
    theirs = Side("base", tree, tuple(f"theirs {n}" for n in range(PROMPTS)))
    sheet = Sheet(TASK, DIGEST, PEOPLE, items, "base", ours, theirs)
    evidence = [
        house.store.put(preference_evidence(sheet, [], DIGEST, house.store.put_json(sheet.to_json())).canonical())
    ]
    result = CheckResult(check="liked", outcome="UNDECIDED", reason="nobody rated it yet", interval=None, threshold=0.5)
    verdict = Verdict(
        outcome="UNDECIDED", policy=planned.policy, subject=tree, evidence=tuple(evidence), attempt=version,
        results=(result,), figures=(),
    )  # fmt: skip
    steps: tuple[tuple[str, dict[str, Any]], ...] = (
        ("planned", planned.model_dump(mode="json")),
        ("sealed", {"adapter": adapter.model_dump(mode="json")}),
        ("examined", {"evidence": evidence}),
        ("judged", {"verdict": house.store.put(verdict.canonical()), "outcome": "UNDECIDED"}),
    )
    with house.ledger.write() as tx:
        for kind, body in steps:
            tx.append(kind, body, subject=planned.subject, key=f"{planned.subject}/{kind}", actor=house.signer.key_id)


def click(number: int, author: str, subject: str) -> Entry:
    """One comparison with the base, as the page records it."""
    return Entry(
        kind="preference", item=f"p{number}", author=author, value="a", a=subject, b="base", prompt=prompt(number),
        answer_a=f"ours {number}", answer_b=f"theirs {number}", source="page", origin="console",
    )  # fmt: skip


def prompt(number: int) -> str:
    """The text of a prompt."""
    return f"Please explain to me in your own words what number {number} is good for"
