"""Users at the command line and for the console: who signs in, who may do what, and what is recorded of a no."""

import re
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from governance.roles import NEEDS, ROLES, may
from tests.conftest import quick_passwords
from tunegate import users
from tunegate.cli import app
from tunegate.guarding import VERBS, commands
from tunegate.house import House
from tunegate.proving import verify
from tunegate_core.errors import BadInput, Denied, NotFound

GOOD = "correct horse battery"


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Passwords take no time, and a wrong one is answered at once."""
    monkeypatch.setattr(users, "SOONEST", 0.0)
    with quick_passwords():
        yield


@pytest.fixture
def house(home: Path) -> House:
    """A house of an admin `ann` and a reviewer `rita`."""
    found = House(home, f"sqlite:///{home / 'ledger.sqlite'}")
    users.add(found, "ann", ["admin"])
    users.add(found, "rita", ["reviewer"])
    return found


def test_names_and_passwords_are_not_in_the_ledger(house: House) -> None:
    users.set_password(house, "rita", GOOD)
    data = b"".join(event.canonical() for event in house.events())
    assert b"rita" not in data
    assert GOOD.encode() not in data
    assert verify(house, None)["ok"]
    added = house.ledger.events("user-added")[1]
    house.rows.erase(added.body["name"], 0)
    assert verify(house, None)["ok"]
    assert [user["name"] for user in users.listed(house)["users"]] == ["ann", "(erased)"]


def test_signing_in(house: House) -> None:
    with pytest.raises(Denied):
        users.authenticate(house, "rita", GOOD)  # no password is set yet
    users.set_password(house, "rita", GOOD)
    found = users.authenticate(house, "rita", GOOD)
    assert (found.name, found.roles, found.signs_here) == ("rita", ("reviewer",), True)
    says = set()
    for name, text in (("rita", "wrong"), ("nobody", GOOD), ("ann", GOOD), ("", "")):
        with pytest.raises(Denied) as error:
            users.authenticate(house, name, text)
        says.add(str(error.value))
    assert len(says) == 1  # nothing tells which names there are
    rita, ann = (users.named(house, name).user_id for name in ("rita", "ann"))
    assert [denial["by"] for denial in users.denials(house)] == [rita, rita, None, ann, None]
    assert {(denial["action"], denial["rule"], denial["about"]) for denial in users.denials(house)} == {
        ("sign-in", "password", None)
    }  # what was typed as a name is nowhere: it may have been a password


def test_nothing_tells_which_names_there_are(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """A known name and an unknown one are slowed down alike, in the same words, and no answer comes before its time."""
    users.set_password(house, "rita", GOOD)
    says: dict[str, list[str]] = {"rita": [], "nobody": []}
    for name, told in says.items():
        for _ in range(8):
            with pytest.raises(Denied) as error:
                users.authenticate(house, name, "wrong wrong wrong")
            told.append(re.sub(r"[0-9]+", "N", str(error.value)))  # seconds go by
    assert says["rita"] == says["nobody"] and says["rita"][-1].startswith("too many wrong passwords for this name")
    monkeypatch.setattr(users, "SOONEST", 0.2)
    for name in ("ann", "somebody"):
        began = time.monotonic()
        with pytest.raises(Denied):
            users.authenticate(house, name, "wrong wrong wrong")
        assert time.monotonic() - began >= 0.2


def test_strangers_fill_no_ledger(house: House) -> None:
    for number in range(users.STRANGERS + 5):
        with pytest.raises(Denied):
            users.authenticate(house, f"nobody-{number}", "wrong wrong wrong")
    assert len(users.denials(house)) == users.STRANGERS
    with pytest.raises(Denied):
        users.authenticate(house, "rita", "wrong wrong wrong")
    assert len(users.denials(house)) == users.STRANGERS + 1


def test_guessing_is_slowed_down_and_fills_no_ledger(house: House) -> None:
    users.set_password(house, "rita", GOOD)
    for _ in range(12):
        with pytest.raises(Denied):
            users.authenticate(house, "rita", "wrong wrong wrong")
    with pytest.raises(Denied, match="wait"):
        users.authenticate(house, "rita", GOOD)
    assert len(users.denials(house)) == 5


def test_a_disabled_user_may_nothing_from_then_on(house: House) -> None:
    users.set_password(house, "rita", GOOD)
    rita = users.authenticate(house, "rita", GOOD)
    assert users.authorise(house, rita.user_id, "approve", "bot@1").name == "rita"
    users.disable(house, "rita", "left")
    with pytest.raises(Denied):
        users.authenticate(house, "rita", GOOD)
    with pytest.raises(Denied, match="disabled"):
        users.authorise(house, rita.user_id, "approve", "bot@1")
    with pytest.raises(NotFound):
        users.named(house, "rita")
    assert users.denials(house)[-1]["about"] == "bot@1"
    assert verify(house, None)["ok"]


def test_roles_change_at_once(house: House) -> None:
    rita = users.named(house, "rita")
    with pytest.raises(Denied, match=r"you are reviewer, which may not do 'promote'; it takes operator"):
        users.authorise(house, rita.user_id, "promote")
    users.set_roles(house, "rita", ["reviewer", "operator"])
    assert users.authorise(house, rita.user_id, "promote").roles == ("reviewer", "operator")
    with pytest.raises(BadInput, match="last admin"):
        users.set_roles(house, "ann", ["auditor"])
    with pytest.raises(BadInput, match="last admin"):
        users.disable(house, "ann")


@pytest.mark.parametrize("name", ["", "Ann", "../x", "ledger", "adapter-signing", "a b", "x" * 64])
def test_what_is_no_name(name: str, house: House) -> None:
    with pytest.raises(BadInput, match="can't name a user"):
        users.add(house, name, ["auditor"])


def test_a_name_is_taken_while_its_user_is_active(house: House) -> None:
    with pytest.raises(BadInput, match="already"):
        users.add(house, "rita", ["auditor"])
    users.disable(house, "rita")
    again = users.add(house, "rita", ["auditor"])
    assert [user["state"] for user in users.listed(house)["users"]] == ["active", "disabled", "active"]
    assert again["key_id"] == users.listed(house)["users"][1]["key_id"]  # the key is the person's


def test_a_key_kept_elsewhere(house: House, tmp_path: Path) -> None:
    from governance.keys import load_or_create

    key = load_or_create(tmp_path / "elsewhere", "eve")
    (tmp_path / "eve.pub").write_bytes(key.public_pem)
    assert users.add(house, "eve", ["reviewer"], tmp_path / "eve.pub")["key_id"] == key.key_id
    eve = users.named(house, "eve")
    assert not eve.signs_here
    with pytest.raises(BadInput, match="kept elsewhere"):
        users.acting(house, eve)
    assert users.acting(house, users.named(house, "rita")).person == "rita"


def test_passwords_lost_lose_nothing_else(house: House) -> None:
    users.set_password(house, "rita", GOOD)
    (house.home / "passwords.sqlite").unlink()
    with pytest.raises(Denied):
        users.authenticate(house, "rita", GOOD)
    users.set_password(house, "rita", GOOD)
    assert users.authenticate(house, "rita", GOOD).name == "rita"
    with sqlite3.connect(house.home / "passwords.sqlite") as table:
        assert table.execute("SELECT count(*) FROM passwords").fetchone() == (1,)


def test_every_verb_is_in_the_table() -> None:
    found = [path for path, _ in commands(app)]
    assert sorted(found) == sorted(VERBS)
    assert {action for action in VERBS.values() if action is not None} <= set(NEEDS)


@pytest.mark.parametrize("role", ROLES)
def test_every_verb_for_every_role(role: str, house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each guarded verb, asked as a user of each role: denied and recorded, or let through to its own work."""
    users.add(house, "someone", [role])
    monkeypatch.setenv("TUNEGATE_HOME", str(house.home))
    monkeypatch.setenv("TUNEGATE_USER", "someone")
    let_through: list[str] = []
    for path, command in commands(app):
        asked = getattr(command.callback, "__wrapped__", None)
        action = VERBS[path]
        if asked is None:
            assert action is None or NEEDS[action] == "read", path
            continue
        before = len(users.denials(house))
        try:
            command.callback(person="someone", version="bot@1")
        except Denied:
            assert not may(role, str(action)), path
            assert users.denials(house)[-1]["action"] == action
            assert len(users.denials(house)) == before + 1
        except TypeError:  # it was let through, and the verb itself wants its arguments
            assert may(role, str(action)), path
            let_through.append(path)
        else:
            assert may(role, str(action)), path
            let_through.append(path)
    assert bool(let_through) == (role != "auditor")


def test_the_verbs(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TUNEGATE_HOME", str(home))

    def run(*args: str, user: str = "ann", text: str | None = None) -> Any:
        monkeypatch.setenv("TUNEGATE_USER", user)
        return CliRunner().invoke(app, list(args), input=text)

    assert "nobody is asked for a role" in run("users", "list").output
    assert isinstance(run("users", "add", "ann", "--role", "auditor").exception, BadInput)
    assert run("users", "add", "ann", "--role", "admin", user="operator").exit_code == 0
    assert run("users", "add", "rita", "--role", "reviewer").exit_code == 0
    assert run("users", "password", "rita", text=GOOD + "\n").exit_code == 0
    assert isinstance(run("users", "add", "me", "--role", "admin", user="rita").exception, Denied)
    assert isinstance(run("keys", "create", "me", user="nobody").exception, Denied)
    assert run("users", "roles", "rita", "--role", "operator").exit_code == 0
    assert '"roles": [\n        "operator"' in run("users", "list", "--json", user="nobody").output
    assert run("users", "disable", "rita", "--reason", "left").exit_code == 0
    assert "disabled" in run("users", "list").output
