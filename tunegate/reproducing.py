"""A release made again from its records alone, in a place apart: what matched, what did not, what could not be tried.

Inputs first, because they are cheap: config, policy, base, items, and the training rows with the account of each. Then
the training itself. A result matches by its digest; where that differs (other hardware, other versions), the figures of
the candidate are measured again, and match when they lie within the intervals that were recorded. Nothing is recorded.
"""

import json
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

from governance.lifecycle import Planned
from tunegate.house import House
from tunegate.learnt import training_rows
from tunegate.planning import recall_tasks
from tunegate.recording import Standing, standing, verdict_of
from tunegate.workers import spread
from tunegate_core.config import FinetuneBlock
from tunegate_core.errors import BadInput, TunegateError
from tunegate_core.records import AdapterRecord, Record, TrainingRecord
from tunegate_core.rows import Rows
from tunegate_core.stats import arm_interval
from tunegate_core.store import Store

CONFIDENCE = 0.95

Result = Literal["same", "within", "different", "not tried"]


class Finding(Record):
    """One thing compared. `how`: by what it matched, how it differs, or why it could not be tried."""

    what: str
    result: Result
    how: str


def reproduce(house: House, subject: str, inputs_only: bool = False) -> dict[str, Any]:
    """Make a candidate again; {version, reproduced, findings}. `inputs_only`: nothing is trained or measured.

    Raises NotFound, and BadInput for a candidate that was never sealed.
    """
    now = standing(house, subject)
    if not now.has("sealed"):
        raise BadInput(f"{subject} has no sealed adapter to compare with; expected one that was trained")
    with TemporaryDirectory(prefix="tunegate-again-") as place:
        findings = compare_inputs(house, now, Path(place))
        if not inputs_only and all(finding.result == "same" for finding in findings):
            findings += _again(house, now, Path(place))
        elif not inputs_only:
            findings.append(Finding(what="training", result="not tried", how="the inputs are not all as they were"))
    reproduced = all(finding.result in ("same", "within") for finding in findings)
    return {
        "version": subject,
        "reproduced": reproduced and not inputs_only,
        "inputs_match": all(finding.result == "same" for finding in findings) if inputs_only else None,
        "findings": [finding.model_dump(mode="json") for finding in findings],
    }


def compare_inputs(house: House, now: Standing, place: Path) -> list[Finding]:
    """Everything that went in, read again from the store and derived again."""
    planned = now.planned
    checks: dict[str, Callable[[], Finding]] = {
        "config": lambda: _blob(house, "config", planned.config),
        "policy": lambda: _blob(house, "policy", planned.policy),
        "base": lambda: _tree(house, planned.base.tree),
        "items": lambda: _items(house, planned),
        "data": lambda: _data(house, planned, place),
    }
    found = []
    for what, check in checks.items():
        try:
            found.append(check())
        except TunegateError as error:
            found.append(Finding(what=what, result="not tried", how=str(error)))
    return found


def within(low: float | None, high: float | None, value: float | None) -> bool:
    """Whether a figure measured again lies within the interval that was recorded; what was not measured does not."""
    if low is None or high is None or value is None:
        return False
    return low <= value <= high


def _blob(house: House, what: str, blob: str) -> Finding:
    house.store.get(blob)
    return Finding(what=what, result="same", how=blob)


def _tree(house: House, tree: str) -> Finding:
    files = len(house.store.verify_tree(tree).files)
    return Finding(what="base", result="same", how=f"{tree}, {files} files")


def _items(house: House, planned: Planned) -> Finding:
    from eval.items import freeze

    tasks = recall_tasks(house, planned)
    learnt = training_rows(house, planned) if any(task.is_of_training for task in tasks) else None
    found = {item.task: item.digest for item in freeze(tasks, learnt)}
    wanted = {task: str(items["digest"]) for task, items in planned.items.items()}
    other = sorted(task for task in wanted if found.get(task) != wanted[task])
    if other:
        return Finding(what="items", result="different", how=f"the items of {', '.join(other)} have another digest")
    return Finding(what="items", result="same", how=f"{len(wanted)} tasks by their digests")


def _data(house: House, planned: Planned, place: Path) -> Finding:
    if planned.data is None:
        return Finding(what="data", result="same", how=f"none: it takes over the adapter of {planned.source_adapter}")
    texts = house.rows.get(planned.data.rows)
    gone = sum(text is None for text in texts)
    if gone:
        return Finding(what="data", result="not tried", how=f"{gone} of {len(texts)} rows are erased")
    lineage = _prepared(house, planned, place)[1]
    if lineage != planned.data.lineage:
        return Finding(what="data", result="different", how="preparing the same rows keeps or cuts others")
    return Finding(what="data", result="same", how=f"{len(texts)} rows by their root, and the account of each")


