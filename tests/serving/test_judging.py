"""A judge's scores of a sample end a canary that says worse things; no request waits for it, and no word is kept."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from serving import judging
from serving.judging import Judging, question_of, share_of
from serving.records import Records
from serving.settings import Judge, JudgeSettings
from serving.tables import Tables, texts
from tests.serving.conftest import World, wait_until
from tests.serving.test_analysis import LONG, RULES, canary_of
from tunegate_core.redact import redact
from tunegate_core.snapshot import Route

PLANTED = "planted-9b2c"
SCORED = RULES.model_copy(update={"stages": (LONG,), "watched": ("score",)})


def asked_by(judge: Judge, **changes: Any) -> JudgeSettings:
    """Settings by which every answer is judged."""

    @contextmanager
    def opened() -> Iterator[Judge]:
        yield judge

    return JudgeSettings(**{"open": opened, "share": 1.0, "per_minute": 10_000, **changes})


def test_a_canary_that_says_worse_things_is_rolled_back_by_its_scores(world: World) -> None:
    judged: list[tuple[str, str]] = []

    def judge(question: str, answer: str) -> float:
        judged.append((question, answer))
        return 0.25 if "wrong" in answer else 0.75

    with canary_of(world, SCORED, judge=asked_by(judge)) as test:
        test.canary.words = ("all ", "wrong ", PLANTED)
        world.engine.words = ("all ", "right ", PLANTED)
        for at in range(30):  # also streams; a caller who asks again is judged once
            turns = [{"role": "user", "content": f"{PLANTED}, I am a@example.com"}]
            test.ask(4, first=4 * at, stream=at % 2 == 0, messages=turns)
            test.ask(1, first=4 * at)
        wait_until(test.ledger.waits)
        (_, decision), *_ = test.ledger.taken
        assert (decision.action, decision.guard) == ("rollback", "score")
        assert decision.reason.startswith("score: median 0.25, ")
        assert len(judged) <= 122 and len({answer for _, answer in judged}) == 2
        assert {question for question, _ in judged} <= {f"{PLANTED}, I am [EMAIL]", "Hello?"}
        wait_until(lambda: test.gateway.desk.judging.scored == len(judged))
        assert f"tunegate_judge_scores {len(judged)}.0" in test.metrics()
        with test.gateway.desk.records._tables.reading() as connection:
            assert not connection.execute(texts.select()).all()
    files = b"".join(path.read_bytes() for path in Path(world.folder).rglob("*") if path.is_file())
    assert PLANTED.encode() not in files and PLANTED not in str(world.events)


def test_one_that_is_as_good_is_not_and_goes_on_when_scores_are_needed(world: World) -> None:
    half = LONG.model_copy(update={"min_minutes": 0})
    rules = RULES.model_copy(update={"stages": (half,), "needed": ("score",), "watched": ("errors",)})
    seen = 0

    def judge(question: str, answer: str) -> float:
        nonlocal seen
        seen += 1
        return (seen * 7 % 5) / 4

    with canary_of(world, rules, judge=asked_by(judge, parallel=1)) as test:
        for lap in range(4):
            test.ask(30, first=30 * lap)
        wait_until(test.ledger.waits)
    assert test.ledger.taken[0][1].action == "advance"
    assert test.ledger.taken[0][1].figures[0].canary.n >= 20


@pytest.mark.parametrize("away", ["hangs", "breaks", "says nothing"])
def test_a_judge_that_is_away_slows_nobody_and_is_counted(
    away: str, world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(judging, "MOST_PENDING", 5)
    monkeypatch.setattr(judging, "CLOSE_SECONDS", 0.2)
    over = threading.Event()

    def judge(question: str, answer: str) -> float | None:
        if away == "hangs":
            over.wait(20)
        if away == "breaks":
            raise ConnectionError(question)
        return None

    with canary_of(world, SCORED, judge=asked_by(judge)) as test:
        took = []
        for at in range(40):
            begun = time.monotonic()
            assert test.gateway.chat(user=f"user-{at}").status_code == 200
            took.append(time.monotonic() - begun)
        lost = 40 - 2 - 5 if away == "hangs" else 40
        wait_until(lambda: test.gateway.desk.judging.lost == lost)
        assert f"tunegate_judge_lost {lost}.0" in test.metrics()
        assert test.gateway.desk.judging.scored == 0
        assert not test.ledger.taken
        assert sorted(took)[20] < 1
        begun = time.monotonic()
    assert time.monotonic() - begun < 10  # a judge that hangs takes twenty
    over.set()
    assert "Hello?" not in caplog.text


def test_what_is_not_one_answer_to_one_question_is_not_judged(world: World) -> None:
    judged: list[str] = []

    def judge(question: str, answer: str) -> float:
        judged.append(question)
        return 1.0

    with canary_of(world, SCORED, judge=asked_by(judge)) as test:
        test.ask(2, n=2)
        post = test.gateway.http.post
        assert post("/v1/completions", json={"model": "bot", "prompt": ["a", "b"]}).status_code == 200
        assert post("/v1/embeddings", json={"model": "bot", "input": "c"}).status_code == 200
        world.engine.words = test.canary.words = ("",)
        test.ask(4, first=10)
        world.engine.words = test.canary.words = ("yes",)
        long = [{"role": "user", "content": "x" * (judging.MOST_CHARACTERS + 1)}]
        test.ask(1, first=20, messages=long)
        several = [
            {"role": "system", "content": "Be kind."},
            {"role": "user", "content": [{"type": "text", "text": "Hi"}]},
        ]
        test.ask(1, first=30, messages=several)
        assert post("/v1/completions", json={"model": "bot", "prompt": "d", "user": "u"}).status_code == 200
        asked = {"model": "bot", "input": "e", "instructions": "Be brief.", "user": "v"}
        assert post("/v1/responses", json=asked).status_code == 200
        wait_until(lambda: len(judged) == 3)
        assert test.gateway.desk.judging.lost == 1  # the long one
    assert judged == ["system: Be kind.\nuser: Hi", "d", "system: Be brief.\nuser: e"]


def test_nobody_is_judged_without_a_canary(world: World) -> None:
    def judge(question: str, answer: str) -> float:
        raise AssertionError(question)

    with world.gateway(judge=asked_by(judge)) as gateway:
        for user in range(5):
            gateway.chat(user=str(user))
        gateway.rows(5)
        assert (gateway.desk.judging.lost, gateway.desk.judging.pending) == (0, 0)


@pytest.mark.parametrize(
    ("canary_bp", "champion", "canary"), [(1000, 0.1 / 9, 0.1), (5000, 0.1, 0.1), (9000, 0.1, 0.1 / 9)]
)
def test_of_both_arms_as_many_are_drawn(canary_bp: int, champion: float, canary: float) -> None:
    route = Route(alias="bot", champion="bot@1", canary="bot@2", canary_bp=canary_bp)
    drawn = [share_of(0.1, route, is_canary) for is_canary in (False, True)]
    assert drawn == pytest.approx([champion, canary])
    assert drawn[0] * (10_000 - canary_bp) == pytest.approx(drawn[1] * canary_bp)


@pytest.fixture
def chooser(tmp_path: Path) -> Iterator[Callable[..., Judging]]:
    tables = Tables(tmp_path / "records.sqlite")
    yield lambda settings, draw=lambda: 0.0: Judging(settings, Records(tables), redact, draw)
    tables.close()


def call(unit: str, version: str = "bot@1", **changes: Any) -> Any:
    """As much of a call as a sample looks at."""
    fields: dict[str, Any] = {
        "decision": SimpleNamespace(alias="bot", subject=version, arm="canary" if version == "bot@2" else "champion"),
        "endpoint": SimpleNamespace(generates=True, path="/v1/chat/completions", prompt="messages"),
        "request": SimpleNamespace(body={"messages": [{"role": "user", "content": "?"}]}),
        "unit": unit, "status": 200, "response_id": "r", "reading": SimpleNamespace(text="yes", called_tool=False),
    }  # fmt: skip
    return SimpleNamespace(**{**fields, **changes})


def view(**changes: Any) -> Any:
    route = {"alias": "bot", "champion": "bot@1", "canary": "bot@2", "canary_bp": 5000, **changes}
    return SimpleNamespace(routes={"bot": Route(**route)})


def test_a_caller_is_drawn_once_in_a_stage_and_again_where_no_score_came(chooser: Callable[..., Judging]) -> None:
    sample = chooser(asked_by(lambda question, answer: None))
    assert [sample.wants(view(), call("u")) for _ in range(2)] == [True, False]
    assert sample.wants(view(), call("u", "bot@2")) and sample.wants(view(), call("v"))
    assert sample.wants(view(canary_bp=2500), call("u"))  # the next stage
    sample._ask(lambda question, answer: None, judging.Sampled(("bot", "bot@1", "u"), "r", "?", "yes"))
    assert sample.wants(view(canary_bp=2500), call("u"))


def test_there_is_a_limit_in_a_minute(chooser: Callable[..., Judging]) -> None:
    sample = chooser(asked_by(lambda question, answer: 1.0, per_minute=3))
    for unit in range(5):
        sample.put(call(str(unit)))
    assert (sample.pending, sample.lost) == (3, 2)
    sample.put(call("a", status=502))
    sample.put(call("b", reading=SimpleNamespace(text="{}", called_tool=True)))
    assert (sample.pending, sample.lost) == (3, 2)


def test_media_are_left_out_of_the_question() -> None:
    parts = [{"type": "text", "text": "What is it?"}, {"type": "image_url", "image_url": {"url": "data:x"}}, "so"]
    asked = SimpleNamespace(body={"messages": [{"role": "user", "content": parts}]})
    assert question_of(call("u", request=asked)) == "What is it? so"
