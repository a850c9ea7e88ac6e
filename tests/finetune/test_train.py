"""Training on real Ray with a tiny model: the same bytes again, after a kill, and nearly the same on two workers."""

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from finetune.cluster import Resources, place
from finetune.data import read_rows
from finetune.render import Encoded, Renderer
from finetune.train import Trained, open_run, resolve_strategy, train
from tunegate_core.config import BaseBlock, DataBlock, FinetuneBlock, LoraBlock, ParallelBlock, TrainBlock
from tunegate_core.errors import ResourcesUnavailable, TrainingFault
from tunegate_core.records import BaseModelRecord
from tunegate_core.store import hash_file

BASE = BaseModelRecord(
    source="folder", tree="sha256:" + "0" * 64, template="sha256:" + "1" * 64, architecture="LlamaForCausalLM",
    parameters=1000, vocabulary=259, hidden_size=32,
)  # fmt: skip


def silent(stage: str, done: float, total: float, **figures: float) -> None:
    """Progress nobody watches."""


@pytest.fixture(scope="module")
def examples(tiny_base: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Encoded]:
    """Eleven short conversations: in steps of 4 the last of a pass is a short one, which two workers share unevenly."""
    words = ["ab", "cd", "ef", "gh", "ij", "kl", "mn", "op", "qr", "st", "uv"]
    path = tmp_path_factory.mktemp("data") / "chats.jsonl"
    turns = [(f"{word}?", word * (1 + at % 4)) for at, word in enumerate(words)]
    rows = [[{"role": "user", "content": asked}, {"role": "assistant", "content": said}] for asked, said in turns]
    path.write_text("".join(json.dumps({"messages": row}) + "\n" for row in rows))
    renderer = Renderer(tiny_base)
    return [renderer.encode(row, 128) for row in read_rows(DataBlock(source=str(path)))]


CLUSTER = """
import sys, ray
print(ray.init(address="local", num_cpus=2, include_dashboard=False, object_store_memory=150_000_000,
    logging_level="ERROR", _temp_dir=sys.argv[1], _node_ip_address="127.0.0.1").address_info["address"], flush=True)
sys.stdin.read()
"""


@pytest.fixture(scope="module")
def cluster() -> Iterator[str]:
    """The address of a Ray cluster that others started; training connects to it and leaves it running."""
    settings = {"RAY_TRAIN_V2_ENABLED": "1", "RAY_USAGE_STATS_ENABLED": "0", "RAY_worker_niceness": "0"}
    with pytest.MonkeyPatch.context() as patch, tempfile.TemporaryDirectory(prefix="tg-", dir="/tmp") as folder:
        head = subprocess.Popen(
            [sys.executable, "-c", CLUSTER, folder],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
            env={**os.environ, **settings}, cwd=Path(__file__).parents[2],
        )  # fmt: skip
        # The token is the one Ray keeps for this user: one of its own would stay in this process's cache.
        patch.setenv("RAY_AUTH_MODE", "token")
        assert head.stdin is not None and head.stdout is not None
        with head, head.stdin, head.stdout:
            yield head.stdout.readline().strip()
            assert head.poll() is None, "training stopped a cluster that is not its own"


