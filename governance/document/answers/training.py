"""How the adapter was made: settings as planned, and what the run did."""

from typing import Any

from governance.document.held import Held
from governance.document.model import Fact, Table
from tunegate_core.records import TrainingRecord

RUN = (
    ("steps", "steps"), ("rows per step", "rows_per_step"), ("tokens with a loss", "supervised_tokens"),
    ("first loss", "first_loss"), ("final loss", "final_loss"), ("packing", "packing"), ("precision", "precision"),
    ("workers", "workers"), ("strategy", "strategy"), ("trained parameters", "trained_parameters"),
)  # fmt: skip


def settings(held: Held) -> list[Table]:
    """The settings of the config's adapter and optimisation blocks; `auto` is what was asked, the run says the rest."""
    block = held.config.get("finetune", {})
    rows = tuple(
        held.row((f"{part}.{key}", shown(value)), "planned", held.planned.config)
        for part in ("lora", "train", "parallel")
        for key, value in sorted(block.get(part, {}).items())
        if value is not None
    )
    return [Table(title="Settings", head=("setting", "value"), rows=rows)] if rows else []


def run(held: Held) -> list[Table]:
    """What training did and measured."""
    event = held.last("trained")
    if event is None:
        return []
    record = TrainingRecord.model_validate(event.body["training"])
    rows = tuple(held.row((name, shown(getattr(record, key))), "trained") for name, key in RUN)
    return [Table(title="The run", head=("figure", "value"), rows=rows)]


def hardware(held: Held) -> list[Fact]:
    """Where it ran."""
    event, found = held.last("trained"), held.environment
    if event is None or found is None:
        return []
    blob = event.body["environment"]
    facts = [
        held.fact("machine", found.machine, "trained", blob),
        held.fact("processors", found.cpu_count, "trained", blob),
        held.fact("memory", f"{found.memory_bytes / 2**30:.1f} GiB", "trained", blob),
    ]
    if found.accelerators:
        facts.append(held.fact("accelerators", ", ".join(found.accelerators), "trained", blob))
    return facts


def software(held: Held) -> list[Table]:
    """Versions of what trained it."""
    event, found = held.last("trained"), held.environment
    if event is None or found is None:
        return []
    blob = event.body["environment"]
    lines = [("Python", found.python), *sorted(found.packages.items())]
    if found.git_commit:
        lines.append(("source commit", found.git_commit + (" with changes" if found.git_dirty else "")))
    rows = tuple(held.row(line, "trained", blob) for line in lines)
    return [Table(title="Software", head=("package", "version"), rows=rows)]


def shown(value: Any) -> str:
    """A setting as text."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value))
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:g}" if isinstance(value, float) else str(value)
