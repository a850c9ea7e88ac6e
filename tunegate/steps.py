"""One function an event: each does its work once, and returns what was recorded when it is asked again.

A step reads the records of the steps before it, never their memory; that is why any of them may be killed.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from governance.judge import judge as judge_evidence
from governance.lifecycle import Planned
from governance.policy import Policy
from governance.statement import release_statement, sign_statement
from tunegate.house import House
from tunegate.planning import Inputs, recall_tasks
from tunegate.recording import Standing, record_once, standing
from tunegate_core.config import FinetuneBlock
from tunegate_core.records import AdapterRecord, Arm, Evidence, Verdict


def train(house: House, planned: Planned, inputs: Inputs) -> None:
    """Planned -> Trained: LoRA fine-tuning under Ray. Nothing to do when an existing adapter is judged."""
    block = inputs.config.finetune
    if inputs.prepared is None or not isinstance(block, FinetuneBlock):
        return
    prepared = inputs.prepared

    def work() -> dict[str, Any]:
        from finetune.base import open_base
        from finetune.train import train as run

        folder = open_base(inputs.base, house.store, house.cache)
        run_folder = house.run_folder(planned.subject)
        done = run(block, inputs.base, folder, prepared.examples, run_folder, house.address, house.progress)
        return {
            "training": done.record.model_dump(mode="json"),
            "output": house.store.put_tree(done.adapter_folder),
            "environment": house.store.put(done.environment.canonical()),
        }

    record_once(house, planned.subject, "trained", work)


def seal(house: House, planned: Planned, inputs: Inputs) -> None:
    """Trained -> Sealed: the adapter as plain PEFT files, scanned, under its digest."""

    def work() -> dict[str, Any]:
        from finetune.base import open_base
        from finetune.seal import seal as run

        if inputs.source is not None:
            return {"adapter": inputs.source.model_dump(mode="json")}
        block = inputs.config.finetune
        trained = standing(house, planned.subject).body("trained")
        raw = house.store.materialise(trained["output"], house.run_folder(planned.subject) / "output")
        folder = open_base(inputs.base, house.store, house.cache)
        adapter = run(raw, inputs.base, block, planned.config, planned.data, house.store, folder)
        return {"adapter": adapter.model_dump(mode="json")}

    record_once(house, planned.subject, "sealed", work)


def examine(house: House, planned: Planned) -> None:
    """Sealed -> Examined: base, champion and candidate on the same items."""

    def work() -> dict[str, Any]:
        from eval.examine import examine as run
        from eval.items import freeze
        from finetune.base import open_base

        sealed = standing(house, planned.subject).adapter
        tasks = recall_tasks(house, planned)
        folders: dict[Arm, Path | None] = {"base": None, "candidate": adapter_folder(house, sealed)}
        subjects: dict[Arm, str] = {"base": planned.base.tree, "candidate": sealed.tree}
        if planned.champion is not None:
            champion = standing(house, planned.champion).adapter
            folders["champion"], subjects["champion"] = adapter_folder(house, champion), champion.tree
        evidence = run(
            tasks=tasks,
            items=freeze(tasks),
            base_folder=open_base(planned.base, house.store, house.cache),
            base_tree=planned.base.tree,
            arms=folders,
            subjects=subjects,
            store=house.store,
            cache=house.cache / "eval",
            batch_size=batch_size(house, planned),
            progress=house.progress,
        )
        return {"evidence": [house.store.put(item.canonical()) for item in evidence]}

    record_once(house, planned.subject, "examined", work)


def judge(house: House, planned: Planned) -> None:
    """Examined -> Judged: the planned policy over the evidence."""

    def work() -> dict[str, Any]:
        now = standing(house, planned.subject)
        evidence = [Evidence.parse(house.store.get(blob)) for blob in now.body("examined")["evidence"]]
        policy = Policy.parse(house.store.get(planned.policy))
        verdict = judge_evidence(policy, now.adapter.tree, evidence, planned.champion, planned.attempt)
        return {"verdict": house.store.put(verdict.canonical()), "outcome": verdict.outcome}

    record_once(house, planned.subject, "judged", work)
    house.progress("judged", 1, 1)


def publish(house: House, planned: Planned) -> None:
    """Approved -> Released: the signed statement. The first release of a name creates its route."""

    def work() -> dict[str, Any]:
        now = standing(house, planned.subject)
        statement = release_statement(planned, now, house.store.get_tree(now.adapter.tree))
        envelope = sign_statement(statement, house.signer.sign, house.signer.key_id)
        return {"statement": house.store.put(envelope), "route": planned.route}

    record_once(house, planned.subject, "released", work)
