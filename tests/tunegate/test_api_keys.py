"""API keys from making to revoking: shown once, kept as a hash, published at once."""

import hashlib
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from tunegate import api_keys, proving, publishing
from tunegate.cli import app
from tunegate.house import House
from tunegate_core.errors import BadInput, NotFound, TunegateError
from tunegate_core.proof.keys import parse_public_key
from tunegate_core.snapshot import KeyGrant, Limits, verify_snapshot

START = datetime(2026, 1, 1, tzinfo=UTC)


class Later:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> datetime:
        return self.now

    def passes(self, **time: float) -> None:
        self.now += timedelta(**time)


@pytest.fixture
def clock() -> Later:
    return Later()


@pytest.fixture
def house(home: Path, clock: Later) -> House:
    return House(home, f"sqlite:///{home / 'ledger.sqlite'}", clock=clock)


def published(house: House) -> dict[str, KeyGrant]:
    """The keys that a gateway would take, by id."""
    data = publishing.snapshot_file(house).read_bytes()
    return {key.key_id: key for key in verify_snapshot(data, parse_public_key(house.public_key)).keys}


def run(*args: str) -> Any:
    return CliRunner(env={"COLUMNS": "200"}).invoke(app, list(args))


def test_a_key_is_shown_once_and_published(house: House) -> None:
    made = api_keys.create(house, "shop", ["infer", "feedback"], ["bot"], None, ["requests-per-minute=60"])
    _, key_id, secret = made["key"].split("_", 2)
    grant = published(house)[key_id]
    assert grant.secret_sha256 == hashlib.sha256(secret.encode()).hexdigest()
    assert (grant.scopes, grant.models) == (("infer", "feedback"), ("bot",))
    assert grant.limits == Limits(requests_per_minute=60)
    kept = [path for path in house.home.rglob("*") if path.is_file() and secret.encode() in path.read_bytes()]
    assert kept == []
    (listed,) = api_keys.listed(house)["keys"]
    assert (listed["key_id"], listed["name"], listed["state"]) == (key_id, "shop", "valid")
    assert "key" not in listed
    assert "secret_sha256" not in listed


def test_a_name_is_erasable_text(house: House) -> None:
    made = api_keys.create(house, "Mallory's phone", ["infer"])
    body = house.events()[-1].body
    assert "Mallory" not in json.dumps([event.body for event in house.events()])
    house.rows.erase(body["name"], 0)
    assert api_keys.listed(house)["keys"][0]["name"] == "(erased)"
    assert proving.verify(house, None)["ok"]
    assert made["key_id"] in published(house)


def test_revoking_ends_it_at_once_and_again_changes_nothing(house: House) -> None:
    key_id = api_keys.create(house, "shop", ["infer"])["key_id"]
    assert "is revoked" in api_keys.revoke(house, key_id, "leaked")
    assert published(house) == {}
    size = house.ledger.size()
    api_keys.revoke(house, key_id)
    assert house.ledger.size() == size
    assert api_keys.listed(house)["keys"][0]["state"] == "revoked"
    with pytest.raises(NotFound, match="there is no API key"):
        api_keys.revoke(house, "0" * 16)
    with pytest.raises(BadInput, match="was revoked"):
        api_keys.rotate(house, key_id)


def test_rotating_overlaps_for_a_day(house: House, clock: Later) -> None:
    old = api_keys.create(house, "shop", ["infer"], ["bot"], 30, ["budget-money=1.5"])
    clock.passes(days=3)
    new = api_keys.rotate(house, old["key_id"])
    assert new["replaces"] == old["key_id"]
    assert new["key"] != old["key"]
    assert {name: new[name] for name in ("name", "scopes", "models", "limits")} == {
        name: old[name] for name in ("name", "scopes", "models", "limits")
    }
    assert set(published(house)) == {old["key_id"], new["key_id"]}
    assert published(house)[old["key_id"]].expires == "2026-01-05T00:00:00.000000Z"
    assert new["expires"] == "2026-02-03T00:00:00.000000Z"
    clock.passes(hours=24)
    assert [key["state"] for key in api_keys.listed(house)["keys"]] == ["expired", "valid"]
    assert api_keys.listed(house)["keys"][0]["replaced_by"] == new["key_id"]


