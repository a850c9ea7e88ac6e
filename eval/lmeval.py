"""Where lm-evaluation-harness is met: its tasks are made or loaded here, run here, and its errors translated here.

Its response cache is not keyed by the model and stays off, always. `lm_eval.evaluate` is called with tasks that are
already made, so that nothing depends on its search paths, its seeds' defaults or the machine.
"""

import inspect
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache, partial
from pathlib import Path
from typing import Any

from eval.grouping import read_groups
from eval.quiet import quiet
from eval.task import Item, OpenTask
from eval.taskfile import read_task
from tunegate_core.canonical import digest, digest_json
from tunegate_core.config import TaskBlock
from tunegate_core.errors import BadInput, NotFound, TunegateError
from tunegate_core.registry import nearest

SEED = 1234
BINARY = ("acc", "acc_norm", "acc_bytes", "acc_mutual_info", "exact_match")
OUTPUTS = ("multiple_choice", "generate_until", "loglikelihood")
# What of a harness task's configuration shapes a prompt or a score (its data is covered item by item).
SHAPING = (
    "output_type",
    "process_results",
    "description",
    "target_delimiter",
    "fewshot_delimiter",
    "gen_prefix",
    "generation_kwargs",
    "repeats",
    "filter_list",
    "metric_list",
)


def question_task(
    block: TaskBlock,
    items: Sequence[Item],
    examples: Sequence[Item],
    rendered: bool = False,
    answer_tokens: int | None = None,
) -> Any:
    """A harness task over questions that were read already; nothing is written to disk for it.

    `rendered`: an item's text is the whole prompt, and answers follow it without a space.
    """
    chosen = items[0].choices is not None
    form = _choice_form() if chosen else _text_form(answer_tokens or block.answer_tokens)
    if rendered:
        form["target_delimiter"] = ""

    def rows(source: Sequence[Item]) -> list[dict[str, Any]]:
        return [
            {"question": i.text, "answer": _shown(i.answer)} | ({"choices": i.choices} if chosen else {})
            for i in source
        ]

    def dataset(**_: Any) -> dict[str, Any]:
        from datasets import Dataset

        return {"test": Dataset.from_list(rows(items))}

    with _translated(f"task '{block.name}'"):
        from lm_eval.api.task import ConfigurableTask

        return ConfigurableTask(
            config={
                "task": block.name,
                "custom_dataset": dataset,
                "test_split": "test",
                "doc_to_text": "question",
                "doc_to_target": "answer",
                "fewshot_config": {"sampler": "first_n", "samples": rows(examples)},
                **form,
            }
        )


def load_file(path: Path) -> list[Any]:
    """The task of a YAML file."""
    config = read_task(path)
    if not isinstance(config.get("task"), str):
        raise BadInput(f"{path}: expected one task with a name under 'task'; found {config.get('task')!r}")
    with _translated(f"task file {path}"):
        from lm_eval.tasks import TaskManager

        loaded = TaskManager(include_defaults=False).load([config])
        return list(loaded["tasks"].values())


def load_named(name: str) -> list[Any]:
    """The harness's task of that name, or the tasks of that group, sorted by name."""
    with _translated(f"harness task '{name}'"):
        manager = _manager()
        if name not in manager.all_tasks:
            raise BadInput(f"lm-evaluation-harness has no task named '{name}'{nearest(name, manager.all_tasks)}")
        loaded = manager.load([name])
        return [task for _, task in sorted(loaded["tasks"].items())]


@cache
def _manager() -> Any:
    """The index of the harness's own tasks: some 14,000 names, seconds to read."""
    from lm_eval.tasks import TaskManager

    return TaskManager()


def open_harness(block: TaskBlock, load: Callable[[], list[Any]]) -> OpenTask:
    """Harness tasks as items. A document's field `cluster`, where it has one, names its cluster."""
    with quiet(), _without_bars(), _translated(f"task '{block.name}'"):
        tasks = load()
        directions = {_check(block, task) for task in tasks}
        if len(directions) != 1:
            raise BadInput(f"task '{block.name}': its parts do not agree whether a higher {block.metric} is better")
        items = [item for task in tasks for item in _items(task, block, named=len(tasks) > 1)]
        shaping = [_shaping(task, block) for task in tasks]
    return OpenTask(block, tuple(items), shaping, directions.pop(), lambda: tasks)


def run(lm: Any, tasks: Sequence[Any], block: TaskBlock, chat: bool) -> list[dict[str, Any]]:
    """Score one arm: the harness's sample of every document, in the order of the task's items.

    Greedy and seeded; `chat`: prompts are rendered by the tokenizer's chat template, as in training.
    """
    with _translated(f"task '{block.name}'"), _without_bars():
        from lm_eval.evaluator import evaluate

        for task in tasks:
            task.set_config(key="num_fewshot", value=block.few_shot)
            task.set_fewshot_seed(seed=SEED)
        _seed()
        results = evaluate(
            lm=lm,
            task_dict={"tasks": {task.task_name: task for task in tasks}, "groups": {}},
            limit=block.limit,
            bootstrap_iters=0,
            log_samples=True,
            cache_requests=False,
            apply_chat_template=chat,
            fewshot_as_multiturn=chat,
        )
    samples = []
    for task in tasks:
        kept = [s for s in results["samples"][task.task_name] if s["filter"] == filter_of(task, block.metric)]
        samples += sorted(kept, key=lambda sample: int(sample["doc_id"]))
    return samples


