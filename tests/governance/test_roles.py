"""The authorisation table: every action for every role, written down a second time."""

import pytest

from governance.access import SCOPES
from governance.roles import GRANTS, NEEDS, ROLES, may, may_any, parse_roles, who_may
from tunegate_core.errors import BadInput

READING = {"view", "export"}
OPERATING = {"revoke", "promote", "rollback", "kill", "unkill", "publish", "serve", "keep", "checkpoint"}
MATRIX = {
    "trainer": READING | {"train", "annotate", "declare"},
    "reviewer": READING | {"approve", "refuse", "recall", "approve-policy", "annotate"},
    "operator": READING | OPERATING,
    "auditor": READING,
    "admin": READING | {"users", "keys", "propose-policy", "erase", "witnesses"},
}


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("action", NEEDS)
def test_every_action_for_every_role(role: str, action: str) -> None:
    assert may(role, action) == (action in MATRIX[role])


def test_every_action_is_somebodys_and_nobody_may_do_all() -> None:
    assert all(who_may(action) for action in NEEDS)
    assert set().union(*MATRIX.values()) == set(NEEDS)
    assert not any(all(may(role, action) for action in NEEDS) for role in ROLES)


def test_who_trains_does_not_approve_and_who_approves_does_not_grant_roles() -> None:
    assert not may_any(["trainer", "operator", "admin", "auditor"], "approve")
    assert not may_any(["trainer", "reviewer", "operator", "auditor"], "users")


@pytest.mark.parametrize(("role", "action"), [("root", "view"), ("admin", "fly"), ("", ""), ("admin", "admin")])
def test_what_is_in_no_table_is_denied(role: str, action: str) -> None:
    assert not may(role, action)
    assert not may_any([], "view")


def test_roles_and_scopes_of_keys_are_one_vocabulary() -> None:
    permissions = set().union(*GRANTS.values())
    assert permissions - set(SCOPES) == {"operate"}
    assert set(NEEDS.values()) <= permissions


def test_roles_are_read_by_name() -> None:
    assert parse_roles(["admin", "reviewer", "admin"]) == ("reviewer", "admin")
    for wrong in ([], ["root"], ["admin", ""]):
        with pytest.raises(BadInput, match="no role of a person; expected of trainer"):
            parse_roles(wrong)
