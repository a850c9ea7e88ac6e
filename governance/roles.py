"""Who may do what, as one table: roles of people, scopes of API keys, and the permission that each action needs.

A permission is a scope of an API key, or `operate`, which no key carries. A role is a set of permissions; a person may
have several roles. Nobody gets a permission because nothing was said: an unknown role or action may do nothing.

Roles say who may try. What a verdict needs (how many people, which roles, never the starter) is the policy's to say,
and is judged by keys and signatures wherever the records are read (law: governance.lifecycle, governance.people).
"""

from collections.abc import Iterable, Mapping
from typing import Literal, get_args

from tunegate_core.errors import BadInput
from tunegate_core.snapshot import Scope

Permission = Scope | Literal["operate"]
Role = Literal["trainer", "reviewer", "operator", "auditor", "admin"]
ROLES: tuple[Role, ...] = get_args(Role)

GRANTS: Mapping[str, frozenset[Permission]] = {
    "trainer": frozenset({"read", "train", "feedback"}),
    "reviewer": frozenset({"read", "approve", "feedback"}),
    "operator": frozenset({"read", "operate"}),
    "auditor": frozenset({"read"}),
    "admin": frozenset({"read", "admin"}),
}

Action = Literal[
    "view", "export", "annotate", "train", "approve", "refuse", "recall", "approve-policy", "revoke", "promote",
    "rollback", "kill", "unkill", "publish", "serve", "keep", "checkpoint", "users", "keys", "propose-policy", "erase",
    "witnesses", "declare",
]  # fmt: skip

NEEDS: Mapping[str, Permission] = {
    "view": "read",  # every page and reading verb: list, show, compare, report, routes, trace, verify, policy test
    "export": "read",  # a bundle, a signed adapter, a release's folder
    "annotate": "feedback",
    "train": "train",  # release, train, evaluate
    "declare": "train",  # what no record answers about a candidate
    "approve": "approve",
    "refuse": "approve",
    "recall": "approve",
    "approve-policy": "approve",
    "revoke": "operate",
    "promote": "operate",
    "rollback": "operate",
    "kill": "operate",
    "unkill": "operate",
    "publish": "operate",
    "serve": "operate",
    "keep": "operate",  # backup, gc
    "checkpoint": "operate",
    "users": "admin",
    "keys": "admin",  # signing keys and API keys: create, rotate, revoke
    "propose-policy": "admin",
    "erase": "admin",
    "witnesses": "admin",
}


def may(role: str, action: str) -> bool:
    """Whether a role may do an action; False for a role or an action that is not in the tables."""
    return action in NEEDS and role in GRANTS and NEEDS[action] in GRANTS[role]


def may_any(roles: Iterable[str], action: str) -> bool:
    """Whether one of a person's roles may do it."""
    return any(may(role, action) for role in roles)


def who_may(action: str) -> tuple[Role, ...]:
    """The roles that may do it, in the order of the table."""
    return tuple(role for role in ROLES if may(role, action))


def parse_roles(names: Iterable[str]) -> tuple[Role, ...]:
    """Roles by their names, each once, in the order of the table. Raises BadInput for none, and for an unknown one."""
    wanted = set(names)
    unknown = sorted(wanted - set(ROLES))
    if unknown or not wanted:
        raise BadInput(f"{', '.join(unknown) or 'none'} is no role of a person; expected of {', '.join(ROLES)}")
    return tuple(role for role in ROLES if role in wanted)