def test_an_expired_key_can_be_renewed(house: House, clock: Later) -> None:
    old = api_keys.create(house, "shop", ["infer"], days=1)
    clock.passes(days=5)
    new = api_keys.rotate(house, old["key_id"])
    assert set(published(house)) == {new["key_id"]}


@pytest.mark.parametrize(
    ("limits", "expected"),
    [
        ([], Limits()),
        (["tokens-per-minute=1000", "budget-tokens=5"], Limits(tokens_per_minute=1000, budget_tokens=5)),
        (["budget-money=12.5"], Limits(budget_micros=12_500_000)),
        (["requests-per-minute=0"], Limits(requests_per_minute=0)),
    ],
)
def test_limits(limits: list[str], expected: Limits) -> None:
    assert api_keys.parse_limits(limits) == expected


@pytest.mark.parametrize(
    "limit",
    ["rpm=1", "budget-money", "budget-money=", "budget-tokens=1.5", "budget-tokens=-1", "budget-money=0.0000001",
     "budget-tokens=nan", "budget-tokens=inf", "budget-tokens=1e30", "budget-tokens=1e999999", "=1"],
)  # fmt: skip
def test_what_is_no_limit(limit: str) -> None:
    with pytest.raises(BadInput, match="limit"):
        api_keys.parse_limits([limit])


@pytest.mark.parametrize(
    "said", [{"name": ""}, {"name": " "}, {"name": "a\nb"}, {"name": "n" * 201}, {"scopes": ["root"]}, {"days": 0},
             {"days": 36_501}, {"days": 10**13}, {"models": ["../x"]}, {"limits": ["x"]},
             {"limits": ["budget-tokens=1", "budget-tokens=2"]}],
)  # fmt: skip
def test_what_can_not_be_a_key_is_not_recorded(house: House, said: dict[str, Any]) -> None:
    with pytest.raises(BadInput):
        api_keys.create(house, **{"name": "shop", "scopes": ["infer"], **said})
    assert house.events() == []


def test_the_verbs(home: Path, house: House) -> None:
    assert "there is no API key yet" in run("keys", "list").output
    made = json.loads(run("keys", "create", "shop", "--scope", "infer", "--scope", "feedback", "--json").output)
    assert made["key"].startswith(f"tg_{made['key_id']}_")
    assert made["scopes"] == ["infer", "feedback"]
    shown = run(
        "keys", "create", "desk", "--scope", "read", "--model", "bot", "--days", "9", "--limit", "budget-tokens=7"
    )
    assert "'desk' may read; shown only now:\ntg_" in shown.output
    assert "no release answers yet on bot; 'tunegate routes' names the routes" in shown.output
    listed = run("keys", "list").output
    assert made["key"] not in listed
    assert "budget_tokens=7" in listed
    rotated = run("keys", "rotate", made["key_id"]).output
    assert f"'tunegate keys revoke {made['key_id']}' ends it now" in rotated
    assert "opens nothing any more" in run("keys", "revoke", made["key_id"], "--reason", "gone").output
    states = [key["state"] for key in json.loads(run("keys", "list", "--json").output)["keys"]]
    assert states == ["revoked", "valid", "valid"]


def test_without_a_scope_it_is_a_persons_key(home: Path) -> None:
    assert "key " in run("keys", "create", "reviewer").output
    assert (home / "keys" / "reviewer.key").exists()
    assert isinstance(run("keys", "create", "other", "--days", "3").exception, TunegateError)
    assert "BEGIN PUBLIC KEY" in run("keys", "export").output
