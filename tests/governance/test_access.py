"""API keys: who they open for and until when, as their events tell."""

import hashlib
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from governance.access import KEY_CREATED, KEY_REVOKED, OVERLAP, SCOPES, Access, Created, new_grant, renewed
from governance.ledger.event import format_time
from tunegate_core.errors import BadInput, IntegrityError, NotFound
from tunegate_core.snapshot import KeyGrant, Limits, Scope

START = datetime(2026, 1, 1, tzinfo=UTC)
NAME = "rows:" + "1" * 64


@dataclass(frozen=True)
class Happened:
    """An event without a ledger."""

    kind: str
    subject: str | None
    body: dict[str, Any]
    at: str = format_time(START)


def at(days: float) -> str:
    return format_time(START + timedelta(days=days))


def made(grant: KeyGrant, when: str = at(0), **more: Any) -> Happened:
    return Happened(KEY_CREATED, grant.key_id, Created(grant=grant, name=NAME, **more).model_dump(mode="json"), when)


def revoked(key_id: str, when: str = at(1)) -> Happened:
    return Happened(KEY_REVOKED, key_id, {"reason": None}, when)


def grant_of(expires: str | None = None) -> KeyGrant:
    return new_grant(["infer"], None, expires, Limits())[0]


def test_the_scopes_are_those_that_serving_knows() -> None:
    assert set(SCOPES) == set(get_args(Scope))


@given(st.lists(st.sampled_from(list(SCOPES)), min_size=1))
def test_a_key_opens_with_its_secret_which_is_kept_as_a_hash_only(scopes: list[str]) -> None:
    grant, key = new_grant(scopes, ["bot", "bot"], None, Limits(tokens_per_minute=5))
    found = re.fullmatch(r"tg_([0-9a-f]{16})_([A-Za-z0-9_-]{43})", key)
    assert found is not None
    assert grant.key_id == found[1]
    assert grant.secret_sha256 == hashlib.sha256(found[2].encode()).hexdigest()
    assert found[2] not in grant.model_dump_json()
    assert set(grant.scopes) == set(scopes)
    assert len(grant.scopes) == len(set(scopes))
    assert (grant.models, grant.limits.tokens_per_minute) == (("bot",), 5)
    assert new_grant(scopes, None, None, Limits())[1] != key


@pytest.mark.parametrize("scopes", [[], ["root"], ["infer", "ADMIN"]])
def test_other_scopes_are_refused(scopes: list[str]) -> None:
    with pytest.raises(BadInput, match="no scope of an API key; expected of infer, feedback"):
        new_grant(scopes, None, None, Limits())


def test_a_route_that_can_not_be_is_refused() -> None:
    with pytest.raises(BadInput, match="models"):
        new_grant(["infer"], ["../bot"], None, Limits())


def test_a_key_is_valid_until_it_is_revoked_or_expires() -> None:
    forever, short, gone = grant_of(), grant_of(at(10)), grant_of()
    access = Access.from_events([made(forever), made(short), made(gone), revoked(gone.key_id)])
    assert access.grants(at(2)) == (forever, short)
    assert access.grants(at(10)) == (forever,)
    assert access.keys[gone.key_id].revoked_at == at(1)


def test_a_revoked_key_never_comes_back() -> None:
    gone = grant_of()
    story = [made(gone), revoked(gone.key_id)]
    with pytest.raises(BadInput, match="was revoked at 2026-01-02T"):
        Access.from_events(story).usable(gone.key_id)
    for again in (made(gone), revoked(gone.key_id), made(grant_of(), replaces=gone.key_id, replaced_at=at(2))):
        with pytest.raises(IntegrityError, match="is no event of an API key"):
            Access.from_events([*story, again])


def test_there_is_no_other_key() -> None:
    with pytest.raises(NotFound, match="there is no API key nobody; 'tunegate keys list'"):
        Access.from_events([Happened("planned", "bot@1", {})]).usable("nobody")


@pytest.mark.parametrize("expires", [None, at(0.5), at(30)])
def test_rotating_leaves_the_old_key_a_while_and_gives_its_rights_to_the_new_one(expires: str | None) -> None:
    old, now = new_grant(["infer", "feedback"], ["bot"], expires, Limits(budget_tokens=9))[0], START + timedelta(days=3)
    access = Access.from_events([made(old)])
    new, _ = renewed(access.keys[old.key_id], now)
    assert (new.scopes, new.models, new.limits) == (old.scopes, old.models, old.limits)
    assert new.key_id != old.key_id
    access.follow(made(new, format_time(now), replaces=old.key_id, replaced_at=format_time(now + OVERLAP)))
    ends = access.keys[old.key_id].grant.expires
    assert ends == (at(0.5) if expires == at(0.5) else at(4))
    assert access.keys[old.key_id].replaced_by == new.key_id
    assert access.keys[new.key_id].grant.before == (old.key_id,)
    newest, _ = renewed(access.keys[new.key_id], now)
    access.follow(made(newest, format_time(now), replaces=new.key_id, replaced_at=format_time(now + OVERLAP)))
    assert access.keys[newest.key_id].grant.before == (old.key_id, new.key_id)
    assert old.key_id not in {grant.key_id for grant in access.grants(at(4))}
    again, _ = renewed(access.keys[old.key_id], now)  # the first new one was lost
    until = None if expires is None else format_time(now + (datetime.fromisoformat(expires) - START))
    assert (new.expires, again.expires) == (until, until)


@pytest.mark.parametrize(
    "body",
    [
        {}, {"grant": {}, "name": NAME}, {**made(grant_of()).body, "more": 1},
        {**made(grant_of()).body, "grant": grant_of().model_dump(mode="json")},  # another key's
    ],
)  # fmt: skip
def test_what_makes_no_key_is_an_integrity_error(body: dict[str, Any]) -> None:
    with pytest.raises(IntegrityError, match="is no event of an API key"):
        Access.from_events([Happened(KEY_CREATED, "0" * 16, body)])


@pytest.mark.parametrize("expires", ["soon", "2026-01-01T00:00:00"])
def test_a_time_that_can_not_be_compared_is_an_integrity_error(expires: str) -> None:
    access = Access.from_events([made(grant_of(expires))])
    with pytest.raises(IntegrityError, match="time"):
        access.grants(at(0))
