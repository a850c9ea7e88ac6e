"""One function an event: each does its work once, and does nothing when its event is recorded.

A step reads the records of the steps before it, never their memory; that is why any of them may be killed.
"""

import json
from pathlib import Path
from typing import Any

from governance.lifecycle import Approved, Examined, Judged, Planned, Released, asked, holding
from tunegate.house import House
from tunegate.learnt import training_rows
from tunegate.planning import Inputs, recall_tasks
from tunegate.publishing import publish as publish_snapshot
from tunegate.rating import look_again, rated_evidence
from tunegate.recording import record_once, standing
from tunegate.workers import spread
from tunegate_core.config import FinetuneBlock
from tunegate_core.errors import IntegrityError
from tunegate_core.records import AdapterRecord, Arm, Evidence


def train(house: House, planned: Planned, inputs: Inputs) -> None:
    """Planned -> Trained: LoRA fine-tuning under Ray. Nothing to do when an existing adapter is judged."""
    block, prepared = inputs.config.finetune, inputs.prepared
    if prepared is None or not isinstance(block, FinetuneBlock):
        return

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

        block = inputs.config.finetune
        if inputs.source is not None or not isinstance(block, FinetuneBlock) or planned.data is None:
            return {"adapter": inputs.source.model_dump(mode="json") if inputs.source else None}
        trained = standing(house, planned.subject).body("trained")
        raw = house.store.materialise(trained["output"], house.run_folder(planned.subject) / "output")
        folder = open_base(inputs.base, house.store, house.cache)
        adapter = run(raw, inputs.base, block, planned.config, planned.data.counts, house.store, folder)
        return {"adapter": adapter.model_dump(mode="json")}

    record_once(house, planned.subject, "sealed", work)


def examine(house: House, planned: Planned) -> None:
    """Sealed -> Examined: base, champion and candidate on the same items."""

    def work() -> dict[str, Any]:
        from eval.examine import examine as run
        from eval.items import freeze
        from eval.model import device_name
        from finetune.base import open_base
        from finetune.train import resolve_precision

        sealed = standing(house, planned.subject).adapter
        folders: dict[Arm, Path | None] = {"base": None, "candidate": adapter_folder(house, sealed)}
        subjects: dict[Arm, str] = {"base": planned.base.tree, "candidate": sealed.tree}
        if planned.champion is not None:
            champion = standing(house, planned.champion).adapter
            folders["champion"], subjects["champion"] = adapter_folder(house, champion), champion.tree
        tasks = recall_tasks(house, planned)
        scored = [task for task in tasks if task.feedback is None]
        learnt = training_rows(house, planned) if scored else None
        items = freeze(tasks, learnt)
        for item in items:
            verify_planned(planned, item.task, item.digest)
        precision = resolve_precision("auto", gpu=device_name() == "cuda")
        rated = [task for task in tasks if task.feedback is not None]
        evidence = rated_evidence(house, planned, rated, folders, subjects, precision)
        if not scored:
            return {"evidence": [house.store.put(item.canonical()) for item in evidence]}
        block = json.loads(house.store.get(planned.config))["eval"]
        evidence += run(
            scored,
            [item for item in items if item.task in {task.name for task in scored}],
            open_base(planned.base, house.store, house.cache),
            planned.base.tree,
            folders,
            subjects,
            house.store,
            house.cache / "eval",
            block["batch_size"],
            precision,
            house.progress,
            learnt,
            block.get("backend", "transformers"),  # plans made before there was a choice lack it
            spread(house, block),
        )
        return {"evidence": [house.store.put(item.canonical()) for item in evidence]}

    record_once(house, planned.subject, "examined", work)


def judge(house: House, planned: Planned) -> None:
    """Examined -> Judged: the planned policy over the evidence; again where people have said more since."""
    _judge(house, planned, f"{planned.subject}/judged")
    if isinstance(standing(house, planned.subject).state, Judged):
        look_again(house, planned)
    if isinstance(state := standing(house, planned.subject).state, Examined):
        _judge(house, planned, f"{planned.subject}/judged/{state.digest()}")


def _judge(house: House, planned: Planned, key: str) -> None:

    def work() -> dict[str, Any]:
        from governance.judge import judge as run
        from governance.policy import Policy

        now = standing(house, planned.subject)
        evidence = [Evidence.parse(house.store.get(blob)) for blob in now.body("examined")["evidence"]]
        policy = Policy.parse(house.store.get(planned.policy))
        champion = standing(house, planned.champion).adapter.tree if planned.champion else None
        verdict = run(policy, now.adapter.tree, evidence, planned.attempt, champion)
        return {"verdict": house.store.put(verdict.canonical()), "outcome": verdict.outcome}

    record_once(house, planned.subject, "judged", work, key)


def settle(house: House, planned: Planned) -> None:
    """Judged -> Approved or Refused, as far as the verdict and people allow; else it stays judged."""
    now = standing(house, planned.subject)
    state = now.state
    if not isinstance(state, Judged):
        return
    required = asked(state)
    if state.outcome == "FAIL":
        record_once(house, planned.subject, "refused", lambda: {"verdict": state.verdict})
    elif required is not None and len(holding(state, now.at(house.clock()))) >= required:
        record_once(house, planned.subject, "approved", lambda: {"verdict": state.verdict})


def publish(house: House, planned: Planned) -> None:
    """Approved -> Released: the signed statement. The first release of a route creates it."""
    state = standing(house, planned.subject).state
    if isinstance(state, Released):  # it may have been recorded by a process that died before serving heard of it
        publish_snapshot(house)
    if not isinstance(state, Approved):
        return

    def work() -> dict[str, Any]:
        from governance.statement import release_statement, sign_statement

        statement = release_statement(state, house.store.verify_tree(state.adapter.tree))
        envelope = sign_statement(statement, house.signer.sign, house.signer.key_id)
        return {"statement": house.store.put(envelope), "route": planned.route}

    record_once(house, planned.subject, "released", work)
    publish_snapshot(house)


def verify_planned(planned: Planned, task: str, found: str) -> None:
    """Raises IntegrityError when a task's items are not those that were planned."""
    expected = planned.items[task]["digest"]
    if found != expected:
        raise IntegrityError(
            f"the items of '{task}' are not those planned for {planned.subject}: expected {expected}, found {found}; "
            "bring them back, or plan a new candidate with the new items"
        )


def adapter_folder(house: House, adapter: AdapterRecord) -> Path:
    """The adapter's files, verified."""
    return house.store.materialise(adapter.tree, house.cache / "adapters" / adapter.tree.removeprefix("sha256:"))
