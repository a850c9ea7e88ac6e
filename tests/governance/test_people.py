"""Users and signing keys: each counts from its event until the one that ends it, whatever the order of events."""

from dataclasses import dataclass, field
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from governance.people import People
from tunegate_core.errors import BadInput, IntegrityError, NotFound
from tunegate_core.proof.keys import key_id
from tunegate_core.proof.rotation import Rotation

AT = "2026-01-01T00:00:00.000000Z"


@dataclass(frozen=True)
class Happened:
    kind: str
    body: dict[str, Any] = field(default_factory=dict)
    subject: str | None = None
    at: str = AT


PRIVATE: dict[str, Ed25519PrivateKey] = {}


def new_key() -> dict[str, str]:
    private = Ed25519PrivateKey.generate()
    public = private.public_key()
    pem = public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    found = {"key_id": key_id(public.public_bytes_raw()), "public": pem.decode()}
    PRIVATE[found["key_id"]] = private
    return found


def rotated(old: dict[str, str], new: dict[str, str], signs: dict[str, str] | None = None) -> "Happened":
    """`new` in place of `old`; `signs`: whose key signs for the old one."""
    draft = Rotation(old=old["public"], new=new["public"], size=1)
    signatures = [PRIVATE[key["key_id"]].sign(draft.payload()).hex() for key in (signs or old, new)]
    said = draft.model_copy(update={"old_signature": signatures[0], "new_signature": signatures[1]})
    body = {**new, "replaces": old["key_id"], "rotation": said.model_dump(mode="json")}
    return Happened("key-rotated", body)


KEY, OTHER, MALLORYS = new_key(), new_key(), new_key()
NAME = "rows:" + "0" * 64


def user(user_id: str, *roles: str, key: str | None = None) -> Happened:
    return Happened("user-added", {"name": NAME, "roles": roles, "key_id": key}, user_id)


ADMIN = user("u1", "admin")


def test_a_user_counts_from_the_first_event_to_the_last() -> None:
    story = [ADMIN, user("u2", "reviewer", key=KEY["key_id"])]
    people = People.from_events(story)
    assert people.enforced
    assert people.objection(KEY["key_id"], "approve") is None
    people = People.from_events([*story, Happened("user-roles-set", {"roles": ["auditor"]}, "u2")])
    assert "which may not approve" in str(people.objection(KEY["key_id"], "approve"))
    people = People.from_events([*story, Happened("user-disabled", {"reason": None}, "u2")])
    assert "is no user's" in str(people.objection(KEY["key_id"], "approve"))
    with pytest.raises(BadInput, match="was disabled at"):
        people.user("u2")
    with pytest.raises(NotFound):
        people.user("u3")


def test_before_the_first_user_nobody_is_asked_unless_the_policy_names_roles() -> None:
    people = People.from_events([Happened("key-created", KEY)])
    assert people.objection(KEY["key_id"], "approve") is None
    assert people.objection(KEY["key_id"], "approve", ("reviewer",)) is not None
    assert not people.enforced


def test_a_policy_may_ask_for_one_of_several_roles() -> None:
    people = People.from_events([ADMIN, user("u2", "reviewer", "operator", key=KEY["key_id"])])
    assert people.objection(KEY["key_id"], "approve", ("admin", "operator")) is None
    assert "the policy asks for admin" in str(people.objection(KEY["key_id"], "approve", ("admin",)))


def test_an_ended_key_counts_no_more_and_never_comes_back() -> None:
    story = [Happened("key-created", KEY), Happened("key-revoked", {"key_id": KEY["key_id"], "reason": None})]
    people = People.from_events(story)
    assert "counts no more since" in str(people.objection(KEY["key_id"], "approve"))
    assert people.keys[KEY["key_id"]].public == KEY["public"]  # what it signed can still be checked
    with pytest.raises(IntegrityError, match="recorded already"):
        People.from_events([*story, Happened("key-created", KEY)])
    with pytest.raises(IntegrityError, match="counts no more"):
        People.from_events([*story, ADMIN, user("u2", "reviewer", key=KEY["key_id"])])


def test_a_rotated_key_hands_on_its_user() -> None:
    event = rotated(KEY, OTHER)
    people = People.from_events([Happened("key-created", KEY), ADMIN, user("u2", "reviewer", key=KEY["key_id"]), event])
    assert people.users["u2"].key_id == OTHER["key_id"]
    assert people.objection(OTHER["key_id"], "approve") is None
    assert people.objection(KEY["key_id"], "approve") is not None
    with pytest.raises(BadInput, match="counts no more"):
        people.follow(rotated(KEY, new_key()))


def test_only_both_keys_together_rotate() -> None:
    people = People.from_events([Happened("key-created", KEY)])
    wrong = rotated(KEY, OTHER)
    for event in (
        rotated(KEY, OTHER, signs=MALLORYS),
        Happened("key-rotated", {**wrong.body, "key_id": MALLORYS["key_id"], "public": MALLORYS["public"]}),
        Happened("key-rotated", {**wrong.body, "replaces": MALLORYS["key_id"]}),
    ):
        with pytest.raises((BadInput, IntegrityError)):
            people.follow(event)
    assert people.ended(KEY["key_id"]) is None


def test_a_key_that_was_never_recorded_can_be_ended() -> None:
    people = People.from_events([Happened("key-revoked", {"key_id": "0" * 16, "reason": None})])
    assert people.ended("0" * 16) == AT


@pytest.mark.parametrize(
    "story",
    [
        [user("u1", "reviewer")],
        [user("u1")],
        [user("u1", "root")],
        [ADMIN, ADMIN],
        [ADMIN, Happened("user-disabled", {"reason": None}, "u1")],
        [ADMIN, Happened("user-roles-set", {"roles": ["reviewer"]}, "u1")],
        [ADMIN, Happened("user-roles-set", {"roles": ["reviewer"]}, "u9")],
        [ADMIN, user("u2", "trainer", key="a"), user("u3", "reviewer", key="a")],
        [Happened("key-created", {**KEY, "key_id": "0" * 16})],
        [Happened("key-created", {**KEY, "public": "no key"})],
        [Happened("key-created", KEY), Happened("key-created", KEY)],
    ],
)
def test_what_can_not_have_happened(story: list[Happened]) -> None:
    with pytest.raises(IntegrityError):
        People.from_events(story)


MOVES = [
    ADMIN, user("u2", "admin"), user("u3", "reviewer", key="k1"), user("u4", "trainer", key="k2"),
    *(Happened("user-disabled", {"reason": None}, f"u{n}") for n in range(1, 5)),
    *(Happened("user-roles-set", {"roles": roles}, f"u{n}") for n in (1, 2, 3) for roles in (["admin"], ["auditor"])),
    Happened("key-revoked", {"key_id": "k1", "reason": None}), Happened("released"), Happened("access-denied"),
]  # fmt: skip


@given(st.lists(st.sampled_from(MOVES), max_size=14))
def test_there_is_always_an_admin_and_what_ended_stays_ended(moves: list[Happened]) -> None:
    people, ended = People(), set()
    for event in moves:
        before = (dict(people.users), dict(people.keys))
        try:
            people.follow(event)
        except BadInput:
            assert (people.users, people.keys) == before  # refused means unchanged
            continue
        if event.kind in ("user-disabled", "key-revoked"):
            ended.add(event.subject or event.body["key_id"])
    active = [user for user in people.users.values() if user.disabled_at is None]
    assert not people.users or any("admin" in user.roles for user in active)
    assert not ended & {user.user_id for user in active}
    if "k1" in ended:
        assert people.objection("k1", "approve") is not None
