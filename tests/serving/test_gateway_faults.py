"""What a gateway does when engines, callers, disks and routes change under it."""

import json
import logging
import os
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from typing import Any

import pytest

from serving.board import Status
from serving.inflight import InFlight
from tests.serving.conftest import QUESTION, Running, World, api_key, bearer, client, grant, timed, wait_until
from tests.serving.fake_upstream import FakeEngine, Fault, running
from tunegate_core.errors import ResourcesUnavailable
from tunegate_core.snapshot import Limits, Route, Staleness, engine_name

NAMES = {engine_name(grant(subject)) for subject in ("bot@1", "bot@2")}


def events(text: str) -> list[Any]:
    """The events of a stream."""
    return [json.loads(line.removeprefix("data: ")) for line in text.split("\n") if line.startswith("data: {")]


@contextmanager
def calling(gateway: Running, body: dict[str, Any]) -> Iterator[socket.socket]:
    """A connection by which a chat was asked for, and nothing read yet."""
    data = json.dumps(body)
    head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {bearer()}\r\n"
    with socket.create_connection(("127.0.0.1", int(gateway.url.rpartition(":")[2])), timeout=10) as caller:
        caller.sendall(f"{head}Content-Length: {len(data)}\r\n\r\n{data}".encode())
        yield caller


def dead_url() -> str:
    """Where nobody listens."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{free.getsockname()[1]}"


@pytest.mark.parametrize("stream", [True, False])
def test_another_engine_answers_for_one_that_is_gone(world: World, stream: bool) -> None:
    world.engines = [Status("gone", dead_url(), "", 1, frozenset(NAMES)), *world.exchange(b"")]
    with world.gateway() as gateway, timed("six answers while one of two engines is gone"):
        assert {gateway.chat(stream=stream).status_code for _ in range(6)} == {200}


@pytest.mark.parametrize("stream", [True, False])
def test_without_any_engine_callers_are_told_to_come_back(world: World, stream: bool) -> None:
    world.engines = [Status("gone", dead_url(), "", 1, frozenset(NAMES))]
    with world.gateway() as gateway:
        answer = gateway.chat(stream=stream)
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "engine_lost")
        assert answer.headers["retry-after"] == "1"
        row = gateway.rows()[0]
        assert (row["status"], row["prompt_tokens"], row["output_tokens"]) == (503, 0, 0)


@pytest.mark.parametrize(
    ("fault", "code"),
    [("broken", "engine_lost"), ("cut", "engine_lost"), ("error event", "engine_error"), ("no json", "bad_answer")],
)
@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/responses"])
def test_a_stream_that_breaks_ends_with_an_error(world: World, fault: Fault, code: str, path: str) -> None:
    world.engine.fault, world.engine.gap_s = fault, 0.02
    ask = {"model": "bot", "stream": True} | (QUESTION if "chat" in path else {"input": "Hi"})
    with world.gateway() as gateway:
        with timed(f"a stream with the fault '{fault}', 0.04 s of it the engine's"):
            answer = gateway.http.post(path, json=ask)
        row = gateway.rows()[0]
    last = events(answer.text)[-1] if answer.status_code == 200 else answer.json()
    assert last["error"]["code"] == code
    assert "[DONE]" not in answer.text and "SECRET-INPUT" not in answer.text
    assert (row["status"], row["code"]) == (502, code)


def test_what_a_broken_stream_had_used_is_charged(world: World) -> None:
    world.engine.fault, world.engine.gap_s = "cut", 0.02
    with world.gateway() as gateway:
        gateway.chat(stream=True)
        assert gateway.rows()[0]["output_tokens"] == 2


def test_every_prompt_of_a_broken_stream_is_charged(world: World) -> None:
    world.engine.fault, world.engine.words, world.engine.gap_s = "cut", ("x",) * 9, 0.01
    with world.gateway() as gateway:
        gateway.http.post("/v1/completions", json={"model": "bot", "prompt": ["a", "b"], "stream": True})
        row = gateway.rows()[0]
    assert (row["prompt_tokens"], row["output_tokens"]) == (2 * world.engine.prompt_tokens, 2)


@pytest.mark.parametrize("stream", [True, False])
def test_an_engine_that_can_not_count_is_not_believed(
    world: World, stream: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing stays reserved for it, and the records go on."""
    world.publish(keys=(api_key(limits=Limits(budget_tokens=10_000)),))
    with world.gateway() as gateway:
        for count in ("7", 2**63):
            monkeypatch.setattr(world.engine, "prompt_tokens", count)
            monkeypatch.setattr(world.engine, "_usage", lambda made: {"prompt_tokens": world.engine.prompt_tokens})
            answer = gateway.chat(stream=stream)
            assert answer.status_code == 502 and answer.json()["error"]["code"] == "bad_answer"
        monkeypatch.undo()
        assert gateway.chat(stream=stream).status_code == 200
        rows = gateway.rows(3)
        account = gateway.desk.accounts._open[api_key().key_id]
    assert [row["status"] for row in rows] == [502, 502, 200]
    assert (account.spent.tokens, account.held.tokens) == (10, 0)


