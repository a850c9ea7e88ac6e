"""Between the server and the pages: who is it, may they, is the form ours; and errors as pages. Every no is recorded.

1. Without a login a page sends to the login, and remembers where one wanted to go.
2. A POST counts only with the token of this login (or, before it, of this browser): no other site can send it.
3. A right that is missing is a 403 and an event `access-denied`, which names who, what and which right.
"""

import hmac
import logging
import secrets
from collections.abc import Awaitable, Callable, Mapping
from time import perf_counter

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from tunegate.console.denials import record_denial
from tunegate.console.visit import Denied, Desk, Page, Visit
from tunegate_core.errors import BadInput, NotFound, StoreFault, TunegateError

MOST_FIELDS = 200
MOST_NAMED = 100  # characters of what was asked for
LOGIN = "login"
STATUS: tuple[tuple[type[TunegateError], int], ...] = ((NotFound, 404), (BadInput, 400), (StoreFault, 503))

COULD_NOT = "This could not be done"
TITLES = {404: "There is no such page", 405: "That is not how this page is used", 413: "That is too much"}

log = logging.getLogger(__name__)


def route_of(desk: Desk, page: Page) -> Route:
    """The page as a route of the app."""

    async def endpoint(request: Request) -> Response:
        started = perf_counter()
        form = await _form(request) if page.method == "POST" else {}
        response = await run_in_threadpool(answer, desk, page, request, form)
        response.headers["Server-Timing"] = f"page;dur={1000 * (perf_counter() - started):.1f}"
        return response

    return Route(page.path, endpoint, methods=[page.method])


def answer(desk: Desk, page: Page, request: Request, form: Mapping[str, str]) -> Response:
    """The page, or the reason why not."""
    visit = _visit(desk, request, form)
    if page.right is not None and visit.user is None:
        return _to_login(visit, page)
    if not visit.csrf():
        request.session["csrf"] = secrets.token_urlsafe(32)
    if why := _why_not(visit, page):
        return _denied(visit, page, why)
    try:
        return page.handler(visit)
    except Denied as error:
        return _denied(visit, page, str(error))
    except TunegateError as error:
        status = next((code for kind, code in STATUS if isinstance(error, kind)), 500)
        return visit.page("fault.html", status, title=COULD_NOT, what=str(error))
    except Exception as error:
        log.error("the page %s failed", page.path, exc_info=error)
        return visit.page("fault.html", 500, title=COULD_NOT, what="The console's own log says why.")


def failures(desk: Desk) -> dict[int | type[Exception], Callable[[Request, Exception], Awaitable[Response]]]:
    """What is answered when no page is: nothing there, wrong method, too much."""

    async def refused(request: Request, error: Exception) -> Response:
        status = error.status_code if isinstance(error, HTTPException) else 500
        what = str(error.detail) if isinstance(error, HTTPException) else ""
        visit = _visit(desk, request, {})
        return visit.page("fault.html", status, title=TITLES.get(status, COULD_NOT), what=what)

    return {HTTPException: refused}


def local_path(text: str) -> str:
    """A path of this console to go to after the login; its first page for anything that leads elsewhere."""
    is_local = text.startswith("/") and not text.startswith("//") and "\\" not in text and text.isprintable()
    return text if is_local else ""


def _visit(desk: Desk, request: Request, form: Mapping[str, str]) -> Visit:
    login = desk.logins.find(request.session.get("login"))
    user = desk.users.find(login.name) if login else None
    return Visit(desk, request, user, login if user else None, form)


def _why_not(visit: Visit, page: Page) -> str | None:
    """Why this may not be asked by this person; None when it may."""
    given = visit.form.get("csrf", "").encode()
    if page.method == "POST" and not hmac.compare_digest(visit.csrf().encode(), given):
        return "the form was not sent from a page of this login"
    if page.right is not None and not visit.person.may(page.right):
        return f"the right '{page.right}' is missing"
    return None


def _to_login(visit: Visit, page: Page) -> Response:
    wanted = visit.request.url.path if page.method == "GET" else ""
    query = visit.request.url.query
    return RedirectResponse(visit.url(LOGIN, next=f"{wanted}?{query}" if wanted and query else wanted), 303)


def _denied(visit: Visit, page: Page, why: str) -> Response:
    if visit.user is not None:
        parts = ", ".join(str(value)[:MOST_NAMED] for value in visit.request.path_params.values())
        record_denial(visit.house, visit.user.name, f"{page.method} {page.path}", why, parts)
    return visit.page("fault.html", 403, title="You may not do this", what=f"{why[0].upper()}{why[1:]}.")


async def _form(request: Request) -> Mapping[str, str]:
    fields = await request.form(max_files=0, max_fields=MOST_FIELDS)
    return {name: value for name, value in fields.items() if not isinstance(value, UploadFile)}
