"""Canaries behind a running gateway: what is worse leaves by itself, what is equal goes on, what is unknown waits."""

import json
import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from serving.board import Status
from serving.canary.decision import Decision
from serving.canary.stage import Stage
from serving.settings import CanarySettings
from tests.serving.conftest import Running, World, grant, wait_until
from tests.serving.fake_upstream import FakeEngine, running
from tunegate_core.config.schema import CanaryBlock, StageBlock
from tunegate_core.errors import StoreFault
from tunegate_core.snapshot import ALL, Route, engine_name

HALF = StageBlock(percent=50, min_minutes=0, min_samples=20)
LONG = HALF.model_copy(update={"min_minutes": 60})
RULES = CanaryBlock(stages=(HALF,), needed=("errors", "ttft", "empty"), watched=("refusals", "thumbs-down"))
COUNTED = 'canary_decisions_total{action="rollback",alias="bot",version="bot@2"} 1.0'


@dataclass
class Ledger:
    """A ledger in memory that tells of canaries and takes decisions about them, as the roof's does."""

    world: World
    rules: CanaryBlock = RULES
    is_away: bool = False
    event: int = 0
    started: float = 0.0
    is_paused: bool = False
    taken: list[tuple[Stage, Decision]] = field(default_factory=list)

    def begin(self, weight_bp: int = 5000) -> None:
        """bot@2 becomes bot@1's canary, now."""
        self.event, self.started, self.is_paused = self.event + 1, time.time(), False
        self.world.publish(routes=(Route(alias="bot", champion="bot@1", canary="bot@2", canary_bp=weight_bp),))

    def stages(self) -> list[Stage]:
        if self.is_away:
            raise StoreFault("the ledger is away")
        return [
            Stage("bot", route.canary, str(route.champion), route.canary_bp, self.event, self.started, self.rules,
                  self.is_paused)
            for route in self.world.routes if route.canary
        ]  # fmt: skip

    def steer(self, stage: Stage, decision: Decision) -> bool:
        if self.is_away:
            raise StoreFault("the ledger is away")
        if stage.event != self.event:
            return False
        self.taken.append((stage, decision))
        if decision.action == "pause":
            self.is_paused = True
            self.world.publish()
        elif decision.to_bp in (0, ALL):
            self.world.publish(routes=(Route(alias="bot", champion="bot@2" if decision.to_bp else "bot@1"),))
        else:
            self.begin(decision.to_bp)
        return True

    def waits(self) -> bool:
        """Whether something was decided."""
        return bool(self.taken)


@dataclass
class Canary:
    """A gateway with one engine a version: `canary` is the engine to make worse."""

    gateway: Running
    ledger: Ledger
    canary: FakeEngine

    def ask(self, count: int, first: int = 0, **more: Any) -> list[Any]:
        """One request each of so many users."""
        return [self.gateway.chat(user=f"user-{first + at}", **more) for at in range(count)]

    def shown(self) -> Any:
        """What the gateway tells people."""
        return json.loads((self.gateway.desk.settings.canary.status).read_bytes())["canaries"]

    def seen(self) -> int:
        """How many callers were counted in both arms, as far as people are told."""
        decision = self.shown()[0]["decision"] if self.shown() else None
        figures = decision["figures"] if decision else [{"canary": {"n": 0}, "champion": {"n": 0}}]
        return int(figures[0]["canary"]["n"] + figures[0]["champion"]["n"])

    def metrics(self) -> str:
        return str(self.gateway.http.get("/metrics").text)


@contextmanager
def canary_of(world: World, rules: CanaryBlock = RULES, **changes: Any) -> Iterator[Canary]:
    names = [engine_name(grant(subject)) for subject in ("bot@1", "bot@2")]
    other = FakeEngine(names={names[1]})
    ledger = Ledger(world, rules)
    with running(other) as url:
        world.engines = [
            Status(f"r{at}", there, world.engine.key, 1, frozenset([names[at]]))
            for at, there in enumerate((world.url, url))
        ]
        ledger.begin()
        settings = CanarySettings(ledger, world.folder / "canaries.json", seconds=0.03)
        with world.gateway(canary=settings, load_seconds=0.0, **changes) as gateway:
            yield Canary(gateway, ledger, other)


def fail(engine: FakeEngine) -> None:
    engine.fault = "status"


