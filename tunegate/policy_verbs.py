"""The verbs of policies: tried on the past, proposed, approved."""

from pathlib import Path
from typing import Annotated

import typer

from tunegate import views
from tunegate.arguments import AsJson, Person, Reason
from tunegate.house import House

verbs = typer.Typer(
    help="What candidates are judged by: tried on the past, proposed and approved.", no_args_is_help=True
)

File = Annotated[Path, typer.Argument(metavar="FILE", help="A policy (YAML).")]
Tasks = Annotated[list[str] | None, typer.Option("--task", metavar="POLICY=THEIRS", help="A task by its other name.")]


@verbs.command()
def test(file: File, task: Tasks = None, as_json: AsJson = False) -> None:
    """Judge every past candidate again by this policy, from stored evidence; nothing is run."""
    from tunegate.policies import backtest

    found = backtest(House.from_environment(), file, task or ())
    views.show(found.model_dump(mode="json"), views.backtest, as_json)


@verbs.command()
def propose(file: File, reason: Reason) -> None:
    """Propose a policy, with what its backtest finds."""
    from tunegate.policies import propose as run

    views.say(run(House.from_environment(), file, reason))


@verbs.command()
def approve(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A proposed policy.")], person: Person, reason: Reason
) -> None:
    """Sign a proposed policy with a second person's key: it is in force, and only such can be planned with."""
    from tunegate.policies import approve as run

    views.say(run(House.from_environment(), name, person, reason))


@verbs.command("list")
def list_(as_json: AsJson = False) -> None:
    """List policies in force, waiting and replaced."""
    from tunegate.policies import listed

    views.show(listed(House.from_environment()), views.policies, as_json)