@pytest.fixture(scope="module")
def alone(cluster: str, tiny_base: Path, examples: list[Encoded], tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """What one worker learns."""
    return run(block(), tiny_base, examples, tmp_path_factory.mktemp("alone"), cluster)


def block(workers: int = 1, strategy: str = "auto", **changes: Any) -> FinetuneBlock:
    settings = {"steps": 6, "rows_per_step": 4, "learning_rate": 5e-3, "max_length": 128, "checkpoint_steps": 2}
    return FinetuneBlock(
        base=BaseBlock(model="m"),
        data=DataBlock(source="d.jsonl"),
        lora=LoraBlock(rank=4),
        train=TrainBlock.model_validate({**settings, "precision": "float32", **changes}),
        parallel=ParallelBlock(workers=workers, device="cpu", strategy=strategy),
    )


def run(
    settings: FinetuneBlock,
    base: Path,
    examples: list[Encoded],
    folder: Path,
    address: str | None = None,
    progress: Any = silent,
) -> Trained:
    return train(settings, BASE, base, examples, folder, address, progress)


def weights(trained: Trained) -> str:
    return hash_file(trained.adapter_folder / "adapter_model.safetensors")


def tensors(trained: Trained) -> dict[str, Any]:
    from safetensors.torch import load_file

    return dict(load_file(trained.adapter_folder / "adapter_model.safetensors"))


@pytest.mark.parametrize(("left", "ended"), [('{"steps": 6}', True), ("", False), ('{"ste', False)])
def test_a_run_that_died_while_it_wrote_its_end_has_not_ended(left: str, ended: bool, tmp_path: Path) -> None:
    (tmp_path / "adapter").mkdir()
    (tmp_path / "job.json").write_text("guard")
    (tmp_path / "done.json").write_text(left)
    assert (open_run(tmp_path, "guard") == {"steps": 6}) is ended


@pytest.mark.slow
def test_the_same_run_gives_the_same_bytes_and_says_how_far_it_is(
    alone: Trained, tiny_base: Path, examples: list[Encoded], tmp_path: Path
) -> None:
    seen: list[float] = []
    again = run(
        block(), tiny_base, examples, tmp_path, None, lambda stage, done, total, **figures: seen.append(done / total)
    )
    assert weights(alone) == weights(again)
    assert alone.record == again.record
    assert alone.record.final_loss < alone.record.first_loss
    assert alone.record.supervised_tokens == 2 * sum(row.supervised for row in examples)  # two passes of three steps
    assert seen[-1] == 1.0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("two workers", {"workers": 2}),
        ("two workers with a split base", {"workers": 2, "strategy": "fsdp"}),
        pytest.param("a row at a time, padded", {"rows_per_device": 1, "packing": "off"}, marks=pytest.mark.fault),
    ],
)
@pytest.mark.timeout(300)
def test_what_is_learnt_does_not_depend_on_where(
    name: str,
    settings: dict[str, Any],
    alone: Trained,
    cluster: str,
    tiny_base: Path,
    examples: list[Encoded],
    tmp_path: Path,
) -> None:
    other = run(block(**settings), tiny_base, examples, tmp_path, cluster)
    ours, theirs = tensors(alone), tensors(other)
    assert ours.keys() == theirs.keys()
    worst = max(float((ours[key] - theirs[key]).abs().max()) for key in ours)
    assert worst < 1e-4, f"{name}: {worst}"  # weights move by about 5e-3 a step
    assert other.record.final_loss == pytest.approx(alone.record.final_loss, abs=1e-4)


@pytest.mark.fault
@pytest.mark.timeout(300)
def test_a_split_base_learns_in_bfloat16(
    alone: Trained, cluster: str, tiny_base: Path, examples: list[Encoded], tmp_path: Path
) -> None:
    settings = block(workers=2, strategy="fsdp", precision="bfloat16")
    split = run(settings, tiny_base, examples, tmp_path, cluster)
    assert (split.record.strategy, split.record.precision) == ("fsdp", "bfloat16")
    assert split.record.final_loss == pytest.approx(alone.record.final_loss, rel=0.03)


def drive(folder: str, base: str, examples: list[Encoded]) -> None:
    """A driver in a process of its own, to be disturbed."""
    os.setsid()
    run(LONG, Path(base), examples, Path(folder))


LONG = block(steps=400, checkpoint_steps=10)


@pytest.fixture(scope="module")
def undisturbed(
    cluster: str, tiny_base: Path, examples: list[Encoded], tmp_path_factory: pytest.TempPathFactory
) -> str:
    """The digest of what the long run learns."""
    return weights(run(LONG, tiny_base, examples, tmp_path_factory.mktemp("undisturbed"), cluster))