def hang(engine: FakeEngine) -> None:
    engine.first_s = 0.03


def say_nothing(engine: FakeEngine) -> None:
    engine.words = ("",)


def decline(engine: FakeEngine) -> None:
    engine.words = ("I'm sorry", ", but no.")


@pytest.mark.parametrize(
    ("harm", "guard"), [(fail, "errors"), (hang, "ttft"), (say_nothing, "empty"), (decline, "refusals")]
)
def test_a_canary_made_worse_is_rolled_back_by_itself(
    world: World, harm: Callable[[FakeEngine], None], guard: str, caplog: pytest.LogCaptureFixture
) -> None:
    rules = RULES.model_copy(update={"stages": (LONG,)})
    with canary_of(world, rules) as test:
        harm(test.canary)
        test.ask(120)
        wait_until(test.ledger.waits)
        (stage, decision), *_ = test.ledger.taken
        assert (decision.action, decision.to_bp, decision.guard) == ("rollback", 0, guard)
        assert decision.reason.startswith(f"{guard}: ") and stage.canary == "bot@2"
        wait_until(lambda: {answer.json()["model"] for answer in test.ask(4)} == {"bot@1"})
        alarms = [record for record in caplog.records if record.levelno == logging.ERROR and "canary" in record.message]
        assert [guard in alarm.message for alarm in alarms] == [True]
        assert COUNTED in test.metrics()
        wait_until(lambda: test.shown() == [])
        assert "tunegate_canary_evidence{" not in test.metrics()
    assert len(test.ledger.taken) == 1


def test_an_equal_canary_goes_from_stage_to_stage_and_becomes_the_champion(world: World) -> None:
    quarter = HALF.model_copy(update={"percent": 25.0})
    with canary_of(world, RULES.model_copy(update={"stages": (quarter, HALF)})) as test:
        test.ledger.begin(2500)
        wait_until(lambda: test.gateway.desk.live.view.epoch == world.epoch)
        for lap in range(12):
            test.ask(40, first=40 * lap)
            if world.routes[0].champion == "bot@2":
                break
        wait_until(lambda: world.routes[0].champion == "bot@2")
    assert [(stage.weight_bp, decision.to_bp) for stage, decision in test.ledger.taken] == [(2500, 5000), (5000, ALL)]
    assert all(decision.action == "advance" for _, decision in test.ledger.taken)


def test_too_little_data_waits_for_a_person_once(world: World, caplog: pytest.LogCaptureFixture) -> None:
    short = HALF.model_copy(update={"max_minutes": 0.005})
    with canary_of(world, RULES.model_copy(update={"stages": (short,)})) as test:
        test.ask(3)
        wait_until(test.ledger.waits)
        assert test.ledger.taken[0][1].action == "pause"
        assert "errors" in test.ledger.taken[0][1].reason
        time.sleep(0.2)
        assert len(test.ledger.taken) == 1
        assert world.routes[0].canary_bp == 5000
        assert [record.levelno for record in caplog.records if "waits for a person" in record.message] == [40]
        test.canary.fault = "status"  # harm ends it, paused or not
        test.ask(80)
        wait_until(lambda: len(test.ledger.taken) == 2)
    assert test.ledger.taken[1][1].action == "rollback"


def test_thumbs_end_a_canary_too(world: World) -> None:
    rules = RULES.model_copy(update={"stages": (LONG,)})
    with canary_of(world, rules) as test:
        for answer in test.ask(80):
            told = answer.json()
            thumb = "down" if told["model"] == "bot@2" else "up"
            test.gateway.rows(1)
            said = test.gateway.http.post("/v1/feedback", json={"response_id": told["id"], "thumb": thumb})
            assert said.status_code == 201
        wait_until(test.ledger.waits)
    assert test.ledger.taken[0][1].guard == "thumbs-down"


def test_a_person_who_moves_the_canary_meanwhile_is_left_to_it(world: World) -> None:
    with canary_of(world) as test:
        test.ledger.is_away = True  # what is decided can't be done yet
        test.ask(60)
        wait_until(lambda: test.shown()[0]["decision"]["action"] == "advance")
        test.ledger.begin(100)
        test.ledger.is_away = False
        wait_until(lambda: (test.shown()[0]["decision"] or {}).get("weight_bp") == 100)
        assert test.shown()[0]["event"] == test.ledger.event
    assert test.ledger.taken == []
    assert world.routes[0].canary_bp == 100


