"""The verbs of users: who may sign in and do what."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from tunegate import views
from tunegate.arguments import AsJson, Note
from tunegate.house import House

verbs = typer.Typer(help="People who may act here, and their roles.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(metavar="NAME", help="How the user signs in, and what their key is called.")]
Roles = Annotated[list[str], typer.Option("--role", help="trainer, reviewer, operator, auditor or admin; or several.")]


@verbs.command()
def add(
    name: Name,
    role: Roles,
    key: Annotated[Path | None, typer.Option(help="The public key (PEM) of one they keep themselves.")] = None,
    as_json: AsJson = False,
) -> None:
    """Add a user with roles and a signing key; the first must be an admin."""
    from tunegate.users import add as run

    views.show(run(House.from_environment(), name, role, key), views.user, as_json)


@verbs.command("list")
def list_(as_json: AsJson = False) -> None:
    """List users and their roles."""
    from tunegate.users import listed

    views.show(listed(House.from_environment()), views.users, as_json)


@verbs.command()
def roles(name: Name, role: Roles, as_json: AsJson = False) -> None:
    """Give a user other roles, instead of those they have."""
    from tunegate.users import set_roles

    views.show(set_roles(House.from_environment(), name, role), views.user, as_json)


@verbs.command()
def disable(name: Name, reason: Note = None) -> None:
    """End a user; what they decided stands."""
    from tunegate.users import disable as run

    views.say(run(House.from_environment(), name, reason))


@verbs.command()
def password(name: Name) -> None:
    """Set the password with which a user signs in to the console; asked for, or read from a pipe."""
    from tunegate.users import set_password

    house = House.from_environment()
    if sys.stdin.isatty():
        text = typer.prompt("password", hide_input=True, confirmation_prompt=True)
    else:
        text = sys.stdin.readline().rstrip("\n")
    views.say(set_password(house, name, text))
