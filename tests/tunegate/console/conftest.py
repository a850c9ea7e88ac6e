"""A console over a home that was told, with one user of each role, and browsers to visit it with."""

import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from governance.roles import ROLES
from tests.conftest import quick_passwords
from tunegate import users
from tunegate.console.app import COOKIE, build_console
from tunegate.house import House

PASSWORD = "correct horse battery"
TOKEN = re.compile(r'name="csrf" value="([^"]+)"')


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
        return self.post(path, data={"csrf": self.token(), **fields})


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Passwords take no time, and a wrong one is answered at once."""
    monkeypatch.setattr(users, "SOONEST", 0.0)
    with quick_passwords():
        yield


@pytest.fixture(scope="session")
def peopled(told_once: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five candidates of the route bot, and one user of each role, named after it. Never changed."""
    home = Path(shutil.copytree(told_once.house.home, tmp_path_factory.mktemp("peopled") / "home"))
    house = open_house(home)
    for role in sorted(ROLES, key=lambda role: role != "admin"):
        users.add(house, role, [role])
    with quick_passwords():
        for role in ROLES:
            users.set_password(house, role, PASSWORD)
    house.ledger.close()
    return home


@pytest.fixture
def house(peopled: Path, tmp_path: Path) -> Iterator[House]:
    """A copy of it, to do with as a test likes."""
    house = open_house(Path(shutil.copytree(peopled, tmp_path / "copied")))
    yield house
    house.existing_ledger.close()


@pytest.fixture
def visitor(house: House) -> Iterator[Callable[..., Browser]]:
    """`visitor()` is a new browser; `visitor("reviewer")` one in which that user is logged in."""
    app, opened = build_console(house), []

    def make(name: str | None = None) -> Browser:
        browser = Browser(app, base_url="http://127.0.0.1", follow_redirects=True)
        opened.append(browser)
        if name is not None:
            assert browser.log_in(name).status_code == 200
        return browser

    yield make
    for browser in opened:
        browser.close()


def open_house(home: Path) -> House:
    return House(home, f"sqlite:///{home / 'ledger.sqlite'}")
