"""A console over a home that was told, with one user of each role, and browsers to visit it with."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from tunegate.console.app import COOKIE, build_console
from tunegate.console.rights import RIGHTS, User
from tunegate.house import House

PASSWORD = "correct horse"
TOKEN = re.compile(r'name="csrf" value="([^"]+)"')


class Known:
    """Users that a test may change: one of each role, named after it."""

    def __init__(self) -> None:
        self.users: dict[str, User] = {role: User(role, (role,)) for role in RIGHTS}

    def authenticate(self, name: str, password: str) -> User | None:
        return self.users.get(name) if password == PASSWORD else None

    def find(self, name: str) -> User | None:
        return self.users.get(name)


class Browser(TestClient):
    """A browser that sends its page's token with every form, as a page does."""

    def log_in(self, name: str, password: str = PASSWORD) -> Any:
        return self.fill("/login", name=name, password=password)

    def plant(self, cookie: str) -> None:
        """Have this cookie and no other."""
        self.cookies.clear()
        self.cookies.set(COOKIE, cookie)

    def token(self, path: str = "/login") -> str:
        return str(TOKEN.search(self.get(path).text)[1])

    def fill(self, path: str, **fields: str) -> Any:
        page = "/" if self.cookies.get(COOKIE) and self.get("/").url.path == "/" else "/login"
        return self.post(path, data={"csrf": self.token(page), **fields})


@pytest.fixture
def house(told_home: Path) -> House:
    """Five candidates of the route bot."""
    return House(told_home, f"sqlite:///{told_home / 'ledger.sqlite'}")


@pytest.fixture
def users() -> Known:
    return Known()


@pytest.fixture
def visitor(house: House, users: Known) -> Iterator[Callable[..., Browser]]:
    """`visitor()` is a new browser; `visitor("reviewer")` one in which that user is logged in."""
    app, opened = build_console(house, users), []

    def make(name: str | None = None) -> Browser:
        browser = Browser(app, base_url="http://127.0.0.1", follow_redirects=True)
        opened.append(browser)
        if name is not None:
            assert browser.log_in(name).status_code == 200
        return browser

    yield make
    for browser in opened:
        browser.close()
    house.existing_ledger.close()
