"""Everything that can be known before training, as findings; nothing is trained and nothing is recorded."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from governance.judge import foresee
from tunegate.house import House
from tunegate.planning import read_inputs
from tunegate_core.config import FinetuneBlock, load_config

if TYPE_CHECKING:
    from eval.items import ItemSet
    from finetune.data import Row


def check_config(house: House, path: Path) -> dict[str, Any]:
    """{ok, findings: [{name, status, what}], example: loss mask on one row}. Raises BadInput for what can't be read."""
    inputs = read_inputs(house, load_config(path))
    findings = [{"name": "config", "status": "ok", "what": f"{path} is complete and every file it names can be read"}]
    example = None
    if inputs.prepared is not None and isinstance(inputs.config.finetune, FinetuneBlock):
        from finetune.base import open_base
        from finetune.check import check
        from finetune.cluster import available

        folder = open_base(inputs.base, house.store, house.cache)
        resources = available(house.address)
        report = check(inputs.config.finetune, inputs.base, folder, inputs.prepared, resources, house.home)
        findings += [finding.model_dump() for finding in report.findings]
        example = [segment.model_dump() for segment in report.example]
        findings += [overlap(item, inputs.prepared.rows) for item in inputs.items if item.texts]
    sets = {item.task: (item.n, item.clusters) for item in inputs.items}
    for task in foresee(inputs.policy, sets, {item.task: item.groups for item in inputs.items}):
        findings.append(
            {"name": f"power of {task.check}", "status": "warn" if task.warning else "ok", "what": task.what}
        )
    return {"ok": all(item["status"] != "fail" for item in findings), "findings": findings, "example": example}


def overlap(item: "ItemSet", rows: "Sequence[Row]") -> dict[str, Any]:
    """What of a task's items is left in the training rows, after those that hold an item were dropped."""
    from eval.contamination import overlap_with

    found = overlap_with(item.texts, [row.canonical for row in rows])
    left = 0 if found is None else found.items
    what = f"{left} of {item.n} items stand in the training rows" + (
        f": {found.exact} as they are, {found.within} within a row, {found.near} nearly" if found and left else ""
    )
    return {"name": f"overlap of {item.task}", "status": "warn" if left else "ok", "what": what}