def test_an_answer_that_is_too_long_is_asked_for_once(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("serving.upstream.MOST_ANSWER_BYTES", 20_000)
    world.engine.words = ("x" * 30_000,)
    with world.gateway() as gateway:
        answer = gateway.chat()
        assert (answer.status_code, answer.json()["error"]["code"]) == (502, "bad_answer")
        assert len(world.engine.seen) == 1 and not gateway.desk.replicas._lost


@pytest.mark.parametrize(("status", "told"), [(400, 400), (422, 400), (401, 502), (500, 502), (503, 503), (429, 503)])
def test_an_engines_error_is_told_in_our_words(world: World, status: int, told: int) -> None:
    world.engine.fault, world.engine.status = "status", status
    with world.gateway() as gateway:
        answer = gateway.chat()
        assert answer.status_code == told
        assert "SECRET-INPUT" not in answer.text


def test_too_long_a_prompt_is_told_as_such(world: World) -> None:
    world.engine.fault, world.engine.status = "status", 400
    world.engine.message = "This model's maximum context length is 512 tokens. However, SECRET-INPUT"
    with world.gateway() as gateway:
        error = gateway.chat().json()["error"]
    assert error["code"] == "context_length_exceeded" and "512" in error["message"]
    assert "SECRET-INPUT" not in error["message"]


def test_first_requests_wait_for_a_version_that_is_being_loaded(world: World) -> None:
    world.engine.names.clear()
    with world.gateway() as gateway, ThreadPoolExecutor(16) as pool:
        asked = [pool.submit(gateway.chat) for _ in range(16)]
        time.sleep(0.2)
        world.engine.names |= NAMES
        assert {future.result().status_code for future in asked} == {200}


def test_a_version_that_never_comes_is_not_waited_for_for_ever(world: World) -> None:
    world.engine.names.clear()
    world.publish(keys=(api_key(), api_key(2, scopes=("infer", "read"))))
    with world.gateway(load_seconds=0.1) as gateway, client(gateway.url, bearer(2)) as reader:
        answer = gateway.chat()
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "model_not_loaded")
        assert reader.post("/v1/chat/completions", json={"model": "bot@2", **QUESTION}).status_code == 503


def test_an_engine_that_has_forgotten_a_version_is_asked_by_the_new_route(world: World) -> None:
    """It unloaded the old version a moment before the gateway read the new routes: nobody notices."""
    with world.gateway() as gateway:
        world.engines = [Status("r", world.url, "engine-key", 1, frozenset(NAMES))]
        world.engine.names -= {engine_name(grant("bot@1"))}
        late = threading.Timer(0.7, lambda: world.publish(routes=(Route(alias="bot", champion="bot@2"),)))
        late.start()
        assert gateway.chat().json()["model"] == "bot@2"
        late.join()


@pytest.mark.parametrize("stream", [True, False])
def test_a_caller_that_goes_away_stops_its_answer(world: World, stream: bool) -> None:
    world.engine.gap_s, world.engine.words = 0.05, ("x",) * 200
    with world.gateway() as gateway:
        body = {"model": "bot", **QUESTION, "stream": stream, "max_tokens": 300}
        with calling(gateway, body) as caller:
            wait_until(lambda: world.engine.active == 1)
            while stream and b"data: " not in caller.recv(65_536):
                pass
        with timed("after a caller went away, until the engine was stopped"):
            wait_until(lambda: world.engine.aborted == 1)
        row = gateway.rows()[0]
        assert (row["status"], row["code"]) == (499, "client_gone")
        assert row["output_tokens"] in (range(1, 200) if stream else [300])
        assert len(gateway.desk.inflight) == 0
        assert gateway.desk.accounts._open[api_key().key_id].held.tokens == 0


