"""What a person sees of feedback: from the same values that `--json` prints."""

from typing import Any

from rich.console import Console
from rich.table import Table

from tunegate.views import escape

STANDING = {"agrees": "green", "like chance": "red", "too little to tell": "yellow"}


def imported(out: Console, value: dict[str, Any]) -> None:
    """What came in, and what could not."""
    out.print(f"{value['recorded']} recorded from {escape(value['source'])}, {value['known']} were known")
    for reason, count in value.get("left_out", {}).items():
        out.print(f"  left out: {count}, {escape(reason)}")
    for queue, statuses in value.get("queues", {}).items():
        out.print(f"  queue {escape(queue)}: " + ", ".join(f"{count} {status}" for status, count in statuses.items()))


def listed(out: Console, value: dict[str, Any]) -> None:
    """Counts, and what waits."""
    kinds = ", ".join(f"{count} {kind}" for kind, count in value["kinds"].items()) or "nothing"
    out.print(f"{kinds}; by {value['authors']} people, {value['consented']} may be learnt from")
    out.print(f"{value['recorded']} entries in {value['batches']} batches, {value['erased']} erased")
    for sheet in value["waiting"]:
        state = f"{sheet['missing']} of {sheet['prompts']} prompts wait" if sheet["missing"] else "all rated"
        judge = "" if sheet["missing"] else f"; judge it: tunegate evaluate {sheet['version']}"
        told = f"{state} for {sheet['raters']} rater(s) each, against {sheet['against']}{judge}"
        out.print(f"{sheet['version']} {sheet['task']}: {told}")


def agreed(out: Console, value: dict[str, Any]) -> None:
    """Coefficients, annotators, win rates and strengths."""
    for question in value["questions"]:
        raw = "-" if question["raw"] is None else f"{100 * question['raw']:.1f} %"
        out.print(
            f"[bold]{escape(question['question'])}[/]: {question['labels']} labels on {question['units']} units, "
            f"{question['shared']} with two or more; raw agreement {raw}"
        )
        for name in ("alpha", "fleiss"):
            out.print(f"  {name}: {measure(question[name])}")
        for pair in question["cohen"]:
            out.print(f"  kappa of {escape(pair['first'])} and {escape(pair['second'])}: {measure(pair['measure'])}")
        for one in question["annotators"]:
            colour = STANDING[one["standing"]]
            out.print(f"  {escape(one['author'])}: [{colour}]{one['standing']}[/], {one['why']}")
    for rate in value["win_rates"]:
        out.print(
            f"{escape(rate['a'])} preferred to {escape(rate['b'])}: {interval(rate['interval'], 100)} % "
            f"({rate['wins']} won, {rate['ties']} tied, {rate['losses']} lost; {rate['prompts']} prompts)"
        )
    strengths = value["strengths"]
    if strengths["why"]:
        out.print(f"strengths: {escape(strengths['why'])}")
        return
    table = Table("system", "log odds", "from", "to", box=None)
    for one in strengths["systems"]:
        table.add_row(one["system"], *(_number(one[key]) for key in ("value", "low", "high")))
    out.print(table)


def exported(out: Console, value: dict[str, Any]) -> None:
    """Where it is, and what is not in it."""
    out.print(f"wrote {value['pairs']} pairs to {escape(value['path'])} ({value['digest']})")
    for reason, count in value["left_out"].items():
        out.print(f"  left out: {count}, {reason}")


def sent(out: Console, value: dict[str, Any]) -> None:
    """How much was told."""
    out.print(f"{value['sent']} scores sent to {value['to']}")


def measure(value: dict[str, Any]) -> str:
    """A coefficient with its interval, or why there is none."""
    return str(value["why"]) if value["interval"] is None else interval(value["interval"], 1)


def interval(value: dict[str, Any], scale: int) -> str:
    """`0.88 [0.85, 0.91], n=1500`; no brackets where there is no interval."""
    if value["value"] is None:
        return "not measured"
    digits = 1 if scale > 1 else 3
    bounds = "" if value["low"] is None else f" [{scale * value['low']:.{digits}f}, {scale * value['high']:.{digits}f}]"
    return f"{scale * value['value']:.{digits}f}{bounds}"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:+.3f}"