def filter_of(task: Any, metric: str) -> str:
    """The answer filter a metric is read after: named behind a comma (`exact_match,strict-match`), or the only one.

    Raises BadInput when several are there and none is named.
    """
    filters = [str(entry["name"]) for entry in task.config.filter_list or [{"name": "none"}]]
    _, _, name = metric.partition(",")
    if name in filters:
        return name
    if not name and len(filters) == 1:
        return filters[0]
    plain = metric.partition(",")[0]
    raise BadInput(f"metric '{metric}': expected one of {', '.join(f'{plain},{name}' for name in filters)}")


def _choice_form() -> dict[str, Any]:
    metrics = [{"metric": name, "aggregation": "mean", "higher_is_better": True} for name in ("acc", "acc_norm")]
    return {"output_type": "multiple_choice", "doc_to_choice": "choices", "metric_list": metrics}


def _shown(answer: Any) -> Any:
    """The answer as an example shows it: of several that count, the first."""
    return answer[0] if isinstance(answer, list | tuple) else answer


def _text_form(answer_tokens: int) -> dict[str, Any]:
    match = {"metric": "exact_match", "aggregation": "mean", "higher_is_better": True}
    folding = {"ignore_case": True, "ignore_punctuation": True, "regexes_to_ignore": [r"^\s+", r"\s+$"]}
    greedy = {"until": [], "do_sample": False, "temperature": 0.0, "max_gen_toks": answer_tokens}
    return {"output_type": "generate_until", "generation_kwargs": greedy, "metric_list": [{**match, **folding}]}


def _check(block: TaskBlock, task: Any) -> bool:
    """Whether higher is better; raises BadInput for a task or metric without a score per item."""
    name = block.metric.partition(",")[0]
    aggregations: Mapping[str, Any] = task.aggregation()
    if name not in aggregations:
        known = ", ".join(sorted(aggregations))
        hint = nearest(name, list(aggregations))
        raise BadInput(f"task '{block.name}' has no metric '{name}'{hint}; it reports: {known}")
    if getattr(aggregations[name], "__name__", "") != "mean":
        raise BadInput(
            f"task '{block.name}': metric '{name}' is no mean over items, so that items can't be paired; choose a "
            "metric with a score per item"
        )
    if task.OUTPUT_TYPE not in OUTPUTS:
        raise BadInput(f"task '{block.name}' is of type {task.OUTPUT_TYPE}; expected one of: {', '.join(OUTPUTS)}")
    if getattr(task, "UNSAFE_CODE", False) or getattr(task, "MULTIMODAL", False):
        raise BadInput(f"task '{block.name}' runs generated code or needs images or sound, which is not supported")
    filter_of(task, block.metric)
    return bool(task.higher_is_better()[name])


def _items(task: Any, block: TaskBlock, named: bool) -> Iterator[Item]:
    for number, doc in task.doc_iterator(limit=block.limit):
        identity = f"{task.task_name}/{number}" if named else str(number)
        choices = task.doc_to_choice(doc) if getattr(task.config, "doc_to_choice", None) is not None else None
        text = task.doc_to_text(doc)
        if not isinstance(text, str):  # several prompts that share one answer: the choices stand in the prompt
            text = "\n".join(str(choice) for choice in choices or [text])
        cluster = doc.get("cluster")
        yield Item(
            id=identity,
            text=text,
            choices=tuple(str(choice) for choice in choices) if choices is not None else None,
            answer=_plain(task.doc_to_target(doc)),
            cluster=identity if cluster is None else str(cluster),
            groups=read_groups(block, doc, identity),
        )


def _shaping(task: Any, block: TaskBlock) -> dict[str, Any]:
    settings = {key: _plain(getattr(task.config, key, None)) for key in SHAPING}
    documents = [digest_json(_plain(doc)) for _, doc in task.doc_iterator(limit=block.limit)]
    shown = [_plain(doc) for doc in task.sampler.fewshot_docs()] if block.few_shot else []
    return {"settings": settings, "documents": digest_json(documents), "examples": digest_json(shown)}


def _plain(value: Any) -> Any:
    """A value of a task as JSON; a function by the digest of its source."""
    if callable(value):
        return {"function": digest(inspect.getsource(value).encode())}
    return json.loads(json.dumps(value, default=lambda other: _plain(other) if callable(other) else str(other)))


def _seed() -> None:
    import random

    import numpy
    import torch

    random.seed(SEED)
    numpy.random.seed(SEED)
    torch.manual_seed(SEED)


@contextmanager
def _without_bars() -> Iterator[None]:
    """The bars over documents and data sets, off: they have no switch in the calls made here."""
    import lm_eval.api.task
    from datasets.utils import logging as datasets_logging

    harness: Any = lm_eval.api.task
    bars: Any = datasets_logging
    shown, bar = bars.is_progress_bar_enabled(), harness.tqdm
    bars.disable_progress_bar()
    harness.tqdm = partial(bar, disable=True)
    try:
        yield
    finally:
        harness.tqdm = bar
        if shown:
            bars.enable_progress_bar()


@contextmanager
def _translated(what: str) -> Iterator[None]:
    """The harness's errors, whatever they are, as ours; memory that ran out stays what it is."""
    try:
        yield
    except (TunegateError, MemoryError):
        raise
    except (ConnectionError, FileNotFoundError) as error:
        raise NotFound(
            f"{what}: its data can't be had here: {error}; expected a hub that can be reached, or the data in the "
            "local cache (HF_HUB_OFFLINE and HF_DATASETS_OFFLINE forbid asking)"
        ) from error
    except Exception as error:
        if type(error).__name__ == "OutOfMemoryError":
            raise
        raise BadInput(f"{what} can't be used: {type(error).__name__}: {error}") from error
