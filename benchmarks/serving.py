"""Serving: what the gateway adds to an answer.

python -m benchmarks.serving --json      # the last line is one JSON object
"""

import argparse
import json
import os
import platform
from importlib.metadata import version
from typing import Any

from benchmarks import gateway_added

RATE, SECONDS, BLOCKS = 100, 5.0, 8


def main() -> None:
    """Run everything; print a table, and with --json one object last."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="print one JSON object as the last line")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="length of one block")
    parser.add_argument("--blocks", type=int, default=BLOCKS, help="blocks of each way")
    parser.add_argument("--rate", type=int, default=RATE, help="requests a second")
    arguments = parser.parse_args()
    found = gateway_added.measure(arguments.rate, arguments.seconds, arguments.blocks)
    for line in table(found):
        print(line)
    report = {
        "gateway_added_ms": found["added_ms"]["whole"],
        "gateway": found,
        "versions": {name: version(name) for name in ("uvicorn", "starlette", "aiohttp", "uvloop", "orjson")}
        | {"python": platform.python_version()},
        "machine": {"cpus": os.cpu_count(), "load": os.getloadavg()[0], "platform": platform.platform()},
    }
    if arguments.json:
        print(json.dumps(report))


def table(found: dict[str, Any]) -> list[str]:
    """The figures for people."""
    lines = [f"{found['rate_per_s']} requests/s, {found['requests_each']} each way, failed: {found['failed']}"]
    for title, key in (("gateway adds", "added_ms"), ("control adds", "control_added_ms")):
        for name, values in found[key].items():
            told = "  ".join(f"{quantile} {value:7.3f}" for quantile, value in values.items())
            lines.append(f"{title:13} {name:8} {told} ms")
    return [
        *lines,
        f"the gateway takes {found['cpu_ms']} ms of processor time a request, {found['gateway_rss_mib']} MiB",
    ]


if __name__ == "__main__":
    main()
