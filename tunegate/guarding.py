"""Every verb asks before it runs whether the person at the command line may do it, by the table that the console uses.

The person is `$TUNEGATE_USER`, or who `--as` names. Nothing is asked before the first user is added, nor for reading:
who can run a verb can read the home's files. What holds against somebody with the files in hand are signatures.
"""

from collections.abc import Callable, Iterator, Mapping
from functools import wraps
from typing import Any

import typer

from governance.roles import NEEDS, Action
from tunegate.house import House

OPEN = None  # works on no home, or on an empty one
VERBS: Mapping[str, Action | None] = {
    "init": OPEN, "check": OPEN, "doctor": OPEN, "schema": OPEN, "verify-bundle": OPEN, "restore": OPEN,
    "release": "train", "train": "train", "evaluate": "train",
    "approve": "approve", "refuse": "refuse", "recall": "recall", "revoke": "revoke",
    "list": "view", "show": "view", "compare": "view", "report": "view", "document": "view", "routes": "view",
    "declare": "declare",
    "trace": "view", "reproduce": "train", "erase": "erase",
    "ledger verify": "view", "ledger checkpoint": "view", "ledger prove": "export", "export": "export",
    "promote": "promote", "rollback": "rollback", "kill": "kill", "unkill": "unkill", "publish": "publish",
    "console": "view", "serve": "serve", "gateway": "serve", "backup": "keep", "gc": "keep",
    "keys create": "keys", "keys list": "view", "keys rotate": "keys", "keys revoke": "keys", "keys export": "view",
    "users add": "users", "users list": "view", "users roles": "users", "users disable": "users",
    "users password": "users",
    "witness create": OPEN, "witness sign": OPEN, "witness add": "witnesses", "witness request": "view",
    "witness take": "checkpoint", "witness list": "view",
    "policy test": "view", "policy list": "view", "policy propose": "propose-policy",
    "policy approve": "approve-policy",
    "feedback import": "annotate", "feedback list": "view", "feedback agreement": "view", "feedback export": "train",
    "feedback send": "publish", "explain": "view",
}  # fmt: skip


def guard(app: typer.Typer) -> None:
    """Put the question before every verb of the program."""
    for path, command in commands(app):
        action = VERBS[path]
        if action is not None and NEEDS[action] != "read" and command.callback is not None:
            command.callback = _asking(command.callback, action)


def commands(app: typer.Typer, before: str = "") -> Iterator[tuple[str, Any]]:
    """Every verb with its words, those of sub-programs included."""
    for command in app.registered_commands:
        name = command.name or str(command.callback.__name__ if command.callback else "").replace("_", "-")
        yield f"{before}{name}", command
    for group in app.registered_groups:
        if group.typer_instance is not None:
            name = group.name if isinstance(group.name, str) else ""
            yield from commands(group.typer_instance, f"{before}{name} " if name else before)


def _asking(verb: Callable[..., Any], action: Action) -> Callable[..., Any]:
    @wraps(verb)
    def asked(*args: Any, **given: Any) -> Any:
        house = House.from_environment()
        if house.has_ledger:
            from tunegate.users import authorise_person

            about = next((given[name] for name in ("version", "route", "key_id", "name") if given.get(name)), None)
            authorise_person(house, given.get("person") or house.person, action, about)
        return verb(*args, **given)

    return asked
