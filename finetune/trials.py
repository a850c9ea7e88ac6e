"""The proofs of `finetune.proofs`, run on a handful of rows, as findings; and one measured step."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from finetune.findings import Finding, fail, judge, ok, warn
from finetune.measure import Probe, probe_step
from finetune.proofs import (
    GRADIENT_TOLERANCE,
    LOGIT_TOLERANCE,
    gradient,
    load_for_proof,
    own_gradient,
    packing_is_exact,
    relative_difference,
)
from finetune.render import Encoded
from finetune.worker import without_casts
from tunegate_core.config import LoraBlock

if TYPE_CHECKING:
    import torch

WORKERS = 2
WAIT_SECONDS = 180
TOLERANCE = f"{GRADIENT_TOLERANCE:.0e}"


@dataclass(frozen=True)
class Trials:
    """What the trials found."""

    findings: list[Finding]
    packing_exact: bool
    probe: Probe


def run_trials(
    folder: Path,
    lora: LoraBlock,
    handful: Sequence[Encoded],
    rows: Sequence[Encoded],
    *,
    packing: bool,
    low: bool,
    gpu: bool,
) -> Trials:
    """Prove on `handful`, then time a step on `rows`, in bfloat16 if `low`; `packing`: the config insists on it.

    The two gloo workers start first: they load the model while this process proves the rest.
    """
    import torch

    supervised = sum(example.supervised for example in handful)
    threads = torch.get_num_threads()
    torch.set_num_threads(max(1, threads // WORKERS))  # more threads than cores would spin, not compute
    with tempfile.TemporaryDirectory(prefix="tunegate-proof-") as place:
        order = Path(place) / "order.json"
        order.write_text(json.dumps(_order(folder, lora, handful, supervised)), "utf-8")
        workers = [_start(order, rank) for rank in range(WORKERS)]
        try:
            model = load_for_proof(folder, lora)
            exact, difference = packing_is_exact(model, handful)
            at_once = gradient(model, [handful], supervised)
            one_by_one = gradient(model, [[row] for row in handful], supervised)
            own = own_gradient(model, handful, supervised)
            two = _two_workers(order, workers, at_once)
        finally:
            _end(workers)
            torch.set_num_threads(threads)
    findings = [
        _packing(exact, difference, packing),
        _loss(relative_difference(own, one_by_one)),
        _accumulation(relative_difference(one_by_one, at_once)),
        two,
    ]
    return Trials(findings, exact, probe_step(_as_trained(model, low, gpu), rows))


def _as_trained(model: Any, low: bool, gpu: bool) -> Any:
    """The model where and how it will be trained: the base in the working precision, the adapter in float32."""
    import torch

    without_casts(model)
    model = model.to("cuda") if gpu else model
    for parameter in model.parameters():
        if low and not parameter.requires_grad:
            parameter.data = parameter.data.to(torch.bfloat16)
    return model


def _packing(exact: bool, difference: float, wanted: bool) -> Finding:
    seen = f"logits differ by {difference:.1e}, tolerance {LOGIT_TOLERANCE:.0e}"
    if exact:
        return ok("packing", f"rows in one sequence don't see each other: {seen}")
    if wanted:
        return fail("packing", f"rows in one sequence see each other: {seen}; set finetune.train.packing to off")
    return warn("packing", f"rows in one sequence see each other: {seen}; packing stays off, training is slower")


def _loss(difference: float) -> Finding:
    if difference < GRADIENT_TOLERANCE:
        return ok("loss", f"its gradient is the model's own within {difference:.1e} (tolerance {TOLERANCE})")
    return warn(
        "loss",
        f"the model does more after its last layer than apply its head (scales or caps logits: gradients differ by "
        f"{difference:.1e}); training goes through its own logits, which takes more memory",
    )


def _accumulation(difference: float) -> Finding:
    return judge(
        difference < GRADIENT_TOLERANCE,
        "gradient accumulation",
        f"rows at once and one by one give the same gradient within {difference:.1e} (tolerance {TOLERANCE})",
        f"rows at once and one by one give gradients that differ by {difference:.1e}, expected less than "
        f"{TOLERANCE}; this model's loss depends on how rows are grouped",
    )


def _two_workers(order: Path, workers: Sequence["subprocess.Popen[bytes]"], at_once: "torch.Tensor") -> Finding:
    from safetensors.torch import load_file

    try:
        told = [worker.communicate(timeout=WAIT_SECONDS)[1].decode(errors="replace") for worker in workers]
    except subprocess.TimeoutExpired:
        return fail("two workers", f"two gloo workers did not finish in {WAIT_SECONDS} s; is this machine overloaded?")
    if any(worker.returncode for worker in workers):
        lines = [text.strip().splitlines()[-1] for text in told if text.strip()]
        return fail("two workers", f"a gloo worker failed: {'; '.join(lines) or 'no message'}")
    difference = relative_difference(at_once, load_file(order.with_name("gradient.safetensors"))["gradient"])
    return judge(
        difference < GRADIENT_TOLERANCE,
        "two workers",
        f"two workers give the first step of one within {difference:.1e} (tolerance {TOLERANCE})",
        f"two workers give a first step that differs by {difference:.1e}, expected less than {TOLERANCE}",
    )


def _order(folder: Path, lora: LoraBlock, handful: Sequence[Encoded], supervised: int) -> dict[str, Any]:
    return {
        "folder": str(folder),
        "lora": lora.model_dump(mode="json"),
        "examples": [asdict(example) for example in handful],
        "supervised": supervised,
        "world": WORKERS,
        "threads": max(1, (os.cpu_count() or 1) // WORKERS),
    }


def _start(order: Path, rank: int) -> "subprocess.Popen[bytes]":
    # gloo otherwise asks for the host's name, which need not resolve; both workers are on this machine.
    loopback = {"GLOO_SOCKET_IFNAME": "lo"} if sys.platform == "linux" else {}
    return subprocess.Popen(
        [sys.executable, "-m", "finetune.proof_worker", str(order), str(rank)],
        env={**os.environ, **loopback, "CUDA_VISIBLE_DEVICES": ""},
        cwd=Path(__file__).resolve().parents[1],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )


def _end(workers: Sequence["subprocess.Popen[bytes]"]) -> None:
    for worker in workers:
        if worker.poll() is None:
            worker.kill()
        worker.wait()
        if worker.stderr is not None:
            worker.stderr.close()
