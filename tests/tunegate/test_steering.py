"""A canary over a real ledger: what a running gateway found is an event, with its figures in the store."""

import json
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import httpx
import pytest
from typer.testing import CliRunner

from serving.app import build_gateway
from serving.board import Status
from serving.canary.decision import Decision
from serving.canary.stage import Analysis
from serving.http import gateway_server
from tests.serving.fake_upstream import FakeEngine, running
from tunegate import api_keys, proving, routing
from tunegate.cli import app
from tunegate.house import House
from tunegate.publishing import publish
from tunegate.serving import gateway_settings
from tunegate.steering import Steering
from tunegate_core.config.endpoint import CanaryJudgeBlock, Endpoint
from tunegate_core.snapshot import engine_name

USUAL = Endpoint()
STAGE = {"percent": 50, "min_minutes": 0, "min_samples": 20}
GAIN = (60, 4, 200)


@pytest.fixture
def house(told: Any) -> House:
    """bot@1 answers on the route bot; bot@2 is released, and its own config says how it is watched."""
    told.judge(told.plan(1), GAIN)
    told.serving = {"canary": {"stages": [STAGE], "needed": ["errors", "ttft"], "watched": ["empty"]}}
    told.judge(told.plan(2), GAIN)
    found: House = told.house
    return found


