"""What a release will be judged by, fixed before anything is trained.

`Planned` holds the digests of the policy, its margins, the evaluation items, the base, the data and the champion. The
same inputs in the same home are the same candidate, whatever the files are called: that is how a run continues.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from governance.lifecycle import Planned
from governance.policies import POLICY_EVENTS, Policies
from governance.policy import Policy, load_policy, validate_against
from governance.registry import KINDS, Registry
from tunegate.house import House
from tunegate.learnt import prepared_rows, training_rows
from tunegate.recording import Standing, append, standing
from tunegate.workers import verify_scoring
from tunegate_core.canonical import digest_json
from tunegate_core.config import AdapterSource, Config, FinetuneBlock, TaskBlock
from tunegate_core.errors import BadInput
from tunegate_core.records import AdapterRecord, BaseModelRecord

if TYPE_CHECKING:
    from eval.items import ItemSet
    from eval.task import Learnt
    from finetune.dataset import Prepared

ITEM_FILES = ("questions", "labels", "feedback", "planted", "paraphrases")  # keys of a task that name one file


@dataclass(frozen=True)
class Inputs:
    """Everything a config names, read and checked; nothing is trained or recorded yet.

    `prepared` is None when an existing adapter is judged; `source` is then its candidate.
    """

    config: Config
    policy: Policy
    items: tuple["ItemSet", ...]
    base: BaseModelRecord
    prepared: "Prepared | None"
    source: AdapterRecord | None


def read_inputs(house: House, config: Config) -> Inputs:
    """Read and check policy, items, base and data, cheapest first. Raises BadInput before any expensive work."""
    from eval.items import freeze

    policy = load_policy(Path(config.governance.policy))
    if house.has_ledger:
        known = Policies.from_events(house.existing_ledger.events(POLICY_EVENTS))
        known.verify_in_force(policy.name, policy.digest())
    validate_against(policy, [task.name for task in config.eval.tasks])
    verify_scoring(house, config.eval)
    items = freeze([task for task in config.eval.tasks if not task.is_of_training])
    if isinstance(config.finetune, AdapterSource):
        now = _existing(house, config.finetune.adapter)
        items = _with_learnt(config, items, lambda: training_rows(house, now.planned))
        return Inputs(config, policy, items, now.planned.base, None, now.adapter)
    base, prepared = _prepare(house, config.finetune, items)
    items = _with_learnt(config, items, lambda: prepared_rows(house, base, prepared))
    return Inputs(config, policy, items, base, prepared, None)


def _with_learnt(
    config: Config, items: tuple["ItemSet", ...], rows: Callable[[], "Learnt | None"]
) -> tuple["ItemSet", ...]:
    """The items of every task in the config's order: those that are made of training rows are read now."""
    from eval.items import freeze

    late = [task for task in config.eval.tasks if task.is_of_training]
    found = {item.task: item for item in (*items, *(freeze(late, rows()) if late else ()))}
    return tuple(found[task.name] for task in config.eval.tasks)


def plan(house: House, inputs: Inputs) -> Planned:
    """The candidate these inputs make: the recorded one, or a new version recorded now. Raises BadInput for an adapter
    that could not be served."""
    run = digest_json(_identity(inputs))
    key = f"planned/{run}"
    found = house.ledger.by_key(key)
    if found is not None:
        return Planned.model_validate(found.body)
    _refuse_in_vain(house, inputs)
    config_blob = house.store.put_json(portable(house, inputs))
    policy_blob = house.store.put(inputs.policy.canonical())
    starter = house.person_key(house.person).key_id
    with house.ledger.write() as tx:
        found = tx.by_key(key)
        if found is not None:
            return Planned.model_validate(found.body)
        registry = Registry.from_events(tx.events(KINDS))
        planned = Planned(
            name=inputs.config.name,
            version=registry.next_version(inputs.config.name),
            route=inputs.config.route,
            run=run,
            starter=starter,
            config=config_blob,
            base=inputs.base,
            data=inputs.prepared.record if inputs.prepared else None,
            policy=policy_blob,
            margins=inputs.policy.margins(),
            approvals=inputs.policy.approvals,
            items={item.task: item.summary() for item in inputs.items},
            champion=registry.champion(inputs.config.route),
            source_adapter=inputs.config.finetune.adapter
            if isinstance(inputs.config.finetune, AdapterSource)
            else None,
            attempt=registry.attempts(inputs.config.route, {item.task: item.digest for item in inputs.items}) + 1,
        )
        append(house, tx, planned.subject, "planned", planned.model_dump(mode="json"), key)
    house.ledger.checkpoint()
    return planned


