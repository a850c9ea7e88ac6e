"""Whatever kills, fills or crowds a release, the same command goes on: nothing is lost, and nothing happens twice."""

import json
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.tunegate.served import MARK, marked

pytestmark = [pytest.mark.fault, pytest.mark.timeout(900)]
STORY = ("planned", "trained", "sealed", "examined", "judged", "approved", "released")
DIGESTS = ("adapter", "evidence", "verdict")

CONFIG = """\
name: tiny
finetune:
  base: {{model: {base}}}
  data: {{source: rows.jsonl}}
  lora: {{rank: 4}}
  train: {{steps: {steps}, rows_per_step: 4, learning_rate: 5.0e-3, max_length: 128, checkpoint_steps: 10,
          precision: float32}}
  parallel: {{device: cpu}}
eval: {{tasks: [{{name: words, questions: questions.jsonl}}]}}
governance: {{policy: policy.yaml}}
"""
POLICY = """\
name: anything-measured
rule: all-required
checks: [{id: measured, kind: measured, task: words, share: 0.9}]
approvals: {required: 0}
"""


@pytest.fixture(scope="module")
def tiny(tiny_base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project around a tiny base: real Ray, real training, real evaluation, in under a minute."""
    folder = tmp_path_factory.mktemp("tiny-project")
    words = [f"{first}{second}" for first in "abcd" for second in "efg"]
    chats = [[{"role": "user", "content": f"{word}?"}, {"role": "assistant", "content": word * 2}] for word in words]
    asked = [
        {"id": str(at), "question": f"Is {at} more than {at - 1}, or less?", "choices": ["more", "less"], "answer": 0}
        for at in range(12)
    ]
    (folder / "rows.jsonl").write_text("".join(json.dumps({"messages": chat}) + "\n" for chat in chats))
    (folder / "questions.jsonl").write_text("".join(json.dumps(row) + "\n" for row in asked))
    (folder / "policy.yaml").write_text(POLICY)
    (folder / "config.yaml").write_text(CONFIG.format(base=tiny_base, steps=60))
    return folder


@pytest.fixture(scope="module")
def whole(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], float]:
    """The digests of a release that nothing disturbed, and the seconds it took."""
    home = tmp_path_factory.mktemp("whole") / "home"
    began = time.monotonic()
    assert start(home, tiny).wait(timeout=600) == 0
    return outcome(home), time.monotonic() - began


def start(home: Path, project: Path, mark: str = "", **settings: Any) -> "subprocess.Popen[bytes]":
    """`tunegate release` in a session of its own, as from a terminal: Ctrl-C is not ignored, as a shell's & has it."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("TUNEGATE_", "RAY_"))}
    home.parent.mkdir(parents=True, exist_ok=True)
    with (home.parent / "release.log").open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "tunegate", "release", str(project / "config.yaml")],
            stdout=log,
            stderr=log,
            env={**kept, "TUNEGATE_HOME": str(home), "HF_HUB_OFFLINE": "1", MARK: mark},
            start_new_session=True,
            **{"preexec_fn": heed_interrupts, **settings},
        )


