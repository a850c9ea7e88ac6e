"""The verb that opens the pages."""

from typing import Annotated

import typer

from tunegate import views
from tunegate.house import House

LOOPBACK = "127.0.0.1"

verbs = typer.Typer()


@verbs.command()
def console(port: Annotated[int, typer.Option(help="Where it listens, on this machine only.")] = 8080) -> None:
    """Open the pages on which people review, approve and promote, for who comes from this machine."""
    from serving.http import gateway_server, verify_free
    from tunegate.console.app import build_console

    verify_free(LOOPBACK, port)
    house = House.from_environment()
    views.say(f"console: http://{LOOPBACK}:{port}/")
    gateway_server(build_console(house), LOOPBACK, port).run()
