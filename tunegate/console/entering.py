"""Logging in and out."""

from starlette.responses import RedirectResponse, Response

from tunegate.console.door import local_path
from tunegate.console.visit import Page, Visit
from tunegate.users import authenticate
from tunegate_core.errors import Denied


def login_page(visit: Visit) -> Response:
    """The form; who is logged in goes on at once."""
    if visit.user is not None:
        return visit.go("")
    return visit.page("login.html", next=local_path(visit.query("next")), problem="", name="", nobody=_nobody(visit))


def log_in(visit: Visit) -> Response:
    """Begin a login with a new id, whatever the browser held before."""
    desk, session = visit.desk, visit.request.session
    name, password = visit.form.get("name", "").strip(), visit.form.get("password", "")
    target = local_path(visit.form.get("next", ""))
    try:
        user = authenticate(desk.house, name, password)
    except Denied as error:
        return visit.page("login.html", 401, next=target, problem=str(error), name=name, nobody=_nobody(visit))
    desk.logins.end(session.get("login"))
    session.clear()
    session["login"] = desk.logins.begin(user.user_id)
    return RedirectResponse(target or visit.url(""), 303)


def log_out(visit: Visit) -> Response:
    """End the login here and forget the cookie."""
    visit.desk.logins.end(visit.request.session.get("login"))
    visit.request.session.clear()
    return visit.go("login")


def _nobody(visit: Visit) -> bool:
    return not visit.desk.projection.now().people.users


PAGES = (
    Page("/login", login_page, right=None),
    Page("/login", log_in, right=None, method="POST"),
    Page("/logout", log_out, right="view", method="POST"),
)
