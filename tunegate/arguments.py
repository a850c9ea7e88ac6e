"""Arguments and options that several verbs share."""

from pathlib import Path
from typing import Annotated

import typer

Version = Annotated[str, typer.Argument(metavar="NAME@N", help="A candidate or release.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON value for scripts.")]
Reason = Annotated[str, typer.Option(help="Why; kept as erasable text under a salted commitment.")]
Person = Annotated[str, typer.Option("--as", metavar="NAME", envvar="TUNEGATE_USER", help="Whose key signs.")]
Route = Annotated[str, typer.Argument(metavar="ROUTE", help="The name that callers use.")]
Note = Annotated[str | None, typer.Option("--reason", help="Why; kept as erasable text under a salted commitment.")]
EndpointFile = Annotated[
    Path | None, typer.Option("--config", metavar="FILE", help="Engine, scale, rates and records (YAML).")
]
