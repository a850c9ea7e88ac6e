"""Who answers a batch is nothing to the result: one process, another one, or workers that die."""

import multiprocessing
import os
import pickle
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from eval import crew as subject
from eval.backend import Setup, kind_of
from eval.crew import Saying, Scoring, Spread, crew
from eval.examine import examine
from eval.items import freeze
from tunegate_core.config import TaskBlock
from tunegate_core.errors import BadInput, ResourcesUnavailable
from tunegate_core.ports import Share
from tunegate_core.store import Store

GREEDY = {"until": [], "do_sample": False, "temperature": 0.0, "max_gen_toks": 6}


@cache
def batches() -> list[Any]:
    """What is asked."""
    from eval.packing import Question

    questions = [Question((5, 3, n), {0: (7, 8), 1: (9,)}) for n in range(3, 7)]
    scored = [Scoring(arm, (question,)) for question in questions for arm in ("candidate", "base")]
    return [*scored, Saying("candidate", ("Say 1.", "Say 22."), GREEDY)]


@pytest.fixture
def setup(tiny_base: Path, tiny_adapter: Path) -> Setup:
    return Setup(tiny_base, {"candidate": tiny_adapter}, "float32", 4)


@contextmanager
def cluster(workers: int) -> Iterator[Share]:
    """A private Ray, as the roof gives it."""
    from finetune.cluster import running

    with running(None):
        yield Share(cpus=1, gpus=0)


def here(setup: Setup) -> list[Any]:
    """What this process answers."""
    with crew("transformers", setup, None) as answer:
        return [answers for _, answers in answer(batches())]


@pytest.mark.slow
def test_a_process_of_its_own_answers_the_same_and_raises_the_same(setup: Setup, tmp_path: Path) -> None:
    with subject._apart("transformers", setup) as answer:
        found = dict(answer(batches()))
        assert [found[at] for at in range(len(batches()))] == here(setup)
        (child,) = multiprocessing.active_children()
        os.kill(child.pid or 0, signal.SIGKILL)
        with pytest.raises(ResourcesUnavailable, match="ended without a word"):
            list(answer(batches()))
    with (
        pytest.raises(BadInput, match="can't be loaded"),
        subject._apart("transformers", Setup(tmp_path, {}, "float32", 4)),
    ):
        pass
    assert not multiprocessing.active_children()


@pytest.mark.fault
def test_workers_over_ray_give_the_same_evidence_and_go_on_after_a_kill(
    setup: Setup, tmp_path: Path, questions: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [
        {"id": f"q{n}", "question": f"Which number follows {n * 7}?", "choices": ["It is 3.", f"{n}"], "answer": n % 2}
        for n in range(12)
    ]
    task = TaskBlock(name="facts", questions=str(questions(rows)))
    begun: list[int] = []

    def bench(cache: str, spread: Spread | None, dying: bool = False) -> Any:
        def progress(stage: str, done: float, total: float, **_: float) -> None:
            if dying and done >= total / 2:
                raise KeyboardInterrupt

        subjects = {"base": "sha256:b", "candidate": "sha256:a"}
        return examine(
            [task], freeze([task]), setup.base_folder, "sha256:b", {"base": None, **setup.adapters}, subjects,
            Store(tmp_path / "store"), tmp_path / cache, 2, "float32", progress, spread=spread,
        )  # fmt: skip

    real = subject._over_ray

    def counted(*given: Any) -> Any:
        answer = real(*given)

        def counting(batches: Any) -> Any:
            begun.append(len(batches))
            return answer(batches)

        return counting

    monkeypatch.setattr(subject, "_over_ray", counted)
    expected = bench("one", None)
    with pytest.raises(KeyboardInterrupt):
        bench("two", Spread(2, cluster), dying=True)
    assert bench("two", Spread(2, cluster)) == expected
    assert begun == [6, 3, 6]  # of the candidate; what was left of it; of the base
    assert not list((tmp_path / "two" / "answers").iterdir())


@pytest.mark.fault
def test_a_worker_that_dies_is_started_again(setup: Setup) -> None:
    with crew("transformers", setup, Spread(2, cluster)) as answer:
        expected = here(setup)
        told = answer(batches() * 20)
        found = dict([next(told)])
        first, _ = worker_pids()
        os.kill(first, signal.SIGKILL)
        found.update(told)
        assert [found[at] for at in range(len(batches()) * 20)] == expected * 20


def worker_pids() -> list[int]:
    """Processes of Ray that run a worker of ours."""
    listed = subprocess.run(["ps", "-eo", "pid,ppid,args"], capture_output=True, text=True, check=True).stdout
    rows = [line.split(None, 2) for line in listed.splitlines()[1:]]
    ours = {os.getpid()}
    for _ in range(6):
        ours |= {int(pid) for pid, parent, _ in rows if int(parent) in ours}
    return [int(pid) for pid, _, told in rows if int(pid) in ours and told.startswith("ray::Worker")]


@pytest.mark.fault
def test_nothing_is_left_of_a_process_whose_parent_is_killed(setup: Setup, tmp_path: Path) -> None:
    script = tmp_path / "examining.py"
    script.write_text(
        "import multiprocessing, sys, time\n"
        "from pathlib import Path\n"
        "from eval.backend import Setup\n"
        "from eval.crew import _apart\n"
        "if __name__ == '__main__':\n"
        "    with _apart('transformers', Setup(Path(sys.argv[1]), {}, 'float32', 4)):\n"
        "        print(multiprocessing.active_children()[0].pid, flush=True)\n"
        "        time.sleep(600)\n"
    )
    command = [sys.executable, str(script), str(setup.base_folder)]
    root = Path(__file__).parents[2]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": str(root)}) as p:
        child = int(p.stdout.readline()) if p.stdout else 0
        p.kill()
    deadline = time.monotonic() + 10
    while Path(f"/proc/{child}").exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not Path(f"/proc/{child}").exists()


def test_a_backend_that_there_is_not() -> None:
    with pytest.raises(BadInput, match="transformer"):
        kind_of("transformer")


def test_too_many_workers_are_refused_at_once(setup: Setup) -> None:
    from finetune.cluster import Resources, place
    from tunegate_core.config import ParallelBlock

    @contextmanager
    def full(workers: int) -> Iterator[Share]:
        placement = place(ParallelBlock(workers=workers), Resources(cpus=2, gpus=0), asking="eval.workers")
        yield Share(placement.cpus, placement.gpus)

    with (
        pytest.raises(ResourcesUnavailable, match=r"eval\.workers asks for 3 workers"),
        crew("transformers", setup, Spread(3, full)),
    ):
        pass


def test_batches_travel() -> None:
    assert pickle.loads(pickle.dumps(batches())) == batches()
