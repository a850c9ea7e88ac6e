"""The verbs of data: where it went, and how it is withdrawn."""

from typing import Annotated

import typer

from tunegate import views
from tunegate.arguments import AsJson, Version
from tunegate.house import House
from tunegate.progress import watched
from tunegate_core.errors import BadInput

verbs = typer.Typer()

Row = Annotated[str | None, typer.Option(metavar="SET#N", help="One row, and every other of the same text.")]
Subject = Annotated[str | None, typer.Option(metavar="WORDS", help="Every row in which these words stand.")]


@verbs.command()
def trace(
    what: Annotated[str | None, typer.Argument(metavar="[ID]", help="A response id, or NAME@N.")] = None,
    row: Row = None,
    subject: Subject = None,
    as_json: AsJson = False,
) -> None:
    """Follow an answer or a release back to its data, or data forward to what learnt from it and where it answers."""
    from tunegate import tracing

    if [what, row, subject].count(None) != 2:
        raise BadInput("say what to follow: a response id or NAME@N, --row SET#N, or --subject WORDS; one of them")
    house = House.from_environment()
    if what is not None:
        found = tracing.trace_release(house, what) if "@" in what else tracing.trace_answer(house, what)
        views.show(found, views.traced, as_json)
        return
    rows = tracing.find_row(house, row) if row is not None else tracing.find_subject(house, str(subject))
    views.show(tracing.trace_rows(house, rows), views.traced_rows, as_json)


@verbs.command()
def reproduce(
    version: Version,
    inputs: Annotated[bool, typer.Option("--inputs", help="Compare what went in; train nothing.")] = False,
    as_json: AsJson = False,
) -> None:
    """Make a release again from its records; say what matched (by digest or within intervals) and what could not."""
    from tunegate.reproducing import reproduce as run

    with watched(quiet=as_json) as progress:
        found = run(House.from_environment(progress=progress), version, inputs)
    views.show(found, views.reproduced, as_json)
    raise typer.Exit(0 if found["reproduced"] or found["inputs_match"] else 1)


@verbs.command()
def erase(
    row: Row = None,
    subject: Subject = None,
    reason: Annotated[str | None, typer.Option(help="Why; without it, shows what would be erased.")] = None,
    as_json: AsJson = False,
) -> None:
    """Withdraw rows: their text and salt go, here and in known backups; what learnt from them ends, or is made anew."""
    from tunegate import erasing

    house = House.from_environment()
    done = erasing.preview(house, row, subject) if reason is None else erasing.erase(house, row, subject, reason)
    views.show(done, views.erasure, as_json)
