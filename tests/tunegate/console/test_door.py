"""Who gets in: logins, forged forms, stolen and planted cookies, other hosts, and that every no is recorded."""

import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.testclient import TestClient

from governance.people import DENIED
from tunegate import users
from tunegate.console.app import COOKIE, build_console
from tunegate.console.door import local_path
from tunegate.console.limits import MOST_BODY
from tunegate.console.logins import IDLE, LONGEST, Logins
from tunegate.house import House

Visitor = Callable[..., Any]
PASSWORD = "correct horse battery"


def denials(house: House) -> list[dict[str, Any]]:
    return [event.body for event in house.ledger.events(DENIED)]


def test_a_page_sends_a_stranger_to_the_login_and_back(visitor: Visitor) -> None:
    browser = visitor()
    asked = browser.get("/?x=1", follow_redirects=False)
    assert (asked.status_code, asked.headers["location"]) == (303, "/login?next=%2F%3Fx%3D1")
    page = browser.get(asked.headers["location"])
    assert 'name="next" value="/?x=1"' in page.text
    done = browser.post(
        "/login",
        data={"csrf": browser.token(), "name": "auditor", "password": PASSWORD, "next": "/?x=1"},
        follow_redirects=False,
    )
    assert (done.status_code, done.headers["location"]) == (303, "/?x=1")


@pytest.mark.parametrize(
    "target", ["//evil.example", "https://evil.example", "/\\evil.example", "\tx", "javascript:1", "/\r\nX: y"]
)
def test_a_login_leads_nowhere_else(target: str) -> None:
    assert local_path(target) == ""


def test_a_wrong_password_is_recorded(visitor: Visitor, house: House) -> None:
    browser, reviewer = visitor(), users.named(house, "reviewer").user_id
    assert browser.log_in("reviewer", "guess").status_code == 401
    assert browser.log_in("a-password-in-the-wrong-field", "x").status_code == 401
    denied = {"action": "sign-in", "about": None, "rule": "password"}
    assert denials(house) == [{**denied, "by": reviewer}, {**denied, "by": None}]


def test_a_login_has_a_new_id_and_the_one_before_is_worth_nothing(visitor: Visitor) -> None:
    """Session fixation: what a browser was given before the login does not become a login."""
    browser = visitor()
    browser.get("/login")
    planted = browser.cookies[COOKIE]
    browser.log_in("reviewer")
    assert browser.cookies[COOKIE] != planted
    stranger = visitor()
    stranger.plant(planted)
    assert stranger.get("/").url.path == "/login"
    kept = browser.cookies[COOKIE]
    browser.log_in("auditor")
    assert browser.cookies[COOKIE] != kept
    stranger.plant(kept)
    assert stranger.get("/").url.path == "/login"


def test_a_cookie_ends_with_the_logout(visitor: Visitor) -> None:
    browser = visitor("reviewer")
    kept = browser.cookies[COOKIE]
    assert browser.fill("/logout").url.path == "/login"
    browser.plant(kept)
    assert browser.get("/").url.path == "/login"


def test_the_cookie_is_kept_from_scripts_and_other_sites(visitor: Visitor) -> None:
    said = visitor().get("/login").headers["set-cookie"]
    assert "httponly" in said.lower() and "samesite=lax" in said.lower()


def test_a_changed_cookie_is_no_login(visitor: Visitor) -> None:
    browser = visitor("reviewer")
    cookie = browser.cookies[COOKIE]
    browser.plant(cookie[:-4] + "AAAA")
    assert browser.get("/").url.path == "/login"


def test_who_was_disabled_is_out_at_once(visitor: Visitor, house: House) -> None:
    browser = visitor("reviewer")
    users.disable(house, "reviewer")
    assert browser.get("/").url.path == "/login"


