"""Help, reading and ledger verbs start without the heavy libraries, in under a second of CPU time."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

HEAVY = {
    "torch",
    "ray",
    "vllm",
    "scipy",
    "pandas",
    "numpy",
    "transformers",
    "peft",
    "trl",
    "datasets",
    "lm_eval",
    "pyarrow",
}
CPU_SECONDS = 1.0
# On a busy or slow machine the same work takes more CPU time; what these libraries take there is the yardstick. With
# bytecode a verb takes about three times as much: these and a few more, and our own modules, which may be compiled.
YARDSTICK = ("-c", "import sqlalchemy, pydantic, typer, yaml, sys, time; print(time.process_time(), file=sys.stderr)")
TIMES_YARDSTICK = 4.0
TRIES = 3

LIGHT_VERBS = (
    ("--help",),
    ("release", "--help"),
    ("ledger", "--help"),
    ("list",),
    ("list", "--json"),
    ("routes",),
    ("keys", "list"),
    ("show", "support-bot@1"),
    ("ledger", "verify"),
    ("ledger", "checkpoint"),
    ("keys", "export"),
)

RUN = """
import json, sys, time
from tunegate.cli import main
try:
    main()
finally:
    print(json.dumps({"cpu": time.process_time(), "loaded": sorted(sys.modules)}), file=sys.stderr)
"""


@pytest.fixture(scope="module")
def used_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with a ledger in it."""
    home = tmp_path_factory.mktemp("home")
    code = "from tunegate.house import House; House.from_environment().ledger.checkpoint()"
    subprocess.run([sys.executable, "-c", code], env=environment(home), check=True)
    return home


@pytest.mark.parametrize("verb", LIGHT_VERBS, ids=" ".join)
def test_light_verbs_start_light(verb: tuple[str, ...], used_home: Path) -> None:
    first = start(verb, used_home)
    heavy = HEAVY & {name.split(".")[0] for name in first["loaded"]}
    assert not heavy, f"'tunegate {' '.join(verb)}' loads {sorted(heavy)}"
    seconds, limit = [first["cpu"]], CPU_SECONDS
    while min(seconds) >= limit and len(seconds) < TRIES:
        seconds.append(start(verb, used_home)["cpu"])
        limit = max(limit, TIMES_YARDSTICK * yardstick())
    print(f"{min(seconds):.2f} s of CPU time")
    assert min(seconds) < limit


def yardstick() -> float:
    """CPU seconds that the libraries of every light verb take now."""
    ran = subprocess.run([sys.executable, *YARDSTICK], capture_output=True, text=True, check=True)
    return float(ran.stderr)


def start(verb: tuple[str, ...], home: Path) -> dict[str, Any]:
    """Run a verb in a process of its own; say what it loaded and took. The exit code does not matter here."""
    command = [sys.executable, "-c", RUN, *verb]
    ran = subprocess.run(command, env=environment(home), capture_output=True, text=True, check=False)
    assert "Traceback" not in ran.stderr, ran.stderr
    seen: dict[str, Any] = json.loads(ran.stderr.splitlines()[-1])
    return seen


def environment(home: Path) -> dict[str, str]:
    """The machine's environment with a home of its own."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("TUNEGATE_")}
    return {**kept, "TUNEGATE_HOME": str(home)}