def heed_interrupts() -> None:
    """In the child, before Python starts there."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def events(home: Path) -> list[tuple[str, dict[str, Any]]]:
    """What is recorded: kind and body."""
    if not (home / "ledger.sqlite").exists():
        return []
    with sqlite3.connect(f"file:{home / 'ledger.sqlite'}?mode=ro", uri=True, timeout=10) as db:
        try:
            rows = db.execute("SELECT kind, bytes FROM events ORDER BY seq").fetchall()
        except sqlite3.OperationalError:  # its tables are being made
            rows = []
    db.close()
    return [(kind, json.loads(data)["body"]) for kind, data in rows]


def outcome(home: Path) -> dict[str, Any]:
    """Digests of what was made, each step once and in order."""
    told = [(kind, body) for kind, body in events(home) if kind in STORY]
    assert tuple(kind for kind, _ in told) == STORY
    body = dict(told)
    return {
        "adapter": body["sealed"]["adapter"]["tree"],
        "evidence": body["examined"]["evidence"],
        "verdict": body["judged"]["verdict"],
    }


def kill(driver: "subprocess.Popen[bytes]") -> None:
    """As the kernel does it when memory runs out: this process, without a word."""
    driver.send_signal(signal.SIGKILL)
    driver.wait()


def wait_for(happened: Callable[[], bool], driver: "subprocess.Popen[bytes]", seconds: float = 300) -> None:
    deadline = time.monotonic() + seconds
    while not happened() and driver.poll() is None:
        assert time.monotonic() < deadline, "it did not come so far"
        time.sleep(0.02)


def test_killed_at_three_random_moments(tiny: Path, whole: tuple[dict[str, Any], float], tmp_path: Path) -> None:
    expected, seconds = whole
    seed = random.SystemRandom().randrange(1 << 32)
    moments = random.Random(seed)
    home = tmp_path / "home"
    for _ in range(3):
        driver = start(home, tiny)
        try:
            driver.wait(timeout=moments.uniform(0.05, 0.9) * seconds)
        except subprocess.TimeoutExpired:
            kill(driver)
    assert start(home, tiny).wait(timeout=600) == 0
    assert outcome(home) == expected, f"seed {seed}"


def test_killed_after_every_step(tiny: Path, whole: tuple[dict[str, Any], float], tmp_path: Path) -> None:
    home = tmp_path / "home"
    for kind in STORY:
        driver = start(home, tiny)
        wait_for(lambda kind=kind: kind in dict(events(home)), driver)
        kill(driver)
    assert start(home, tiny).wait(timeout=600) == 0
    assert outcome(home) == whole[0]


def test_two_runs_of_one_config_at_once(tiny: Path, whole: tuple[dict[str, Any], float], tmp_path: Path) -> None:
    home = tmp_path / "home"
    runs = [start(home, tiny), start(home, tiny)]
    assert [run.wait(timeout=600) for run in runs] == [0, 0]
    assert outcome(home) == whole[0]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stopped_release_leaves_no_process_behind(
    number: signal.Signals, tiny: Path, foreign_ray: int, tmp_path: Path
) -> None:
    slow = Path(shutil.copytree(tiny, tmp_path / "slow"))
    (slow / "config.yaml").write_text((slow / "config.yaml").read_text().replace("steps: 60", "steps: 5000"))
    home, mark = tmp_path / "home", f"{tmp_path.name}-{os.getpid()}"
    driver = start(home, slow, mark)
    wait_for(lambda: any(home.glob("runs/*/checkpoints/*")), driver)
    assert driver.poll() is None, (home.parent / "release.log").read_text()
    driver.send_signal(number)
    assert driver.wait(timeout=120) == 128 + number
    deadline = time.monotonic() + 30
    while marked(mark) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert not marked(mark)
    os.kill(foreign_ray, 0)  # another Ray on the machine goes on


@pytest.fixture(scope="module")
def foreign_ray() -> Iterator[int]:
    """Somebody else's Ray on this machine: the id of its scheduler's process."""
    code = (
        "import ray, sys\n"
        "ray.init(address='local', num_cpus=1, include_dashboard=False, object_store_memory=80_000_000,"
        " _node_ip_address='127.0.0.1', logging_level='ERROR')\n"
        "print(ray._private.worker._global_node.all_processes['raylet'][0].process.pid, flush=True)\n"
        "sys.stdin.read()\n"
    )
    other = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    assert other.stdin is not None and other.stdout is not None
    with other, other.stdin, other.stdout:
        yield int(other.stdout.readline())


@pytest.mark.parametrize("size", ["300k", "700k"])  # full for the ledger; full once it trains
def test_a_full_disk_is_named_and_the_run_continues_elsewhere(
    size: str, tiny: Path, whole: tuple[dict[str, Any], float], tmp_path: Path
) -> None:
    """A real full disk: a small memory file system in a mount namespace of its own."""
    small = tmp_path / "small"
    small.mkdir()
    namespace = ["unshare", "--user", "--map-root-user", "--mount"]
    if subprocess.run([*namespace, "true"], check=False, capture_output=True).returncode:
        pytest.skip("this system allows no mount namespaces")
    script = (
        'mount -t tmpfs -o size="$5" tmpfs "$1" && TUNEGATE_HOME="$1/home" "$2" -m tunegate release "$3" ;'
        'code=$? ; cp -r "$1/home" "$4" ; exit $code'
    )
    kept = tmp_path / "home"
    done = subprocess.run(
        [*namespace, "sh", "-c", script, "sh", str(small), sys.executable, str(tiny / "config.yaml"), str(kept), size],
        capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    assert done.returncode == 1, done.stderr
    assert "space" in done.stderr
    assert "Traceback" not in done.stderr
    assert start(kept, tiny).wait(timeout=600) == 0  # with room again
    assert outcome(kept) == whole[0]


def test_a_read_only_home_is_named_before_anything_is_done(tiny: Path, command: Callable[..., Any]) -> None:
    done = command(Path("/proc/tunegate-home"), "release", tiny / "config.yaml")  # not even root writes there
    assert done.returncode == 1, done.stderr
    assert "TUNEGATE_HOME" in done.stderr
    assert "Traceback" not in done.stderr