@pytest.fixture
def driver(tiny_base: Path, examples: list[Encoded], tmp_path: Path) -> Iterator[multiprocessing.Process]:
    """A long run in `tmp_path` that has left a checkpoint and is not at its end."""
    started = multiprocessing.get_context("spawn").Process(target=drive, args=(tmp_path, tiny_base, examples))
    started.start()
    deadline = time.monotonic() + 240
    while not any((tmp_path / "checkpoints").glob("step-*.safetensors")):
        assert time.monotonic() < deadline and started.is_alive(), "it left no checkpoint"
        time.sleep(0.05)
    assert not (tmp_path / "done.json").exists(), "it ended before it could be disturbed"
    yield started
    if started.is_alive() and started.pid is not None:
        os.killpg(started.pid, signal.SIGKILL)
    started.join()


@pytest.mark.fault
def test_a_killed_run_continues_to_the_same_bytes(
    driver: multiprocessing.Process, undisturbed: str, cluster: str, tiny_base: Path, examples: list[Encoded],
    tmp_path: Path,
) -> None:  # fmt: skip
    assert driver.pid is not None
    os.kill(driver.pid, signal.SIGKILL)
    driver.join()
    assert weights(run(LONG, tiny_base, examples, tmp_path, cluster)) == undisturbed


@pytest.mark.fault
def test_a_killed_worker_is_started_again_and_ends_with_the_same_bytes(
    driver: multiprocessing.Process, undisturbed: str, tmp_path: Path
) -> None:
    def workers() -> list[psutil.Process]:
        family = psutil.Process(driver.pid).children(recursive=True)
        return [process for process in family if "RayTrainWorker" in "".join(process.cmdline())]

    (first,) = workers()
    first.kill()
    driver.join(timeout=300)
    assert driver.exitcode == 0
    assert hash_file(tmp_path / "adapter" / "adapter_model.safetensors") == undisturbed


@pytest.mark.fault
def test_a_loss_that_explodes_stops_the_run(
    cluster: str, tiny_base: Path, examples: list[Encoded], tmp_path: Path
) -> None:
    import shutil

    broken = Path(shutil.copytree(tiny_base, tmp_path / "broken"))
    from safetensors.torch import load_file, save_file

    state = load_file(broken / "model.safetensors")
    state["model.norm.weight"][:] = float("nan")
    save_file(state, broken / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(TrainingFault, match="not finite at step 1"):
        run(block(packing="off"), broken, examples, tmp_path / "run", cluster)


def test_resources_that_cannot_be_had_are_an_error_at_once() -> None:
    with pytest.raises(ResourcesUnavailable, match="64 workers"):
        place(ParallelBlock(workers=64, device="cpu"), Resources(cpus=2, gpus=0))
    with pytest.raises(ResourcesUnavailable, match="1 GPUs"):
        place(ParallelBlock(workers=1, device="gpu"), Resources(cpus=2, gpus=0))


def test_one_worker_alone_gets_every_cpu() -> None:
    assert place(ParallelBlock(workers=1), Resources(cpus=8, gpus=0)).cpus == 8
    assert place(ParallelBlock(workers=2), Resources(cpus=8, gpus=0)).cpus == 4


@pytest.mark.parametrize(
    ("workers", "strategy", "weights", "expected"),
    [
        (1, "auto", 1 << 60, "none"),
        (2, "auto", 1, "ddp"),
        (2, "auto", 1 << 60, "fsdp"),
        (2, "fsdp", 1, "fsdp"),
        (2, "ddp", 1 << 60, "ddp"),
    ],
)
def test_a_base_too_large_for_a_device_is_split(workers: int, strategy: str, weights: int, expected: str) -> None:
    parallel = ParallelBlock(workers=workers, device="cpu", strategy=strategy)
    assert resolve_strategy(parallel, place(parallel, Resources(cpus=2, gpus=0)), weights) == expected
