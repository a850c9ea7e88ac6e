"""From a house to its console as an ASGI app."""

import secrets
from collections.abc import Sequence
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.sessions import SessionMiddleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.routing import Mount
from starlette.staticfiles import StaticFiles

from tunegate.console import (
    annotate,
    datasets,
    deciding,
    entering,
    feedbacks,
    ledgers,
    overview,
    papers,
    peoples,
    policies,
    releases,
    routing,
    runs,
    trends,
)
from tunegate.console.compared import Compared
from tunegate.console.door import failures, route_of
from tunegate.console.limits import Limits
from tunegate.console.logins import LONGEST, Logins
from tunegate.console.oidc import provider_of
from tunegate.console.projection import Projection
from tunegate.console.showing import basis_points, moment, percent, short, visible
from tunegate.console.visit import Desk, Page
from tunegate.house import House

HERE = Path(__file__).parent
LOCAL_HOSTS = ("127.0.0.1", "localhost", "[::1]")
COOKIE = "tunegate"

PARTS = (
    entering,
    overview,
    releases,
    papers,
    deciding,
    routing,
    trends,
    runs,
    datasets,
    policies,
    ledgers,
    peoples,
    annotate,
    feedbacks,
)
PAGES: tuple[Page, ...] = tuple(page for part in PARTS for page in part.PAGES)


def build_console(house: House, hosts: Sequence[str] = LOCAL_HOSTS, over_tls: bool = False) -> Starlette:
    """The console. `hosts`: the names it may be called by; `over_tls`: the cookie is sent over https only.

    Requests to another name are refused, so that a page elsewhere can't make a browser believe that it is this console.
    """
    desk = Desk(house, Logins(), Projection(house), Compared(house), templates(), provider_of(house))
    app = Starlette(
        routes=[
            Mount("/static", StaticFiles(directory=HERE / "static"), name="static"),
            *(route_of(desk, page) for page in PAGES),
        ],
        middleware=[
            Middleware(Limits),
            Middleware(TrustedHostMiddleware, allowed_hosts=list(hosts), www_redirect=False),
            # Logins are kept in memory and end with the process; so may the key of their cookies.
            Middleware(
                SessionMiddleware,
                secret_key=secrets.token_hex(32),
                session_cookie=COOKIE,
                max_age=int(LONGEST),
                same_site="lax",
                https_only=over_tls,
            ),
        ],
        exception_handlers=failures(desk),
    )
    app.router.redirect_slashes = False
    app.state.desk = desk
    return app


def templates() -> Environment:
    """Templates that escape everything, turn no text around, and stop at a name they do not know."""
    environment = Environment(
        loader=FileSystemLoader(HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=visible,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    environment.filters |= {"short": short, "moment": moment, "percent": percent, "basis_points": basis_points}
    return environment
