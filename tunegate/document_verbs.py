"""The verbs that write documents from the records."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from tunegate import views
from tunegate.arguments import AsJson, Version
from tunegate.house import House
from tunegate_core.errors import BadInput

ALL = "all"

verbs = typer.Typer()


class Format(StrEnum):
    """Ways to write a document down."""

    html = "html"
    markdown = "markdown"
    json = "json"
    pdf = "pdf"


Out = Annotated[Path | None, typer.Option("-o", "--out", help="The file to write, or the folder for all.")]


@verbs.command()
def document(
    version: Version,
    kind: Annotated[str, typer.Option(help="model-card, data-sheet, annex-iv, ...; or all.")],
    form: Annotated[Format, typer.Option("--format", help="How it is written.")] = Format.html,
    out: Out = None,
    against: Annotated[
        str | None, typer.Option(metavar="NAME@M", help="Where a change log starts; its champion when not given.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Write a document from the records: each value names its event, what no record answers is an open point."""
    from tunegate.documenting import document as make
    from tunegate.documenting import write_all, write_one

    house = House.from_environment()
    if kind == ALL and (out is None or as_json):
        raise BadInput("all documents are written into a folder; give -o FOLDER, and no --json")
    if kind == ALL and out is not None:
        views.say("\n".join(write_all(house, version, form, out, against)))
        return
    made = make(house, version, kind, against)
    if as_json:
        typer.echo(made.model_dump_json(indent=2))
    elif out is None:
        raise BadInput("where to? give -o FILE, or --json for the document as data")
    else:
        views.say(write_one(made, form, out))


@verbs.command()
def declare(
    version: Version,
    file: Annotated[Path | None, typer.Argument(metavar="FILE", help="Documents, their fields, texts (YAML).")] = None,
    template: Annotated[bool, typer.Option("--template", help="Print a file to fill in instead.")] = False,
    as_json: AsJson = False,
) -> None:
    """Say what no record answers, such as purpose and licence: documents show it as declared, and by whom."""
    from tunegate import declaring

    house = House.from_environment()
    if template == (file is not None):
        raise BadInput("give FILE to declare what is in it, or --template to print a file to fill in")
    if file is None:
        typer.echo(declaring.template(house, version), nl=False)
    else:
        views.show(declaring.declare(house, version, file), views.declared, as_json)


@verbs.command()
def report(
    version: Version,
    out: Annotated[Path | None, typer.Option("-o", "--out", help="The file to write; printed when not given.")] = None,
    fairness: Annotated[bool, typer.Option("--fairness", help="By group instead.")] = False,
) -> None:
    """Write the report of a judged candidate as one HTML page: verdict, reasons, figures, decisions, lineage."""
    from tunegate.documenting import report as evaluation
    from tunegate.reading import fairness as by_group

    house = House.from_environment()
    page = by_group(house, version).encode() if fairness else evaluation(house, version, "html")
    if out is None:
        typer.echo(page, nl=False)
    else:
        out.write_bytes(page)
        views.say(f"wrote {out}")
