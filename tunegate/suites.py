"""A file of answers to a public bias suite, scored by the suite's own formula: nothing is trained or recorded."""

from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from tunegate.views import escape
from tunegate_core import registry
from tunegate_core.errors import BadInput

PACKAGE = "eval.suites"
DOCS = "docs/fairness.md"


def score_suite(suite: str, answers: Path, data: Path | None, column: str | None) -> dict[str, Any]:
    """The report on one file of answers. `column`: where the answer stands, if not under its own name.

    Raises BadInput for an unknown suite, DataError for files that can't be read as they are.
    """
    from eval.answers import joined, read_jsonl

    plugin = load_suite(suite)
    rows = read_jsonl(answers)
    if column is not None:
        rows = _renamed(rows, column, plugin.columns.answer, suite)
    found = joined(answers, rows, plugin.columns, None if data is None else plugin.read_data(data))
    report: dict[str, Any] = plugin.score(found).model_dump(mode="json")
    return report


def load_suite(suite: str) -> Any:
    """The plug-in (`crows-pairs` is `eval/suites/crows_pairs.py`)."""
    known = [name.replace("_", "-") for name in registry.names(PACKAGE)]
    if suite not in known:
        hint = registry.nearest(suite, known)
        raise BadInput(f"there is no suite '{suite}'{hint}; there are: {', '.join(known)}; see {DOCS}")
    return registry.load(PACKAGE, suite.replace("-", "_"))


def view(out: Console, value: dict[str, Any]) -> None:
    """What was measured, then every figure with its interval."""
    lost = ", ".join(f"{reason}: {count}" for reason, count in value["unmeasured"].items()) or "none"
    out.print(
        f"[bold]{value['suite']}[/]: {value['measured']} of {value['rows']} answers measured; lost: {escape(lost)}"
    )
    out.print(escape(value["definition"]))
    for warning in value["warnings"]:
        out.print(f"[yellow]look[/] {escape(warning)}")
    table = Table("where", "figure", "value", "95 % interval", "n", "clusters", "how", box=None)
    for figure in value["figures"]:
        where = ", ".join(figure["where"].values())
        has_span = figure["low"] is not None
        span = f"{figure['low']:.1f} to {figure['high']:.1f}" if has_span else "none"
        shown = "not measured" if figure["value"] is None else _number(figure["value"], figure["unit"])
        table.add_row(
            escape(where), figure["name"], shown, span, str(figure["n"]), str(figure["clusters"]), figure["method"]
        )
    out.print(table)


def _number(value: float, unit: str) -> str:
    return f"{value:.4f}" if unit == "p" else f"{value:.1f} {unit}"


def _renamed(rows: list[dict[str, Any]], column: str, answer: tuple[str, ...], suite: str) -> list[dict[str, Any]]:
    if len(answer) != 1:
        raise BadInput(f"the suite '{suite}' reads the columns {', '.join(answer)}; --column can't rename them")
    missing = next((number for number, row in enumerate(rows, start=1) if column not in row), None)
    if missing is not None:
        hint = registry.nearest(column, list(rows[missing - 1]))
        raise BadInput(f"row {missing} of the answers has no column '{column}'{hint}")
    return [{**row, answer[0]: row[column]} for row in rows]
