"""Logging in, with a password or through an OpenID Connect provider, and out."""

from starlette.responses import RedirectResponse, Response

from tunegate.console.door import local_path
from tunegate.console.oidc import FILE, Provider, Unreachable
from tunegate.console.visit import Page, Visit
from tunegate.users import SignedIn, authenticate
from tunegate_core.errors import Denied, NotFound


def login_page(visit: Visit) -> Response:
    """The form; who is logged in goes on at once."""
    if visit.user is not None:
        return visit.go("")
    return _form(visit, local_path(visit.query("next")))


def log_in(visit: Visit) -> Response:
    """With a name and a password."""
    name, password = visit.form.get("name", "").strip(), visit.form.get("password", "")
    target = local_path(visit.form.get("next", ""))
    try:
        user = authenticate(visit.house, name, password)
    except Denied as error:
        return _form(visit, target, str(error), name)
    return _begin(visit, user, target)


def ask_provider(visit: Visit) -> Response:
    """Go and log in there; where one wanted to go is remembered in this browser."""
    back = f"{visit.request.url.scheme}://{visit.request.url.netloc}{visit.url('login', 'oidc', 'back')}"
    visit.request.session["next"] = target = local_path(visit.query("next"))
    try:
        return _provider(visit).ask(visit.request, back)
    except Unreachable as error:
        return _form(visit, target, str(error), status=503)


def back_from_provider(visit: Visit) -> Response:
    """Somebody logged in there, or did not."""
    target = local_path(str(visit.request.session.get("next", "")))
    try:
        user = _provider(visit).answer(visit.house, visit.request)
    except Denied as error:
        return _form(visit, target, str(error))
    except Unreachable as error:
        return _form(visit, target, str(error), status=503)
    return _begin(visit, user, target)


def log_out(visit: Visit) -> Response:
    """End the login here and forget the cookie."""
    visit.desk.logins.end(visit.request.session.get("login"))
    visit.request.session.clear()
    return visit.go("login")


def _begin(visit: Visit, user: SignedIn, target: str) -> Response:
    """Begin a login with a new id, whatever the browser held before."""
    desk, session = visit.desk, visit.request.session
    desk.logins.end(session.get("login"))
    session.clear()
    session["login"] = desk.logins.begin(user.user_id)
    return RedirectResponse(target or visit.url(""), 303)


def _form(visit: Visit, target: str, problem: str = "", name: str = "", status: int = 401) -> Response:
    """The login's page, with what went wrong."""
    provider, known = visit.desk.provider, visit.desk.projection.now().people
    return visit.page(
        "login.html",
        status if problem else 200,
        next=target,
        problem=problem,
        name=name,
        nobody=not known.users,
        place=provider.settings.place if provider else None,
    )


def _provider(visit: Visit) -> Provider:
    if visit.desk.provider is None:
        raise NotFound(f"this console knows no login provider; {FILE} in its home names one")
    return visit.desk.provider


PAGES = (
    Page("/login", login_page, right=None),
    Page("/login", log_in, right=None, method="POST"),
    Page("/login/oidc", ask_provider, right=None),
    Page("/login/oidc/back", back_from_provider, right=None),
    Page("/logout", log_out, right="view", method="POST"),
)
