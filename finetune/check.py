"""Everything that can be known before training, on the user's own model and rows; nothing is trained.

In order: the rows and the template, whether the adapter could be served and the workers placed, then proofs on the
model itself (loss mask, ends of turns, packing, loss, accumulation, two workers) and one measured step, from which time
and memory are estimated.
"""

from collections.abc import Sequence
from pathlib import Path

from finetune.base import read_config
from finetune.cluster import Resources
from finetune.dataset import Prepared
from finetune.estimate import FLOAT32_BYTES, Estimate
from finetune.findings import Finding, fail, ok, warn
from finetune.forecast import GIB, Plan, estimate, forecast_findings, memory_available, plan, plan_finding
from finetune.limits import refuse_unservable
from finetune.measure import shape_of
from finetune.render import Encoded, Renderer, Segment
from finetune.rowcheck import Example, context_finding, end_finding, mask_finding, row_findings
from finetune.trials import WORKERS, Trials, run_trials
from tunegate_core.config import FinetuneBlock, LoraBlock
from tunegate_core.errors import BadInput
from tunegate_core.records import BaseModelRecord, Record

HANDFUL = 4
SHORT_TOKENS = 160


class CheckReport(Record):
    """Findings in the order they were made, one row with its loss mask, whether packing may be on, and the estimate.

    `packing_exact` is None where the proof could not be run, `estimate` where the workers can't be placed.
    """

    findings: tuple[Finding, ...]
    example: tuple[Segment, ...]
    packing_exact: bool | None
    estimate: Estimate | None

    @property
    def ok(self) -> bool:
        """Nothing was found that must stop the training."""
        return all(finding.status != "fail" for finding in self.findings)


def check(
    block: FinetuneBlock, base: BaseModelRecord, folder: Path, prepared: Prepared, resources: Resources, home: Path
) -> CheckReport:
    """Check a config whose base (`folder`, materialised) and rows are there. About half a minute for 135M parameters.

    Raises BadInput only where nothing more could be found out, as for targets the model does not have.
    """
    renderer = Renderer(folder)
    shape = shape_of(folder, block.lora, base.parameters)
    handful = _handful(prepared)
    findings = [
        *row_findings(prepared, renderer),
        context_finding(prepared, read_config(folder, "the base model")),
        _serving(block.lora, folder),
        mask_finding(handful, renderer),
        end_finding(handful, renderer),
    ]
    planned = plan(block, resources, base.parameters)
    trials = _trials(block, base, folder, handful, prepared.examples, planned)
    findings += trials.findings if isinstance(trials, Trials) else [trials]
    found = None
    if isinstance(planned, Plan):
        probe = trials.probe if isinstance(trials, Trials) else None
        found = estimate(block, prepared, shape, planned, probe)
        findings += [plan_finding(planned, resources), *forecast_findings(found, block, home, planned.placement.gpu)]
    else:
        findings.append(planned)
    return CheckReport(
        findings=tuple(findings),
        example=tuple(renderer.segments(handful[0][1])),
        packing_exact=trials.packing_exact if isinstance(trials, Trials) else None,
        estimate=found,
    )


def _trials(
    block: FinetuneBlock,
    base: BaseModelRecord,
    folder: Path,
    handful: Sequence[Example],
    rows: Sequence[Encoded],
    planned: Plan | Finding,
) -> Trials | Finding:
    """The trials, or why they can't be run: they hold the model in float32 in this process and in each worker."""
    needed = (WORKERS + 1) * base.parameters * FLOAT32_BYTES * 2
    available = memory_available()
    if available is not None and needed > available:
        return warn(
            "proofs",
            f"packing, loss, accumulation and workers are not proved and no step is measured: that takes "
            f"{needed / GIB:.1f} GiB, {available / GIB:.1f} GiB are available here",
        )
    low, gpu = (planned.low, planned.placement.gpu) if isinstance(planned, Plan) else (False, False)
    return run_trials(
        folder,
        block.lora,
        [encoded for _, encoded in handful],
        rows,
        packing=block.train.packing == "on",
        low=low,
        gpu=gpu,
    )


def _serving(lora: LoraBlock, folder: Path) -> Finding:
    try:
        servable = refuse_unservable(lora, read_config(folder, "the base model"))
    except BadInput as error:
        return fail("serving", str(error))
    return ok("serving", f"vLLM takes rank {lora.rank} (max_lora_rank {servable.max_lora_rank}) and every module")


def _handful(prepared: Prepared) -> list[Example]:
    """A few short rows, in order: what is proved does not depend on their length, and the proofs stay quick."""
    pairs = list(zip(prepared.rows, prepared.examples, strict=True))
    whole = [pair for pair in pairs if not pair[1].truncated] or pairs
    short = [pair for pair in whole if pair[1].length <= SHORT_TOKENS]
    return (short or sorted(whole, key=lambda pair: pair[1].length))[:HANDFUL]
