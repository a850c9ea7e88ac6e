"""The verbs of keys: people's and the ledger's, which sign, and API keys, which open."""

import re
from typing import Annotated

import typer

from tunegate import views
from tunegate.arguments import AsJson, Note
from tunegate.house import House
from tunegate_core.errors import BadInput

verbs = typer.Typer(help="Signing keys (the ledger's, people's) and API keys.", no_args_is_help=True)

API_KEY = re.compile(r"[0-9a-f]{16}")
AnyKey = Annotated[
    str, typer.Argument(metavar="KEY", help="An API key's 16 letters after tg_; or a signing key's name, as 'ledger'.")
]
Scopes = Annotated[list[str] | None, typer.Option(help="Make an API key that may do this; more than one may be given.")]
Models = Annotated[list[str] | None, typer.Option(metavar="ROUTE", help="Routes it may call; all when not given.")]
Limits = Annotated[list[str] | None, typer.Option(metavar="NAME=VALUE", help="As in requests-per-minute=60.")]


@verbs.command()
def create(
    name: Annotated[str, typer.Argument(metavar="NAME")],
    scope: Scopes = None,
    model: Models = None,
    days: Annotated[int | None, typer.Option(help="How long it is valid; for ever when not given.")] = None,
    limit: Limits = None,
    as_json: AsJson = False,
) -> None:
    """Make a person's signing key, for approvals; with --scope an API key, shown once."""
    house = House.from_environment()
    if scope:
        from tunegate.api_keys import create as run

        views.show(run(house, name, scope, model or (), days, limit or ()), views.api_key, as_json)
        return
    if model or days or limit:
        raise BadInput("only an API key has routes, days and limits; give its --scope too")
    from tunegate.deciding import create_key

    views.show(create_key(house, name), views.key, as_json)


@verbs.command("list")
def list_(as_json: AsJson = False) -> None:
    """List API keys, without their secrets."""
    from tunegate.api_keys import listed

    views.show(listed(House.from_environment()), views.api_keys, as_json)


@verbs.command()
def rotate(key_id: AnyKey, as_json: AsJson = False) -> None:
    """Make a new key in place of one: of an API key, which ends in a day, or of a signing key, which ends now."""
    from tunegate import api_keys, signing_keys

    house = House.from_environment()
    if API_KEY.fullmatch(key_id):
        views.show(api_keys.rotate(house, key_id), views.api_key, as_json)
    else:
        views.show(signing_keys.rotate(house, key_id), views.key, as_json)


@verbs.command()
def revoke(key_id: AnyKey, reason: Note = None) -> None:
    """End a key now: an API key by its id, a person's signing key by its name."""
    from tunegate import api_keys, signing_keys

    house = House.from_environment()
    work = api_keys.revoke if API_KEY.fullmatch(key_id) else signing_keys.revoke
    views.say(work(house, key_id, reason))


@verbs.command()
def export() -> None:
    """Print the ledger's public key (PEM)."""
    typer.echo(House.from_environment().public_key.decode(), nl=False)
