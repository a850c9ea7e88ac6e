"""The verbs of witnesses: on the log's side add, request, take and list; on the witness' side create and sign."""

from pathlib import Path
from typing import Annotated

import typer

from tunegate import views
from tunegate.arguments import AsJson
from tunegate.house import House

verbs = typer.Typer(
    help="Others who saw this log and signed for it; or being one for another log.", no_args_is_help=True
)

Name = Annotated[str, typer.Argument(metavar="NAME", help="A witness.")]


@verbs.command()
def create(name: Name) -> None:
    """Make a witness' key in this home, and print it for logs to add."""
    from tunegate.witnessing import create as run

    views.say(run(House.from_environment(), name))


@verbs.command()
def sign(
    request: Annotated[Path, typer.Argument(metavar="FILE", help="What a log asks, from 'witness request'.")],
    name: Annotated[str, typer.Option("--as", metavar="NAME", help="Whose key signs.")],
    log: Annotated[Path, typer.Option(help="The log's public key (PEM).")],
) -> None:
    """Cosign a log's tree head, if it extends what this witness saw before; print the cosigned head."""
    from tunegate.witnessing import sign as run

    typer.echo(run(House.from_environment(), request, name, log), nl=False)


@verbs.command()
def add(vkey: Annotated[str, typer.Argument(metavar="VKEY", help="As 'witness create' printed it.")]) -> None:
    """Make a witness known to this log."""
    from tunegate.witnessing import add as run

    views.say(run(House.from_environment(), vkey))


@verbs.command()
def request(name: Name) -> None:
    """Print what to send to a witness (C2SP tlog-witness add-checkpoint)."""
    from tunegate.witnessing import request as run

    typer.echo(run(House.from_environment(), name), nl=False)


@verbs.command()
def take(file: Annotated[Path, typer.Argument(metavar="FILE", help="A cosigned head from 'witness sign'.")]) -> None:
    """Keep what a witness cosigned."""
    from tunegate.witnessing import take as run

    views.say(run(House.from_environment(), file))


@verbs.command("list")
def list_(as_json: AsJson = False) -> None:
    """List witnesses, and how far each has seen."""
    from tunegate.witnessing import listed

    views.show(listed(House.from_environment()), views.witnesses, as_json)