@pytest.mark.parametrize(("path", "last"), [("chat/completions", "[DONE]"), ("responses", '"response.completed"')])
def test_a_caller_may_leave_at_the_last_word(world: World, path: str, last: str) -> None:
    """OpenAI's clients hang up as soon as they have read it; the engine closes its stream a moment later."""
    world.engine.last_s = 0.3
    ask = {"model": "bot", "stream": True} | (QUESTION if "chat" in path else {"input": "Hi"})
    with world.gateway() as gateway:
        with gateway.http.stream("POST", f"/v1/{path}", json=ask) as answer:
            assert any(last in line for line in answer.iter_lines())
        row = gateway.rows()[0]
    assert (row["status"], row["code"], row["finish"], row["output_tokens"]) == (200, None, "stop", 3)


WITHDRAWALS: dict[str, dict[str, Any]] = {
    "killed": {"routes": (Route(alias="bot", champion="bot@1", killed=True),)},
    "revoked": {"routes": (Route(alias="bot", champion="bot@2"),), "grants": (grant("bot@2"),)},
    "key revoked": {"keys": ()},
}


@pytest.mark.parametrize("change", WITHDRAWALS.values(), ids=WITHDRAWALS)
def test_what_is_withdrawn_stops_within_a_second(world: World, change: dict[str, Any]) -> None:
    world.engine.gap_s, world.engine.words = 0.05, ("x",) * 200
    with world.gateway() as gateway, ThreadPoolExecutor(2) as pool:
        asked = [pool.submit(gateway.chat, stream=stream) for stream in (True, False)]
        wait_until(lambda: world.engine.active == 2)
        begun = time.monotonic()
        world.publish(**change)
        with timed("after a withdrawal, until the last answer ended"):
            streamed, whole = (future.result() for future in asked)
        took = time.monotonic() - begun
        wait_until(lambda: world.engine.active == 0)
    assert took < 3  # a second, and what the busy machine of a test adds; the whole answer takes ten
    assert events(streamed.text)[-1]["error"]["code"] == "model_withdrawn" and "[DONE]" not in streamed.text
    assert (whole.status_code, whole.json()["error"]["code"]) == (503, "model_withdrawn")


def test_promotion_and_rollback_fail_nobody_and_mix_nothing(world: World) -> None:
    """Answers begun before a change end with the version they began with; those after it have the new one."""
    world.engine.gap_s, world.engine.words = 0.004, ("x",) * 5
    versions: list[set[str]] = []
    is_over = threading.Event()

    def ask(gateway: Running) -> None:
        with client(gateway.url) as http:
            while not is_over.is_set():
                answer = http.post("/v1/chat/completions", json={"model": "bot", **QUESTION, "stream": True})
                assert answer.status_code == 200 and "[DONE]" in answer.text
                versions.append({event["model"] for event in events(answer.text)})

    with world.gateway() as gateway, ThreadPoolExecutor(4) as pool:
        asking = [pool.submit(ask, gateway) for _ in range(4)]
        for champion in ("bot@2", "bot@1", "bot@2"):
            time.sleep(0.15)
            world.publish(routes=(Route(alias="bot", champion=champion),))
            wait_until(lambda: gateway.desk.live.view.epoch == world.epoch)
            assert gateway.chat().json()["model"] == champion
        is_over.set()
        for one in asking:
            one.result()
    assert all(len(seen) == 1 for seen in versions)
    assert {"bot@1"} in versions and {"bot@2"} in versions


def test_too_many_at_once_are_sent_away(world: World) -> None:
    world.engine.first_s = 0.3
    with world.gateway(most_in_flight=3) as gateway, ThreadPoolExecutor(6) as pool:
        asked = [pool.submit(gateway.chat) for _ in range(6)]
        with timed("six at once where three may: until the first was sent away"):
            next(as_completed(asked))
        answers = [future.result() for future in asked]
        assert sorted(answer.status_code for answer in answers) == [200] * 3 + [503] * 3
        busy = next(answer for answer in answers if answer.status_code == 503)
        assert busy.json()["error"]["code"] == "overloaded" and busy.headers["retry-after"] == "1"
        assert gateway.chat().status_code == 200