def _prepared(house: House, planned: Planned, place: Path) -> tuple[list[Any], str]:
    """The examples of the recorded rows, and the digest of the account of each."""
    from eval.items import freeze
    from finetune.base import open_base
    from finetune.dataset import prepare
    from finetune.render import Renderer

    block = _block(house, planned, place)
    renderer = Renderer(open_base(planned.base, house.store, house.cache))
    tasks = [task for task in recall_tasks(house, planned) if not task.is_of_training]
    items = [text for item in freeze(tasks) for text in item.texts]
    apart = place / "store"
    prepared = prepare(
        block.data, renderer, block.train.max_length, Store(apart), Rows(str(apart)), items, house.progress
    )
    return prepared.examples, str(prepared.record.lineage)


def _block(house: House, planned: Planned, place: Path) -> FinetuneBlock:
    """The recorded config with the recorded rows as its file."""
    raw = json.loads(house.store.get(planned.config))["finetune"]
    file = place / "rows.jsonl"
    texts = house.rows.get(planned.data.rows) if planned.data else []
    file.write_text("".join(f"{text}\n" for text in texts), encoding="utf-8")
    raw["data"] |= {"source": str(file), "revision": None, "split": "train"}  # a file has neither of the two
    if raw["data"].get("augment") is not None:
        pairs = place / "pairs.csv"
        pairs.write_bytes(house.store.get(raw["data"]["augment"]["counterfactual"]))
        raw["data"]["augment"] = {"counterfactual": str(pairs)}
    return FinetuneBlock.model_validate(raw)


def _again(house: House, now: Standing, place: Path) -> list[Finding]:
    """Training, sealing and, where the adapter is another, measuring."""
    from finetune.base import open_base
    from finetune.seal import seal
    from finetune.train import train

    planned = now.planned
    if planned.data is None:
        return [Finding(what="adapter", result="same", how="taken over, not trained")]
    block, folder = _block(house, planned, place), open_base(planned.base, house.store, house.cache)
    examples, _ = _prepared(house, planned, place)
    done = train(block, planned.base, folder, examples, place / "run", house.address, house.progress)
    was = TrainingRecord.model_validate(now.body("trained")["training"])
    findings = [_training(was, done.record)]
    store = Store(place / "store")
    counts = planned.data.counts
    adapter = seal(done.adapter_folder, planned.base, block, planned.config, counts, store, folder)
    if adapter.tree == now.adapter.tree:
        return [*findings, Finding(what="adapter", result="same", how=adapter.tree)]
    return [*findings, *_figures(house, now, adapter, store, place)]


def _training(was: TrainingRecord, is_now: TrainingRecord) -> Finding:
    if was == is_now:
        return Finding(what="training", result="same", how=f"{was.steps} steps, final loss {was.final_loss:.4g}")
    before, after = was.model_dump(), is_now.model_dump()
    other = [f"{key} {before[key]} -> {after[key]}" for key in before if before[key] != after[key]]
    is_close = was.steps == is_now.steps and abs(was.final_loss - is_now.final_loss) <= 0.01 * abs(was.final_loss)
    return Finding(what="training", result="within" if is_close else "different", how="; ".join(other))


def _figures(house: House, now: Standing, adapter: AdapterRecord, store: Store, place: Path) -> list[Finding]:
    """The candidate's scores measured again, against the intervals of the verdict."""
    from eval.examine import examine
    from eval.items import freeze
    from eval.model import device_name
    from finetune.base import open_base
    from finetune.train import resolve_precision

    planned, verdict = now.planned, verdict_of(house, now)
    if verdict is None:
        return [Finding(what="adapter", result="different", how=f"{adapter.tree}; it was never measured")]
    tasks, learnt = recall_tasks(house, planned), training_rows(house, planned)
    block = json.loads(house.store.get(planned.config))["eval"]
    evidence = examine(
        tasks, freeze(tasks, learnt), open_base(planned.base, house.store, house.cache), planned.base.tree,
        {"base": None, "candidate": store.materialise(adapter.tree, place / "adapter")},
        {"base": planned.base.tree, "candidate": adapter.tree}, store, place / "eval",
        block["batch_size"], resolve_precision("auto", gpu=device_name() == "cuda"), house.progress, learnt,
        backend=block.get("backend", "transformers"), spread=spread(house, block),
    )  # fmt: skip
    findings = [Finding(what="adapter", result="within", how=f"another digest, {adapter.tree}; its figures follow")]
    for figure in (figure for figure in verdict.figures if figure.arm == "candidate"):
        arms = [(item, arm) for item in evidence for arm in item.arms
                if (item.task, item.metric, arm.arm) == (figure.task, figure.metric, "candidate")]  # fmt: skip
        value = arm_interval(arms[0][1], arms[0][0].scale, CONFIDENCE).value if arms else None
        old = figure.interval
        is_within = within(old.low, old.high, value)
        told = "not measured" if value is None else f"{100 * value:.1f} %"
        span = "none" if old.low is None or old.high is None else f"{100 * old.low:.1f} to {100 * old.high:.1f}"
        what = f"{figure.task} {figure.metric}"
        findings.append(Finding(what=what, result="within" if is_within else "different", how=f"{told}; was {span}"))
    return findings
