"""Who answers is a law of the route and the caller: sticky, monotone in the weight, and never something unnamed."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.decide import bucket, decide, shadow
from serving.errors import Refusal
from serving.view import View
from tests.serving.conftest import api_key, grant
from tunegate_core.snapshot import ALL, Route, Snapshot

GRANTS = tuple(grant(f"bot@{number}") for number in range(1, 5))
CALLER = View.of(Snapshot(epoch=1, keys=(api_key(),))).keys[api_key().key_id]
READER = View.of(Snapshot(epoch=1, keys=(api_key(scopes=("infer", "read")),))).keys[api_key().key_id]
weights = st.integers(0, ALL)
units = st.text(max_size=40)


def view(**route: object) -> View:
    """The view of one route."""
    return View.of(Snapshot(epoch=3, grants=GRANTS, routes=(Route(**{"alias": "bot", "champion": "bot@1", **route}),)))


@given(weights, weights, units)
def test_raising_the_weight_only_adds_units(one: int, other: int, unit: str) -> None:
    less, more = sorted((one, other))
    arms = [decide(view(canary="bot@2", canary_bp=bp), CALLER, "bot", unit).arm for bp in (less, more)]
    assert arms != ["canary", "champion"]


@given(weights, units)
def test_the_same_unit_gets_the_same_arm(weight: int, unit: str) -> None:
    """In any process, since nothing but the names and the unit goes in."""
    here = view(canary="bot@2", canary_bp=weight)
    assert decide(here, CALLER, "bot", unit) == decide(here, CALLER, "bot", unit)
    assert (decide(here, CALLER, "bot", unit).arm == "canary") == (bucket("bot", "bot@2", unit) < weight)


@given(st.sampled_from([0, ALL]), units)
def test_none_and_all_are_exact(weight: int, unit: str) -> None:
    assert decide(view(canary="bot@2", canary_bp=weight), CALLER, "bot", unit).arm == (
        "canary" if weight else "champion"
    )


@pytest.mark.parametrize("weight", [100, 1000, 5000])
def test_the_split_is_what_the_weight_says(weight: int) -> None:
    count = 40_000
    seen = sum(bucket("bot", "bot@2", f"user-{number}") < weight for number in range(count))
    share = weight / ALL
    assert abs(seen - count * share) <= 3.5 * math.sqrt(count * share * (1 - share))


def test_another_canary_meets_other_units_first() -> None:
    first = [{unit for unit in range(2000) if bucket("bot", canary, str(unit)) < 1000} for canary in ("bot@2", "bot@3")]
    assert len(first[0] & first[1]) < len(first[0]) / 3


def test_a_known_bucket_never_changes() -> None:
    """What a unit gets must survive every rewrite of this function."""
    assert [bucket("bot", "bot@2", unit) for unit in ("alice", "bob", "")] == [655, 8755, 3343]


@pytest.mark.parametrize(
    "model", ["", "other", "bot@9", "other@1", "../bot", "bot@1/..", "bot\0", "BOT", "bot ", "x" * 999]
)
def test_what_is_not_there_is_not_found(model: str) -> None:
    with pytest.raises(Refusal) as refused:
        decide(view(), READER, model, "u")
    assert (refused.value.status, refused.value.code) == (404, "model_not_found")
    assert not model or model not in refused.value.message


def test_a_version_is_answered_to_those_who_may_probe_it() -> None:
    found = decide(view(), READER, "bot@4", "u")
    assert (found.subject, found.arm) == ("bot@4", "direct")
    with pytest.raises(Refusal, match="does not exist"):
        decide(view(), CALLER, "bot@4", "u")


def test_a_killed_route_answers_nobody() -> None:
    for model in ("bot", "bot@1"):
        with pytest.raises(Refusal) as refused:
            decide(view(killed=True), READER, model, "u")
        assert refused.value.status == 503
        assert (b"x-should-retry", b"false") in refused.value.headers()  # openai's client would wait for two minutes
        assert refused.value.retry_after  # a batch waits
    assert shadow(view(killed=True, shadow="bot@3", shadow_bp=ALL), "bot", "r") is None


def test_a_route_without_champion_answers_nobody() -> None:
    with pytest.raises(Refusal) as refused:
        decide(view(champion=None), CALLER, "bot", "u")
    assert refused.value.status == 503


def test_a_key_calls_only_its_models() -> None:
    narrow = View.of(Snapshot(epoch=1, keys=(api_key(models=("other",)),))).keys[api_key().key_id]
    with pytest.raises(Refusal, match="does not exist"):
        decide(view(), narrow, "bot", "u")


def test_shadows_are_a_sample_of_requests() -> None:
    here = view(shadow="bot@3", shadow_bp=500)
    seen = [shadow(here, "bot", f"request-{number}") for number in range(20_000)]
    count = sum(found is not None for found in seen)
    assert abs(count - 1000) < 3.5 * math.sqrt(20_000 * 0.05 * 0.95)
    assert {found.subject for found in seen if found} == {"bot@3"}
    assert shadow(here, "other", "r") is None
    assert shadow(view(), "bot", "r") is None
