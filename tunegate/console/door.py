"""Between the server and the pages: who is it, may they, is the form ours; and errors as pages. Every no is recorded.

1. Without a login a page sends to the login, and remembers where one wanted to go.
2. A POST counts only with the token of this login (or, before it, of this browser): no other site can send it.
3. An action that one's roles do not allow is a 403, and so is a forged form; each is an event `access-denied`.
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

from tunegate.console.visit import Desk, Page, Visit
from tunegate.users import authorise, signed_in
from tunegate_core.errors import BadInput, Denied, NotFound, StoreFault, TunegateError

MOST_FIELDS = 200
MOST_NAMED = 100  # characters of what was asked for
LOGIN = "login"
STATUS: tuple[tuple[type[TunegateError], int], ...] = (
    (Denied, 403),
    (NotFound, 404),
    (BadInput, 400),
    (StoreFault, 503),
)

COULD_NOT = "This could not be done"
TITLES = {
    403: "You may not do this",
    404: "That is not here",
    405: "That is not how this page is used",
    413: "That is too much",
}

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
    try:
        _verify_asked(visit, page)
        return page.handler(visit)
    except TunegateError as error:
        status = next((code for kind, code in STATUS if isinstance(error, kind)), 500)
        return visit.page("fault.html", status, title=TITLES.get(status, COULD_NOT), what=str(error))
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
    known = desk.projection.now().people.users.get(login.user_id) if login else None
    if known is None or known.disabled_at is not None:
        return Visit(desk, request, None, None, form)
    return Visit(desk, request, signed_in(desk.house, known), login, form)


def _verify_asked(visit: Visit, page: Page) -> None:
    """Raises Denied, which is recorded, unless this person may ask this."""
    given = visit.form.get("csrf", "").encode()
    if page.method == "POST" and not hmac.compare_digest(visit.csrf().encode(), given):
        why = "The form was not sent from a page of this login; go back, load the page again and repeat."
        raise Denied(why) if visit.user is None else visit.deny("csrf", why)
    if page.right is not None and not visit.person.may(page.right):
        about = ", ".join(str(value) for value in visit.request.path_params.values())[:MOST_NAMED]
        authorise(visit.house, visit.person.user_id, page.right, about or None)


def _to_login(visit: Visit, page: Page) -> Response:
    wanted = visit.request.url.path if page.method == "GET" else ""
    query = visit.request.url.query
    return RedirectResponse(visit.url(LOGIN, next=f"{wanted}?{query}" if wanted and query else wanted), 303)


async def _form(request: Request) -> Mapping[str, str]:
    fields = await request.form(max_files=0, max_fields=MOST_FIELDS)
    return {name: value for name, value in fields.items() if not isinstance(value, UploadFile)}