def _refuse_in_vain(house: House, inputs: Inputs) -> None:
    """What could not be served, has targets that the base does not have, or workers that nobody has room for, is no
    attempt, and is not trained."""
    from finetune.cluster import available, place
    from finetune.limits import refuse_unservable

    block = inputs.config.finetune
    if isinstance(block, FinetuneBlock):
        refuse_unservable(block.lora, json.loads(house.store.tree_file(inputs.base.tree, "config.json")))
        place(block.parallel, available(house.address))


def portable(house: House, inputs: Inputs) -> dict[str, Any]:
    """The resolved config with every file replaced by what it holds: no paths, and enough to run again."""
    raw = inputs.config.model_dump(mode="json")
    raw["governance"]["policy"] = inputs.policy.digest()
    for task in raw["eval"]["tasks"]:
        for key in ITEM_FILES:
            if task[key] is not None:
                task[key] = house.store.put_file(Path(task[key]))
        if task["task_yaml"] is not None:
            task["task_yaml"] = _packed(house, Path(task["task_yaml"]))
    if isinstance(inputs.config.finetune, FinetuneBlock):
        raw["finetune"]["base"] = {"model": inputs.base.source, "revision": None, "chat_template": inputs.base.template}
        raw["finetune"]["data"]["source"] = Path(inputs.config.finetune.data.source).name
        if inputs.prepared is not None and (augmented := inputs.prepared.record.augmented) is not None:
            raw["finetune"]["data"]["augment"] = {"counterfactual": augmented.pairs}
    return raw


def recall_tasks(house: House, planned: Planned) -> tuple[TaskBlock, ...]:
    """The tasks of a candidate from its records alone; their files are taken from the store."""
    from eval.taskfile import PACKED

    tasks = []
    for task in json.loads(house.store.get(planned.config))["eval"]["tasks"]:
        for key in ITEM_FILES:
            if task.get(key) is not None:  # plans made before there were labels lack them
                task[key] = str(_item_file(house, task[key]))
        if task["task_yaml"] is not None:
            folder = house.cache / "items" / task["task_yaml"].removeprefix("sha256:")
            task["task_yaml"] = str(house.store.materialise(task["task_yaml"], folder) / PACKED)
        tasks.append(TaskBlock.model_validate(task))
    return tuple(tasks)


def _packed(house: House, task_yaml: Path) -> str:
    from eval.taskfile import pack

    with TemporaryDirectory() as folder:
        pack(task_yaml, Path(folder))
        return house.store.put_tree(Path(folder))


def _item_file(house: House, blob: str) -> Path:
    path = house.cache / "items" / f"{blob.removeprefix('sha256:')}.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(house.store.get(blob))
    return path


def _identity(inputs: Inputs) -> dict[str, Any]:
    config = inputs.config.model_dump(mode="json")
    finetune = config["finetune"]
    if inputs.prepared is not None:
        finetune = {**finetune, "base": inputs.base.tree, "data": inputs.prepared.record.model_dump(mode="json")}
    return {
        "name": config["name"],
        "route": inputs.config.route,
        "finetune": finetune,
        "batch_size": config["eval"]["batch_size"],
        **({} if config["eval"]["backend"] == "transformers" else {"backend": config["eval"]["backend"]}),
        "items": {item.task: item.digest for item in inputs.items},
        "policy": inputs.policy.digest(),
    }


def _existing(house: House, subject: str) -> Standing:
    now = standing(house, subject)
    if not now.has("sealed"):
        raise BadInput(f"{subject} has no sealed adapter yet; train it first, or name another version")
    return now


def _prepare(house: House, block: FinetuneBlock, items: tuple["ItemSet", ...]) -> tuple[BaseModelRecord, "Prepared"]:
    from finetune.base import materialise, open_base
    from finetune.data import read_rows
    from finetune.dataset import prepare
    from finetune.render import Renderer

    read_rows(block.data)  # bad data is found before the base is touched
    base = materialise(block.base, house.store, house.cache, house.progress)
    renderer = Renderer(open_base(base, house.store, house.cache))
    texts = [text for item in items for text in item.texts]
    prepared = prepare(block.data, renderer, block.train.max_length, house.store, house.rows, texts, house.progress)
    return base, prepared