def test_other_roles_count_at_once(visitor: Visitor, house: House) -> None:
    browser = visitor("reviewer")
    assert 'action="/releases/bot@4/approve"' in browser.get("/releases/bot@4").text
    users.set_roles(house, "reviewer", ["auditor"])
    assert 'action="/releases/bot@4/approve"' not in browser.get("/releases/bot@4").text


@pytest.mark.parametrize("token", ["", "guess", "é"])
def test_a_form_of_another_site_is_refused_and_recorded(visitor: Visitor, house: House, token: str) -> None:
    browser = visitor("reviewer")
    assert browser.post("/logout", data={"csrf": token}).status_code == 403
    assert browser.get("/").url.path == "/"
    reviewer = users.named(house, "reviewer").user_id
    assert denials(house) == [{"action": "POST /logout", "about": None, "by": reviewer, "rule": "csrf"}]


def test_a_token_is_worth_nothing_in_another_browser(visitor: Visitor) -> None:
    one, other = visitor("reviewer"), visitor("operator")
    assert other.post("/logout", data={"csrf": one.token("/")}).status_code == 403
    assert visitor().post("/login", data={"csrf": one.token("/"), "name": "x", "password": "y"}).status_code == 403


def test_logins_end_by_themselves() -> None:
    now = [0.0]
    logins = Logins(lambda: now[0])
    idle, busy = logins.begin("a"), logins.begin("b")
    while now[0] < LONGEST - IDLE:
        now[0] += IDLE / 2
        assert logins.find(busy)
    assert logins.find(idle) is None
    now[0] = LONGEST
    assert logins.find(busy) is None
    assert logins.find(None) is None and logins.find(3) is None


def test_another_host_name_is_refused(house: House) -> None:
    """DNS rebinding: a name that somebody else owns, pointed at this machine."""
    with TestClient(build_console(house), base_url="http://evil.example") as browser:
        assert browser.get("/login").status_code == 400


def test_every_answer_forbids_scripts_and_frames(visitor: Visitor) -> None:
    browser = visitor("reviewer")
    for path in ("/", "/login", "/nowhere", "/static/console.css"):
        headers = browser.get(path).headers
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy and "unsafe" not in policy and "frame-ancestors 'none'" in policy
        assert headers["x-content-type-options"] == "nosniff"
    assert browser.get("/").headers["cache-control"] == "no-store"


def test_too_much_is_refused(visitor: Visitor) -> None:
    browser = visitor("reviewer")
    assert browser.post("/logout", data={"csrf": "x" * (MOST_BODY + 1)}).status_code == 413

    def unsaid() -> Iterator[bytes]:
        for _ in range(MOST_BODY // 50_000 + 2):
            yield b"x" * 50_000

    headers = {"content-type": "application/x-www-form-urlencoded"}
    assert browser.post("/logout", content=unsaid(), headers=headers).status_code == 413
    parts = {"file": ("a.txt", b"x")}
    assert browser.post("/logout", files=parts).status_code == 400


@pytest.mark.parametrize(
    "path", ["/static/../app.py", "/static/%2e%2e/app.py", "/static//etc/passwd", "/static/..%2fapp.py"]
)
def test_static_files_stay_in_their_folder(visitor: Visitor, path: str) -> None:
    assert visitor().get(path).status_code == 404


def test_a_mounted_console_stays_under_its_prefix(house: House) -> None:
    outer = Starlette(routes=[Mount("/console", build_console(house))])
    with TestClient(outer, base_url="http://127.0.0.1") as browser:
        text = browser.get("/console/").text
        token = text.partition('name="csrf" value="')[2].partition('"')[0]
        given = {"csrf": token, "name": "admin", "password": PASSWORD, "next": "/console/releases"}
        page = browser.post("/console/login", data=given)
        assert page.url.path == "/console/releases"
        links = re.findall(r'(?:href|action|src)="([^"]+)"', page.text)
        assert links and all(link.startswith(("/console/", "#")) for link in links)
        assert 'href="/console/releases" aria-current="page"' in page.text
        assert browser.get("/console/static/console.css").status_code == 200
