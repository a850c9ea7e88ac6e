"""Logging in and out."""

import re

from starlette.responses import RedirectResponse, Response

from tunegate.console.denials import record_denial
from tunegate.console.door import local_path
from tunegate.console.visit import Page, Visit

HANDLE = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")
WRONG = "This name and password belong to nobody here."
WAIT = "Too many wrong passwords were given for this name. Try again in a quarter of an hour."


def login_page(visit: Visit) -> Response:
    """The form; who is logged in goes on at once."""
    if visit.user is not None:
        return visit.go("")
    return visit.page("login.html", next=local_path(visit.query("next")), problem="", name="")


def log_in(visit: Visit) -> Response:
    """Begin a login with a new id, whatever the browser held before."""
    desk, session = visit.desk, visit.request.session
    name, password = visit.form.get("name", "").strip(), visit.form.get("password", "")
    target = local_path(visit.form.get("next", ""))
    if desk.logins.must_wait(name):
        return visit.page("login.html", 429, next=target, problem=WAIT, name=name)
    user = desk.users.authenticate(name, password)
    if user is None:
        desk.logins.fail(name)
        if HANDLE.fullmatch(name) and desk.users.find(name) is not None:  # else it may be a password in the wrong field
            record_denial(desk.house, name, "login", "the password was wrong")
        return visit.page("login.html", 401, next=target, problem=WRONG, name=name)
    desk.logins.end(session.get("login"))
    session.clear()
    session["login"] = desk.logins.begin(user.name)
    return RedirectResponse(target or visit.url(""), 303)


def log_out(visit: Visit) -> Response:
    """End the login here and forget the cookie."""
    visit.desk.logins.end(visit.request.session.get("login"))
    visit.request.session.clear()
    return visit.go("login")


PAGES = (
    Page("/login", login_page, right=None),
    Page("/login", log_in, right=None, method="POST"),
    Page("/logout", log_out, right="read", method="POST"),
)