def test_concurrent_requests_do_not_overrun_a_budget(world: World) -> None:
    world.publish(keys=(api_key(limits=Limits(budget_tokens=600)),))
    world.engine.first_s = 0.2
    with world.gateway() as gateway, ThreadPoolExecutor(12) as pool:
        answers = [future.result() for future in [pool.submit(gateway.chat, max_tokens=50) for _ in range(12)]]
    used = [answer.json()["usage"]["total_tokens"] for answer in answers if answer.status_code == 200]
    assert len(used) >= 3  # more where one ended, and gave back what it had not used, before the last came
    assert sum(used) <= 600
    assert {answer.json()["error"]["code"] for answer in answers if answer.status_code == 429} == {"insufficient_quota"}


@pytest.mark.parametrize("stream", [True, False])
def test_an_answer_that_takes_too_long_is_ended(world: World, stream: bool) -> None:
    world.engine.fault = "stall"
    with world.gateway(deadline_seconds=0.2) as gateway:
        with timed("an engine that hangs, where the deadline is 0.2 s"):
            assert gateway.chat(stream=stream).status_code == 504
        wait_until(lambda: world.engine.active == 0)


def test_a_caller_that_takes_nothing_is_given_up(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("serving.inflight.SWEEP_SECONDS", 0.05)
    world.engine.words = ("x" * 60_000,) * 400
    body = {"model": "bot", **QUESTION, "stream": True}
    with world.gateway(stall_seconds=0.2) as gateway, calling(gateway, body):
        with timed("a caller that takes nothing, where 0.2 s are allowed"):
            row = gateway.rows()[0]
        assert (row["status"], row["code"]) == (499, "client_stalled")
        assert len(gateway.desk.inflight) == 0


def test_engines_that_cannot_be_asked_for_go_on_as_known(world: World, caplog: pytest.LogCaptureFixture) -> None:
    with world.gateway() as gateway, caplog.at_level(logging.ERROR):

        def away(_: bytes) -> list[Status]:
            raise ResourcesUnavailable("the board is away")

        gateway.desk.replicas._exchange = away
        time.sleep(0.3)
        assert gateway.chat().status_code == 200


@pytest.mark.parametrize(("then", "status"), [("serve", 200), ("refuse", 503)])
def test_when_the_ledger_is_away_the_policy_says_what_then(world: World, then: Any, status: int) -> None:
    world.publish(staleness=Staleness(max_stale_s=2, then=then))
    with world.gateway() as gateway:
        assert gateway.chat().status_code == 200
        confirmed = time.time() - 1.7
        os.utime(world.snapshot, (confirmed, confirmed))
        time.sleep(0.3)
        with timed("after the time was over, until it held"):
            wait_until(lambda: gateway.desk.live.age() > 2 and gateway.chat().status_code == status)
        assert gateway.http.get("/readyz").status_code == status


def test_a_disk_that_is_full_delays_no_answer(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    from tunegate_core.errors import StoreFault

    def full() -> Any:
        raise StoreFault("database or disk is full")

    with world.gateway() as gateway:
        tables = gateway.desk.records._tables
        with monkeypatch.context() as patched:
            patched.setattr(tables, "writing", full)
            answers = [gateway.chat() for _ in range(5)]
            assert {answer.status_code for answer in answers} == {200}
            monkeypatch.setattr("serving.records.RETRY_SECONDS", 0.05)
            given = gateway.http.post("/v1/feedback", json={"response_id": answers[0].json()["id"], "thumb": "up"})
            assert given.status_code == 503
            wait_until(lambda: "tunegate_record_faults 0.0" not in gateway.http.get("/metrics").text)
        assert len(gateway.rows(5)) == 5


@pytest.fixture
def engines(world: World) -> Iterator[list[FakeEngine]]:
    """Two more engines beside the world's."""
    more = [FakeEngine(names=set(NAMES)) for _ in range(2)]
    with running(more[0]) as one, running(more[1]) as two:
        urls = [world.url, one, two]
        world.engines = [Status(url, url, "engine-key", 1, frozenset(NAMES)) for url in urls]
        yield [world.engine, *more]


def test_engines_share_the_work(world: World, engines: list[FakeEngine]) -> None:
    for engine in engines:
        engine.first_s = 0.6
    with world.gateway() as gateway, ThreadPoolExecutor(9) as pool:
        assert {future.result().status_code for future in [pool.submit(gateway.chat) for _ in range(9)]} == {200}
    assert [len(engine.seen) for engine in engines] == [3, 3, 3]


def test_places_are_given_back_whatever_happens() -> None:
    inflight = InFlight(1, 2**20)
    for _ in range(3):
        with pytest.raises(ZeroDivisionError), inflight.place():
            raise ZeroDivisionError
    assert len(inflight) == 0
