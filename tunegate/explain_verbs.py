"""The verb that explains one answer."""

from typing import Annotated, Any

import typer
from rich.console import Console

from tunegate import views
from tunegate.arguments import AsJson, Version
from tunegate.house import House
from tunegate.views import escape

verbs = typer.Typer()


@verbs.command()
def explain(
    version: Version,
    prompt: Annotated[str, typer.Option(help="What is asked.")],
    record: Annotated[bool, typer.Option("--record", help="Keep it in the ledger; reports then show it.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show the words one answer hangs on, edits that change it, and training rows that read alike."""
    from tunegate.explaining import explain as run

    house = House.from_environment()
    found = run(house, version, prompt)
    if record:
        from tunegate.explained import record as keep

        found["event"] = keep(house, found).seq
    views.show(found, explanation, as_json)


def explanation(out: Console, value: dict[str, Any]) -> None:
    """Answer, words by weight, edits and rows."""
    out.print(f"[bold]{escape(value['version'])}[/] answers: {escape(value['answer'])}")
    for word in sorted(value["words"], key=lambda one: -one["weight"])[:10]:
        out.print(f"  {word['weight']:+7.2f} {escape(word['word'])}")
    if value["deletion"] is not None:
        out.print(
            f"without the heaviest third the answer loses {value['deletion']:.2f} nats, without others "
            f"{value['chance']:.2f}" + ("" if value["deletion"] > value["chance"] else ": the weights say nothing here")
        )
    for edit in value["edits"]:
        out.print(f"  without '{escape(' '.join(edit['without']))}': {escape(edit['answer'])}")
    if value["fewest"] and len(value["fewest"]["without"]) > 1:
        out.print(f"  fewest: without '{escape(' '.join(value['fewest']['without']))}'")
    for row in value["nearest"]:
        out.print(f"  row {row['row']} ({row['similarity']:.2f}): {escape(row['text'])}")
    if "event" in value:
        out.print(f"recorded as event {value['event']}; reports of {escape(value['version'])} show it from now on")
