"""The verbs that answer requests."""

import os
from typing import Annotated

import typer

from tunegate import views
from tunegate.arguments import EndpointFile
from tunegate.house import House
from tunegate.progress import watched
from tunegate_core.config.endpoint import Endpoint, load_endpoint
from tunegate_core.errors import BadInput

DEV_DAYS = 1

verbs = typer.Typer()

Port = Annotated[int, typer.Option(help="Where it listens.")]
Host = Annotated[str, typer.Option(help="The address it listens at; this machine only, when not given.")]


@verbs.command()
def serve(
    port: Port = 8000,
    host: Host = "127.0.0.1",
    config: EndpointFile = None,
    address: Annotated[str | None, typer.Option(help="An existing Ray cluster; a private one when not given.")] = None,
    dev: Annotated[bool, typer.Option("--dev", help="Print an API key for a first try, valid for a day.")] = False,
) -> None:
    """Answer with what was released: vLLM under Ray Serve, behind an OpenAI-compatible endpoint."""
    from serving.http import verify_free
    from tunegate.serving import serve as run

    verify_free(host, port)
    endpoint = load_endpoint(config) if config else Endpoint()
    with watched() as progress:
        house = House.from_environment(progress=progress, address=address)
        _say_where(house, host, port, dev)
        run(house, endpoint, host, port)


@verbs.command()
def gateway(
    upstream: Annotated[list[str], typer.Option(metavar="URL", help="An OpenAI-compatible server, without /v1.")],
    port: Port = 8000,
    host: Host = "127.0.0.1",
    config: EndpointFile = None,
    upstream_key: Annotated[str, typer.Option(metavar="VARIABLE", help="The variable that holds its key.")] = "",
) -> None:
    """Keys, limits, routes and records in front of engines that somebody else runs."""
    from serving.http import verify_free
    from serving.static import parse_upstream
    from tunegate.serving import gateway as run
    from tunegate.serving import upstream_names

    verify_free(host, port)
    upstream, key = [parse_upstream(url) for url in upstream], os.environ.get(upstream_key, "")
    if upstream_key and not key:
        raise BadInput(f"the variable {upstream_key} is empty; expected the key of the engines")
    endpoint, house = load_endpoint(config) if config else Endpoint(), House.from_environment()
    _say_where(house, host, port, dev=False)
    for version, name in upstream_names(house).items():
        views.say(f"{version} must be loaded upstream as {name}")
    run(house, endpoint, upstream, key, host, port)


def _say_where(house: House, host: str, port: int, dev: bool) -> None:
    views.say(f"endpoint: http://{host}:{port}/v1 (ready when /readyz says so)")
    views.say(f"console: http://localhost:{port}/console/ (for who comes from this machine)")
    if dev:
        from tunegate.api_keys import create

        made = create(house, "for a first try", ("infer", "feedback", "read"), days=DEV_DAYS)
        views.say(f"API key: {made['key']}")