class Judge(FakeEngine):
    """A model that reads what it is asked to judge."""

    def _whole(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        self.words = ("GRADE: 1" if "wrong" in body["messages"][0]["content"] else "GRADE: 5",)
        return super()._whole(path, body)


@contextmanager
def gateway(house: House, canary: FakeEngine, endpoint: Endpoint = USUAL) -> Iterator[Callable[[int], list[str]]]:
    """The house's gateway before an engine a version; the function asks for so many users and says who answered."""
    key = api_keys.create(house, "a test", ["infer"])["key"]
    names = {grant.subject: engine_name(grant) for grant in publish(house).grants}
    champion = FakeEngine(names={names["bot@1"]})
    canary.names = {names["bot@2"]}
    with running(champion) as one, running(canary) as two:
        engines = [
            Status(url, url, champion.key, 1, frozenset(fake.names)) for url, fake in ((one, champion), (two, canary))
        ]
        settings = gateway_settings(house, endpoint, lambda _: engines, is_vllm=True)
        assert settings.canary is not None
        often = replace(settings.canary, seconds=0.05)
        settings = replace(settings, canary=often, load_seconds=0.0, seal_seconds=3600)
        asked = 0
        with running(build_gateway(settings), gateway_server) as url, httpx.Client(base_url=url, timeout=10) as http:

            def ask(count: int) -> list[str]:
                nonlocal asked
                asked += count
                bodies = [
                    {"model": "bot", "messages": [{"role": "user", "content": "?"}], "user": f"u{at}"}
                    for at in range(asked - count, asked)
                ]
                headers = {"Authorization": f"Bearer {key}"}
                answers = [http.post("/v1/chat/completions", json=body, headers=headers).json() for body in bodies]
                return [answer.get("model", "") for answer in answers]

            yield ask


def last(house: House, kind: str, seconds: float = 10) -> Any:
    """The body of the first event of a kind, once it is there."""
    until = time.monotonic() + seconds
    while not (found := house.ledger.events(kind=kind)):
        assert time.monotonic() < until, "nothing was decided"
        time.sleep(0.02)
    return found[-1].body


def wait_for_only(ask: Callable[[int], list[str]], version: str, seconds: float = 10) -> None:
    """Until the gateway has read the newest routes; nobody else answers after that."""
    until = time.monotonic() + seconds
    while set(ask(12)) != {version}:
        assert time.monotonic() < until, "another goes on"
    assert set(ask(12)) == {version}


def test_a_failing_canary_leaves_and_the_ledger_says_why(house: House) -> None:
    routing.promote(house, "bot@2", "canary")
    with gateway(house, FakeEngine(fault="status")) as ask:
        ask(80)
        body = last(house, "route-rolled-back")
        wait_for_only(ask, "bot@1")
    assert (body["ended"], body["champion"], body["reason"]) == ("bot@2", "bot@1", None)
    assert body["found"].startswith("errors: ")
    analysis = Analysis.parse(house.store.get(body["analysis"]))
    assert (analysis.route, analysis.canary, analysis.champion) == ("bot", "bot@2", "bot@1")
    assert analysis.decision.reason == body["found"]
    assert [stage.min_samples for stage in analysis.rules.stages] == [20]
    assert analysis.judge is None and b'"judge"' not in analysis.canonical()
    assert house.registry().state("bot").route.canary is None
    assert proving.verify(house, None)["ok"]
    text = CliRunner().invoke(app, ["routes"]).output
    assert "rolled-back bot@2: errors: " in text


def test_a_canary_that_a_judge_finds_worse_leaves_and_the_ledger_names_the_judge(told: Any) -> None:
    told.judge(told.plan(1), GAIN)
    late = {**STAGE, "min_minutes": 60}
    told.serving = {"canary": {"stages": [late], "needed": ["errors"], "watched": ["score"]}}
    told.judge(told.plan(2), GAIN)
    house = told.house
    routing.promote(house, "bot@2", "canary")
    with running(Judge(names={"big"}, key="")) as url:
        judge = CanaryJudgeBlock(url=f"{url}/v1", model="big", rubric="Right.", percent=100, per_minute=10_000)
        with gateway(house, FakeEngine(words=("all", " wrong")), Endpoint(judge=judge)) as ask:
            ask(80)
            body = last(house, "route-rolled-back")
    assert body["ended"] == "bot@2" and body["found"].startswith("score: median 0, ")
    analysis = Analysis.parse(house.store.get(body["analysis"]))
    assert analysis.judge == "big: Right."
    assert analysis.decision.guard == "score"
    assert proving.verify(house, None)["ok"]


def test_an_equal_canary_becomes_the_champion(house: House) -> None:
    routing.promote(house, "bot@2", "canary")
    with gateway(house, FakeEngine()) as ask:
        until = time.monotonic() + 20
        while house.registry().champion("bot") != "bot@2" and time.monotonic() < until:
            ask(20)
        wait_for_only(ask, "bot@2")
    body = last(house, "route-promoted")
    assert (body["place"], body["version"]) == ("champion", "bot@2")
    assert "every needed guard has its samples" in body["found"]
    assert house.store.has(body["analysis"])


def test_people_see_how_far_it_is(house: House) -> None:
    routing.promote(house, "bot@2", "canary")
    with gateway(house, FakeEngine()) as ask:
        ask(8)
        until, shown = time.monotonic() + 10, None
        while time.monotonic() < until and (shown is None or not shown["decision"] or seen(shown) < 8):
            shown = json.loads(CliRunner().invoke(app, ["routes", "--json"]).output)["routes"][0]["watched"]
    assert shown is not None
    assert (shown["stage"], shown["stages"], shown["is_paused"]) == (1, 1, False)
    assert Decision.model_validate(shown["decision"]).action == "hold"
    text = CliRunner().invoke(app, ["routes"]).output
    assert "canary: stage 1 of 1 since " in text
    assert "hold: errors: " in text and "of 20 samples of the" in text


def test_a_failing_canary_gets_nobody_while_the_ledger_can_not_be_told(house: House) -> None:
    """Somebody else writes for long: the weight is zero here at once, and in the ledger when it is free."""
    routing.promote(house, "bot@2", "canary")
    with gateway(house, FakeEngine(fault="status")) as ask:
        ask(2)
        with sqlite3.connect(house.home / "ledger.sqlite", isolation_level=None) as lock:
            lock.execute("BEGIN IMMEDIATE")
            ask(80)
            wait_for_only(ask, "bot@1")
            assert not house.ledger.events(kind="route-rolled-back")
            assert house.registry().state("bot").route.canary == "bot@2"
            lock.execute("ROLLBACK")
        lock.close()
        assert last(house, "route-rolled-back")["ended"] == "bot@2"
        assert set(ask(12)) == {"bot@1"}


def seen(shown: Any) -> int:
    """Callers counted under errors, in both arms."""
    return int(sum(shown["decision"]["figures"][0][arm]["n"] for arm in ("canary", "champion")))


def test_the_ledger_tells_each_stage(house: House) -> None:
    steering = Steering(house)
    assert steering.stages() == []
    routing.promote(house, "bot@2", "canary")
    event = house.ledger.events()[-1]
    (stage,) = steering.stages()
    assert (stage.alias, stage.canary, stage.champion, stage.weight_bp) == ("bot", "bot@2", "bot@1", 5000)
    assert (stage.event, stage.is_paused) == (event.seq, False)
    assert abs(stage.started - time.time()) < 60
    decision = Decision(
        action="pause", reason="too little", weight_bp=5000, to_bp=5000, started=stage.started, at=stage.started + 1,
        alpha=0.05, tolerance=0.1, figures=(),
    )  # fmt: skip
    assert steering.steer(stage, decision)
    assert steering.stages()[0].is_paused
    routing.promote(house, "bot@2", "canary", 1000)
    assert not steering.steer(stage, decision)
    assert steering.stages()[0].event > stage.event
