"""Following one data row through many adapters: to each that learnt from it, and to the routes where it answers.

    python -m benchmarks.trace --json      # the last line is one JSON object

Every adapter has a training set of its own (`ROWS` rows) and seven events; the asked row is in one set of `SHARED`.
`row` is asked by its name, which finds the same text in other sets too; `subject` by words in it. Times are wall-clock
seconds; `cpu` is what this process used. Nothing is kept between the calls, as for a verb that is run once.
"""

import argparse
import json
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tunegate.house import House
from tunegate.tracing import find_row, find_subject, trace_release, trace_rows

ADAPTERS, ROWS, SHARED, BATCH = 10_000, 20, 10, 500
WANTED = json.dumps({"messages": [{"role": "user", "content": "I am Jane Doe, what are your hours?"}]})
DIGEST = "sha256:" + "5d" * 32
BASE = {
    "source": "pkg://m@1", "tree": DIGEST, "template": DIGEST, "architecture": "A", "parameters": 1, "vocabulary": 1,
    "hidden_size": 1, "licence": None,
}  # fmt: skip


def main() -> None:
    """Build, ask, print; with --json one object last."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="print one JSON object as the last line")
    parser.add_argument("--adapters", type=int, default=ADAPTERS)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        report = measure(Path(folder), arguments.adapters)
    for name in ("row", "subject", "release"):
        print(f"{name:>8}: {report[name]['seconds']:.2f} s ({report[name]['cpu']:.2f} s of CPU)")
    if arguments.json:
        print(json.dumps(report))


def measure(home: Path, adapters: int) -> dict[str, Any]:
    """Everything, in one report."""
    names = build(House(home, f"sqlite:///{home / 'ledger.sqlite'}"), adapters)

    def asked(way: Callable[[House], Any]) -> tuple[dict[str, float], Any]:
        began, used = time.perf_counter(), time.process_time()
        found = way(House(home, f"sqlite:///{home / 'ledger.sqlite'}"))
        return {"seconds": time.perf_counter() - began, "cpu": time.process_time() - used}, found

    by_row, rows = asked(lambda house: trace_rows(house, find_row(house, f"{names[0]}#0")))
    by_words, words = asked(lambda house: trace_rows(house, find_subject(house, "Jane Doe")))
    by_release, _ = asked(lambda house: trace_release(house, f"bot-{adapters - 1}@1"))
    expected = -(-adapters // SHARED)
    if not len(rows["candidates"]) == len(words["candidates"]) == len(rows["routes"]) == expected:
        raise SystemExit(f"expected {expected} adapters on as many routes; found {len(rows['candidates'])}")
    return {
        "adapters": adapters, "rows": adapters * ROWS, "events": adapters * 7, "found": expected,
        "row": by_row, "subject": by_words, "release": by_release,
        "machine": {"cpus": os.cpu_count(), "load": os.getloadavg()[0]},
    }  # fmt: skip


def build(house: House, adapters: int) -> list[str]:
    """Adapters as their events tell; the roots of their training sets."""
    lineage = house.store.put_json([{"row": row, "status": "kept"} for row in range(ROWS)])
    names = []
    for number in range(adapters):
        texts = [json.dumps({"prompt": f"question {number}-{row}", "completion": "answer"}) for row in range(ROWS)]
        names.append(house.rows.put([WANTED, *texts[1:]] if number % SHARED == 0 else texts))
    for start in range(0, adapters, BATCH):
        with house.ledger.write() as tx:
            for number in range(start, min(start + BATCH, adapters)):
                for kind, body in story(number, names[number], lineage):
                    tx.append(kind, body, subject=f"bot-{number}@1", key=f"bot-{number}@1/{kind}")
    house.ledger.checkpoint()
    return names


def story(number: int, rows: str, lineage: str) -> list[tuple[str, dict[str, Any]]]:
    """The seven events of one release, with bodies as large as real ones."""
    counts = {"read": ROWS, "kept": ROWS, "truncated": 0, "empty": 0, "over_long": 0, "duplicate": 0,
              "near_duplicate": 0, "overlapping_items": 0, "unsupervised": 0}  # fmt: skip
    data = {"source": "rows.jsonl", "revision": None, "rows": rows, "lineage": lineage, "counts": counts, "tokens": 1,
            "supervised_tokens": 1}  # fmt: skip
    planned = {
        "name": f"bot-{number}", "version": 1, "route": f"bot-{number}", "run": DIGEST, "starter": "0" * 16,
        "config": DIGEST, "base": BASE, "data": data, "policy": DIGEST, "margins": {"a": 0.1}, "champion": None,
        "items": {"facts": {"digest": DIGEST}}, "approvals": {"required": 0, "four_eyes": True, "expires_days": 30},
        "source_adapter": None, "attempt": 1,
    }  # fmt: skip
    adapter = {"tree": DIGEST, "base": DIGEST, "template": DIGEST, "config": DIGEST, "rank": 1, "target_modules": ["q"],
               "parameters": 1}  # fmt: skip
    training = {
        "steps": 1, "rows_per_step": 1, "supervised_tokens": 1, "first_loss": 1.0, "final_loss": 0.5, "packing": True,
        "precision": "float32", "workers": 1, "strategy": "none", "trained_parameters": 1,
    }  # fmt: skip
    return [
        ("planned", planned),
        ("trained", {"training": training, "output": DIGEST, "environment": DIGEST}),
        ("sealed", {"adapter": adapter}),
        ("examined", {"evidence": [DIGEST]}),
        ("judged", {"verdict": DIGEST, "outcome": "PASS"}),
        ("approved", {"verdict": DIGEST}),
        ("released", {"statement": DIGEST, "route": f"bot-{number}"}),
    ]


if __name__ == "__main__":
    main()
