"""Shadows see a sample and nobody sees them; they stay in their budget and out of the way."""

import json
import time
from typing import Any

import pytest
from sqlalchemy import select

from serving.settings import ShadowBudget
from serving.tables import texts
from tests.serving.conftest import World, api_key, grant, wait_until
from tunegate_core.snapshot import ALL, Limits, Route, engine_name

SHADOWED = (Route(alias="bot", champion="bot@1", shadow="bot@2", shadow_bp=ALL),)


def asked_of(world: World, subject: str) -> int:
    """How often the engine was asked for a version."""
    return sum(ask["body"]["model"] == engine_name(grant(subject)) for ask in list(world.engine.seen))


@pytest.mark.parametrize("stream", [True, False])
def test_a_shadow_is_asked_the_same_and_noted(world: World, stream: bool) -> None:
    world.publish(routes=SHADOWED)
    with world.gateway() as gateway:
        answer = gateway.chat(stream=stream, temperature=0.5)
        rows = {row["arm"]: row for row in gateway.rows(2)}
        spent = gateway.desk.accounts._open[api_key().key_id].spent
    assert "bot@2" not in answer.text and answer.headers["x-served-model"] == "bot@1"
    first, second = (ask["body"] for ask in world.engine.seen)
    assert first | {"model": second["model"]} == second
    assert rows["shadow"]["version"] == "bot@2" and rows["shadow"]["output_tokens"] == 3
    assert rows["shadow"]["id"] != rows["champion"]["id"] and rows["shadow"]["key_id"] == "shadow"
    assert spent.tokens == 10  # of the caller's own answer


@pytest.mark.parametrize("stream", [True, False])
def test_what_a_shadow_says_is_kept_where_texts_are(world: World, stream: bool) -> None:
    world.publish(routes=SHADOWED)
    with world.gateway(keeps_text=True) as gateway:
        gateway.chat(stream=stream)
        hashes = {row["arm"]: row["text"] for row in gateway.rows(2)}
        with gateway.desk.records._tables.reading() as connection:
            kept = {row.hash: json.loads(row.body) for row in connection.execute(select(texts))}
    assert {arm: kept[name]["answer"] for arm, name in hashes.items()} == dict.fromkeys(
        ("champion", "shadow"), "Hello there."
    )


def test_a_shadow_that_fails_or_hangs_is_nobodys_trouble(world: World) -> None:
    world.publish(routes=SHADOWED)
    world.engine.names.discard(engine_name(grant("bot@2")))
    with world.gateway() as gateway:
        assert gateway.chat().status_code == 200
        world.engine.names.add(engine_name(grant("bot@2")))
        wait_until(lambda: gateway.desk.replicas.pick(engine_name(grant("bot@2"))))
        world.engine.gap_s = 0.5
        begun = time.monotonic()
        gateway.chat(stream=False)
        assert time.monotonic() - begun < 1.9  # its own second; after the shadow it would be two
    wait_until(lambda: world.engine.active == 0)


@pytest.mark.parametrize(
    ("budget", "most"), [({"tokens_per_minute": 0}, 0), ({"at_once": 0}, 0), ({"tokens_per_minute": 300}, 2)]
)
def test_shadows_stay_in_their_budget(world: World, budget: dict[str, Any], most: int) -> None:
    world.publish(routes=SHADOWED, keys=(api_key(limits=Limits(tokens_per_minute=10**6)),))
    world.engine.prompt_tokens = 140
    with world.gateway(shadows=ShadowBudget(**budget)) as gateway:
        for _ in range(6):
            assert gateway.chat(max_tokens=150).status_code == 200
            wait_until(lambda: world.engine.active == 0)
        time.sleep(0.05)
    assert asked_of(world, "bot@2") <= most
    assert asked_of(world, "bot@1") == 6


def test_a_killed_or_withdrawn_shadow_stops(world: World) -> None:
    world.publish(routes=SHADOWED)
    with world.gateway() as gateway:
        gateway.chat()
        wait_until(lambda: asked_of(world, "bot@2") == 1)
        world.publish(routes=(Route(alias="bot", champion="bot@1"),), grants=(grant("bot@1"),))
        wait_until(lambda: gateway.desk.live.view.epoch == 2)
        gateway.chat()
        time.sleep(0.05)
    assert asked_of(world, "bot@2") == 1
