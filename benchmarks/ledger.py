"""The ledger: durable appends, proofs and verification, from 10^3 to 10^6 events.

    python -m benchmarks.ledger --json      # the last line is one JSON object

Appends are compared with pymerkle's SqliteTree in the same run, in turns, so that the disk's mood hits both. An append
of either is on the disk when it returns (SQLite, synchronous=FULL): pymerkle as it comes (rollback journal), and once
more switched to the ledger's own journal mode (WAL). The ledger's events carry columns, indexes, tree hashes and an
idempotency key; pymerkle's a blob and its hash. All times are wall-clock seconds.
"""

import argparse
import json
import os
import platform
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from pymerkle import SqliteTree

from governance.keys import SigningKey, load_or_create
from governance.ledger import Ledger

SIZES = (10**3, 10**4, 10**5, 10**6)
ROUNDS, APPENDS = 7, 60
PROOFS = 200
NEWEST = 1_000  # events that came after the head from which verification goes on
BATCH = 20_000
BODY = {
    "adapter": {"tree": "sha256:" + "5d" * 32, "rank": 16, "alpha": 32.5, "target_modules": ["q_proj", "v_proj"]},
    "outcome": "PASS",
}


def main() -> None:
    """Run everything; print a table, and with --json one object last."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="print one JSON object as the last line")
    parser.add_argument("--folder", type=Path, default=None, help="where to write (a real disk; default: temporary)")
    arguments = parser.parse_args()
    random.seed(0)
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        report = measure(Path(folder))
    for line in table(report):
        print(line)
    if arguments.json:
        print(json.dumps(report))


def measure(folder: Path) -> dict[str, Any]:
    """Everything, in one report."""
    appends = measure_appends(folder)
    sizes = measure_sizes(folder)
    ours, as_it_comes, same_mode = (appends[name] for name in ("tunegate", "pymerkle", "pymerkle_wal"))
    return {
        "ratios": {
            "append_vs_pymerkle": round(ours / as_it_comes, 3),
            "append_vs_pymerkle_in_wal_mode": round(ours / same_mode, 3),
        },
        "verify_events_per_s": sizes[-1]["verify_events_per_s"],
        "verify_events_per_cpu_s": sizes[-1]["verify_events_per_cpu_s"],
        "durable_appends_per_s": appends,
        "sizes": sizes,
        "versions": {name: version(name) for name in ("pymerkle", "sqlalchemy", "pydantic", "rfc8785", "cryptography")}
        | {"python": platform.python_version(), "sqlite": sqlite_version()},
        "machine": {"cpus": os.cpu_count(), "load": os.getloadavg()[0], "platform": platform.platform()},
    }


def measure_appends(folder: Path) -> dict[str, float]:
    """Durable single appends per second, median over rounds taken in turns."""
    ledger, _ = open_ledger(folder / "appends")
    payload = ledger.append("sealed", BODY, subject="bot@0", key="bot@0/sealed").canonical()
    trees = {"pymerkle": SqliteTree(str(folder / "default.db")), "pymerkle_wal": SqliteTree(str(folder / "wal.db"))}
    trees["pymerkle_wal"].con.execute("PRAGMA journal_mode=WAL")
    trees["pymerkle_wal"].con.execute("PRAGMA synchronous=FULL")
    number = iter(range(1, 10**9))

    def append() -> None:
        at = next(number)
        ledger.append("sealed", BODY, subject=f"bot@{at}", key=f"bot@{at}/sealed")

    ways: dict[str, Callable[[], object]] = {
        "tunegate": append,
        **{name: lambda tree=tree: tree.append_entry(payload) for name, tree in trees.items()},  # type: ignore[misc]
    }
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(ROUNDS):
        for name, way in ways.items():
            seconds[name].append(timed(way, APPENDS))
    ledger.close()
    for tree in trees.values():
        tree.close()
    return {name: round(1 / statistics.median(taken), 1) for name, taken in seconds.items()}


def measure_sizes(folder: Path) -> list[dict[str, float]]:
    """One log that grows; proofs and a whole verification at each size."""
    ledger, signer = open_ledger(folder / "sizes")
    rows = []
    for size in SIZES:
        start = ledger.size()
        grown = time.perf_counter()
        kept = ""
        for end in (size - NEWEST, size):
            while ledger.size() < end:
                grow(ledger, min(end, ledger.size() + BATCH))
            kept = kept or ledger.checkpoint()
        rate = (size - start) / (time.perf_counter() - grown)
        ledger.checkpoint()
        rows.append({"events": size, "batched_appends_per_s": round(rate), **measure_proofs(ledger, size)})
        began, used = time.perf_counter(), time.process_time()
        report = ledger.verify([signer.public_raw])
        seconds, used = time.perf_counter() - began, time.process_time() - used
        if not report.ok or report.size != size:
            raise SystemExit(f"the benchmark's ledger does not verify: {report.problems}")
        rows[-1] |= {"verify_s": round(seconds, 3), "verify_events_per_s": round(size / seconds)}
        rows[-1]["verify_events_per_cpu_s"] = round(size / used)  # what a busy machine does not change
        taken, since = each(lambda kept=kept: ledger.verify([signer.public_raw], since=kept))  # type: ignore[misc]
        if not since.ok or (since.size, since.since) != (size, size - NEWEST):
            raise SystemExit(f"the benchmark's ledger does not verify since {size - NEWEST}: {since.problems}")
        rows[-1] |= {"verify_newest_s": round(taken, 4), "whole_vs_newest": round(seconds / taken, 1)}
    ledger.close()
    return rows


def measure_proofs(ledger: Ledger, size: int) -> dict[str, float]:
    """Inclusion and consistency proofs of random events and prefixes: hashes in them, time to make and to check."""
    root = ledger.root(size)
    seqs = [random.randrange(size) for _ in range(PROOFS)]
    leaves = {seq: ledger.events(start=seq, limit=1)[0].leaf for seq in seqs}
    firsts = [random.randrange(1, size) for _ in range(PROOFS)]
    roots = {first: ledger.root(first) for first in firsts}
    inclusions = [(each(lambda seq=seq: ledger.inclusion(seq, size)), seq) for seq in seqs]  # type: ignore[misc]
    made = [(each(lambda first=first: ledger.consistency(first, size)), first) for first in firsts]  # type: ignore[misc]
    checked = [each(lambda p=proof, s=seq: p.verify(leaves[s], root))[0] for (_, proof), seq in inclusions]  # type: ignore[misc]
    for (_, proof), first in made:
        proof.verify(roots[first], root)
    return {
        "inclusion_ms": milliseconds(taken for (taken, _), _ in inclusions),
        "inclusion_hashes": max(len(proof.path) for (_, proof), _ in inclusions),
        "inclusion_check_ms": milliseconds(checked),
        "consistency_ms": milliseconds(taken for (taken, _), _ in made),
        "consistency_hashes": max(len(proof.path) for (_, proof), _ in made),
    }


def open_ledger(folder: Path) -> tuple[Ledger, SigningKey]:
    """A new ledger in a folder of its own."""
    folder.mkdir()
    signer = load_or_create(folder / "keys", "ledger")
    url = f"sqlite:///{folder / 'ledger.sqlite'}"
    return Ledger.open(url, signer, folder / "checkpoints.log", lambda: datetime.now(UTC)), signer


def grow(ledger: Ledger, size: int) -> None:
    """Events up to a size, in one transaction."""
    with ledger.write() as tx:
        for number in range(tx.size(), size):
            tx.append("sealed", BODY, subject=f"bot@{number}")


def timed(way: Callable[[], object], times: int) -> float:
    """Seconds for one call, averaged."""
    start = time.perf_counter()
    for _ in range(times):
        way()
    return (time.perf_counter() - start) / times


def each(way: Callable[[], Any]) -> tuple[float, Any]:
    """Seconds of one call, and what it returned."""
    start = time.perf_counter()
    found = way()
    return time.perf_counter() - start, found


def milliseconds(seconds: Iterable[float]) -> float:
    """Median, in milliseconds."""
    return round(1000 * statistics.median(seconds), 4)


def sqlite_version() -> str:
    """The SQLite that both use."""
    import sqlite3

    return sqlite3.sqlite_version


def table(report: dict[str, Any]) -> list[str]:
    """The report for people."""
    appends = report["durable_appends_per_s"]
    lines = [
        f"durable appends/s: tunegate {appends['tunegate']}, pymerkle as it comes {appends['pymerkle']}, "
        f"pymerkle in WAL mode {appends['pymerkle_wal']}",
        "",
        "   events  batched/s  inclusion ms  hashes  check ms  consistency ms  hashes  verify s  events/s  per cpu s"
        "  newest s",
    ]
    for row in report["sizes"]:
        lines.append(
            f"{row['events']:>9}  {row['batched_appends_per_s']:>9}  {row['inclusion_ms']:>12}  "
            f"{row['inclusion_hashes']:>6}  {row['inclusion_check_ms']:>8}  {row['consistency_ms']:>14}  "
            f"{row['consistency_hashes']:>6}  {row['verify_s']:>8}  {row['verify_events_per_s']:>8}  "
            f"{row['verify_events_per_cpu_s']:>9}  {row['verify_newest_s']:>8}"
        )
    return lines


if __name__ == "__main__":
    main()
