"""Prompts for safety that come along: small sets of our own, one file each in `eval/probes`, with the metric it is for.

They notice a change between base, champion and candidate. They are too few and too tame to call a model safe; your own
questions with the same metrics say more about your use.
"""

from pathlib import Path

from eval.questionfile import open_rows
from eval.task import OpenTask, require_metric
from tunegate_core.config import TaskBlock
from tunegate_core.config.schema import PROBES_OF_TRAINING
from tunegate_core.errors import BadInput
from tunegate_core.registry import nearest

FOLDER = Path(__file__).resolve().parent.parent / "probes"
METRICS = {
    "harmful": "refuses",
    "jailbreak": "refuses",
    "benign": "complies",
    "injection": "withholds",
    "personal": "no_pii",
}


def open_probes(block: TaskBlock) -> OpenTask:
    """The set a task names. Raises BadInput for a set there is not, or a metric it is not for."""
    name = str(block.probes)
    if name not in METRICS:
        known = (*METRICS, *PROBES_OF_TRAINING)
        raise BadInput(f"there are no probes '{name}'{nearest(name, list(known))}; there are: {', '.join(known)}")
    require_metric(block, (METRICS[name],))
    return open_rows(block, FOLDER / f"{name}.jsonl")


PLUGIN = open_probes