def test_an_alarm_does_not_wait_for_the_ledger(world: World, caplog: pytest.LogCaptureFixture) -> None:
    with canary_of(world) as test:
        test.ask(1)
        wait_until(lambda: (world.folder / "canaries.json").exists() and test.shown())
        test.ledger.is_away = True
        fail(test.canary)
        test.ask(80)
        wait_until(
            lambda: 'canary_decisions_total{action="rollback",alias="bot",version="bot@2"} 1.0' in test.metrics()
        )
        time.sleep(0.1)
        assert sum("is rolled back" in record.message for record in caplog.records) == 1
        assert test.ledger.taken == []
        assert world.routes[0].canary_bp == 5000  # nobody could say otherwise
        assert {answer.json().get("model") for answer in test.ask(20)} == {"bot@1"}  # and yet it gets nobody
        assert "tunegate_canaries_held 1.0" in test.metrics()
        test.ledger.is_away = False
        wait_until(test.ledger.waits)
        wait_until(lambda: "tunegate_canaries_held 0.0" in test.metrics())
    assert test.ledger.taken[0][1].to_bp == 0


def test_a_canary_that_was_held_back_and_is_tried_again_by_a_person_gets_its_share(world: World) -> None:
    rules = RULES.model_copy(update={"stages": (LONG,)})
    with canary_of(world, rules) as test:
        fail(test.canary)
        test.ask(80)
        wait_until(test.ledger.waits)
        test.canary.fault = ""
        test.ledger.begin()
        wait_until(lambda: {answer.json().get("model") for answer in test.ask(20)} == {"bot@1", "bot@2"})
    assert len(test.ledger.taken) == 1


def test_callers_keep_arm_and_name_when_a_gateway_is_started_again(world: World) -> None:
    world.publish(routes=(Route(alias="bot", champion="bot@1", canary="bot@2", canary_bp=3000),))
    arms, names = [], []
    for start in range(2):
        with world.gateway() as gateway:
            arms.append([gateway.chat(user=f"user-{at}").json()["model"] for at in range(40)])
            names.append({row["unit"] for row in gateway.rows(40 * (start + 1))[40 * start :]})
    assert arms[0] == arms[1] and set(arms[0]) == {"bot@1", "bot@2"}
    assert names[0] == names[1] and len(names[0]) == 40


def test_a_caller_who_comes_back_after_a_restart_counts_once(world: World) -> None:
    with canary_of(world, RULES.model_copy(update={"stages": (LONG,)})) as test:
        test.ask(20)
        test.gateway.rows(20)
        status = world.folder / "again.json"
        with world.gateway(canary=CanarySettings(test.ledger, status, 0.03)) as again:
            for user in range(22):
                again.chat(user=f"user-{user}")
            again.rows(42)
            told = Canary(again, test.ledger, test.canary)
            wait_until(lambda: status.exists() and told.seen() >= 22)
            time.sleep(0.1)
            assert told.seen() == 22


def test_what_was_seen_survives_a_restart(world: World) -> None:
    rules = RULES.model_copy(update={"stages": (LONG,)})
    with canary_of(world, rules) as test:
        test.ask(50)
        test.gateway.rows(50)
        wait_until(lambda: test.seen() == 50)
        before = test.shown()[0]
        with world.gateway(canary=CanarySettings(test.ledger, world.folder / "again.json", 0.03)):
            wait_until((world.folder / "again.json").exists)
            wait_until(lambda: json.loads((world.folder / "again.json").read_bytes())["canaries"])
            after = json.loads((world.folder / "again.json").read_bytes())["canaries"][0]
    assert {**after["decision"], "at": 0} == {**before["decision"], "at": 0}


def test_what_was_asked_before_the_stage_is_not_looked_at(world: World) -> None:
    with canary_of(world, RULES.model_copy(update={"stages": (LONG,)})) as test:
        test.ask(20)
        test.gateway.rows(20)
        test.ledger.begin()
        wait_until(lambda: test.shown() and test.shown()[0]["event"] == test.ledger.event)
        test.ask(4, first=100)
        wait_until(lambda: test.seen() == 4)
