"""A gateway in front of a fake engine, over real sockets: what a caller gets, and what stands in the records."""

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from serving.rates import Rate, RateCard
from serving.sanitise import Caps
from tests.serving.conftest import QUESTION, Running, World, api_key, bearer, client, grant, wait_until
from tunegate_core.snapshot import Limits, Route, engine_name

READER = api_key(2, scopes=("read",))


@pytest.fixture
def gateway(world: World) -> Iterator[Running]:
    world.publish(keys=(*world.keys, READER, api_key(3, scopes=("infer", "admin"))))
    with world.gateway() as running:
        yield running


def test_a_chat_is_answered_by_a_version_under_its_own_name(world: World, gateway: Running) -> None:
    answer = gateway.chat(temperature=0.5, user="alice", priority=9, cache_salt="mine")
    body = answer.json()
    assert answer.status_code == 200
    assert body["model"] == answer.headers["x-served-model"] == "bot@1"
    assert body["id"] == "chatcmpl-" + answer.headers["x-request-id"]
    assert answer.headers["x-route-epoch"] == "1"
    assert 0 <= float(answer.headers["x-gateway-overhead-ms"]) < 1000
    sent = world.engine.seen[0]
    assert sent["body"] == {
        **QUESTION, "temperature": 0.5, "model": engine_name(grant("bot@1")), "cache_salt": api_key().key_id,
    }  # fmt: skip
    row = gateway.rows()[0]
    assert (row["id"], row["key_id"], row["version"], row["arm"]) == (body["id"], api_key().key_id, "bot@1", "champion")
    assert (row["prompt_tokens"], row["output_tokens"], row["finish"], row["status"]) == (7, 3, "stop", 200)
    assert (row["ttft_us"], row["text"]) == (None, None)


def test_no_header_of_a_caller_reaches_the_engine(world: World, gateway: Running) -> None:
    mine = {
        "X-Request-Id": "mine",
        "serve_multiplexed_model_id": "x",
        "X-Serve-Route": "x",
        "Cookie": "a=b",
        "Via": "x",
    }
    answer = gateway.http.post("/v1/chat/completions", json={"model": "bot", **QUESTION}, headers=mine)
    headers = world.engine.seen[0]["headers"]
    assert headers.keys() == {"host", "content-type", "content-length", "accept", "authorization", "x-request-id"}
    assert headers["authorization"] == "Bearer engine-key"
    assert headers["x-request-id"].startswith(answer.headers["x-request-id"]) and "mine" not in str(headers)


@pytest.mark.parametrize("wants_usage", [True, False])
def test_a_stream_is_passed_on(world: World, gateway: Running, wants_usage: bool) -> None:
    options = {"stream_options": {"include_usage": True}} if wants_usage else {}
    answer = gateway.chat(stream=True, **options)
    events = answer.text.removesuffix("\n\n").split("\n\n")
    assert events.pop() == "data: [DONE]"
    chunks = [json.loads(event.removeprefix("data: ")) for event in events]
    usage = chunks.pop()["usage"] if wants_usage else None
    assert usage == ({"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10} if wants_usage else None)
    assert "".join(chunk["choices"][0]["delta"]["content"] for chunk in chunks) == "Hello there."
    assert {chunk["model"] for chunk in chunks} == {"bot@1"}
    assert {chunk["id"] for chunk in chunks} == {"chatcmpl-" + answer.headers["x-request-id"]}
    assert not any("usage" in chunk for chunk in chunks)
    row = gateway.rows()[0]
    assert (row["output_tokens"], row["stream"]) == (3, True)
    assert row["ttft_us"] > 0 and row["itl_us"] is not None


def test_completions_responses_and_embeddings(world: World, gateway: Running) -> None:
    ask = gateway.http.post
    completion = ask("/v1/completions", json={"model": "bot", "prompt": "Hi", "max_tokens": 5}).json()
    assert (completion["choices"][0]["text"], completion["model"]) == ("Hello there.", "bot@1")
    response = ask("/v1/responses", json={"model": "bot", "input": "Hi"}).json()
    assert response["model"] == "bot@1" and response["id"].startswith("resp_") and response["id"] != "resp_engine"
    assert world.engine.seen[-1]["body"]["store"] is False
    embedding = ask("/v1/embeddings", json={"model": "bot", "input": "Hi"}).json()
    assert (embedding["data"][0]["embedding"], embedding["model"]) == ([0.5, -0.5], "bot@1")
    rows = gateway.rows(3)
    assert [(row["operation"], row["prompt_tokens"], row["output_tokens"]) for row in rows] == [
        ("text_completion", 7, 3), ("chat", 7, 3), ("embeddings", 3, 0),
    ]  # fmt: skip
    assert not any(row["empty"] or row["truncated"] for row in rows)


def test_a_path_that_the_engine_lacks_is_told_at_once(world: World, gateway: Running) -> None:
    """As embeddings where the model has none; an engine that only lacks the version would be waited for."""
    world.engine.lacks = "/v1/embeddings"
    answer = gateway.http.post("/v1/embeddings", json={"model": "bot", "input": "Hi"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "unsupported_endpoint")
    row = gateway.rows()[0]
    assert (row["prompt_tokens"], row["total_us"] < 1e6) == (0, True)


def test_a_response_is_streamed_as_typed_events(gateway: Running) -> None:
    answer = gateway.http.post("/v1/responses", json={"model": "bot", "input": "Hi", "stream": True})
    events = [block.split("\n") for block in answer.text.removesuffix("\n\n").split("\n\n")]
    kinds = [line.removeprefix("event: ") for line, _ in events]
    bodies = [json.loads(line.removeprefix("data: ")) for _, line in events]
    assert kinds == [body["type"] for body in bodies]
    assert kinds[-1] == "response.completed"
    ends = [body["response"] for body in bodies if "response" in body]
    assert {(end["id"], end["model"]) for end in ends} == {("resp_" + answer.headers["x-request-id"], "bot@1")}
    assert gateway.rows()[0]["output_tokens"] == 3


def test_models_are_those_that_the_key_may_call(world: World, gateway: Running) -> None:
    assert [card["id"] for card in gateway.http.get("/v1/models").json()["data"]] == ["bot"]
    assert gateway.http.get("/v1/models/bot").json()["id"] == "bot"
    assert gateway.http.get("/v1/models/other").status_code == 404
    world.publish(routes=(Route(alias="bot", champion="bot@1", killed=True), Route(alias="bot2", champion="bot@2")))
    wait_until(lambda: gateway.desk.live.view.epoch == 2)
    assert [card["id"] for card in gateway.http.get("/v1/models").json()["data"]] == ["bot2"]


def test_a_version_can_be_probed_with_the_right_scope(gateway: Running) -> None:
    admin = client(gateway.url, bearer(3))
    assert admin.post("/v1/chat/completions", json={"model": "bot@2", **QUESTION}).json()["model"] == "bot@2"
    assert gateway.chat(model="bot@2").status_code == 404
    assert gateway.rows()[0]["arm"] == "direct"
    admin.close()


@pytest.mark.parametrize(
    ("path", "method", "status", "code"),
    [
        ("/v1/nothing", "GET", 404, "unknown_url"),
        ("/v1/chat/completions", "GET", 405, "method_not_allowed"),
        ("/v1/chat/completions/", "POST", 404, "unknown_url"),
        ("/docs", "GET", 404, "unknown_url"),
        ("/openapi.json", "GET", 404, "unknown_url"),
        ("/tokenize", "POST", 404, "unknown_url"),
        ("/v1/load_lora_adapter", "POST", 404, "unknown_url"),
    ],
)
def test_other_paths_are_not_there(gateway: Running, path: str, method: str, status: int, code: str) -> None:
    answer = gateway.http.request(method, path)
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)


def test_errors_have_the_form_of_openai_and_repeat_nothing(gateway: Running) -> None:
    asks: list[tuple[dict[str, Any], int]] = [
        ({"json": {"model": "SECRET", **QUESTION}}, 404),
        ({"json": {"model": "bot", "messages": "SECRET" * 0}}, 400),
        ({"json": {"model": "bot", **QUESTION, "n": "SECRET"}}, 400),
        ({"content": b"SECRET"}, 400),
        ({"content": b'{"SECRET'}, 400),
        ({"content": b"x", "headers": {"content-encoding": "gzip"}}, 415),
        ({"json": {"model": "bot", **QUESTION}, "headers": {"Authorization": "Bearer SECRET"}}, 401),
        ({"json": {"model": "bot", **QUESTION}, "headers": {"Authorization": f"Bearer {bearer(2)}"}}, 403),
    ]
    for ask, status in asks:
        answer = gateway.http.post("/v1/chat/completions", **ask)
        error = answer.json()["error"]
        assert answer.status_code == status
        assert error.keys() == {"message", "type", "param", "code"} and error["message"] and error["code"]
        assert "SECRET" not in answer.text and "Traceback" not in answer.text
        assert answer.headers["x-request-id"]
    assert (
        "access-control-allow-origin" not in gateway.http.options("/v1/models", headers={"Origin": "https://x"}).headers
    )


def test_bodies_are_bounded(world: World) -> None:
    with world.gateway(caps=Caps(body_bytes=1000)) as gateway:
        assert gateway.chat(user="x" * 2000).status_code == 413

        def pieces() -> Iterator[bytes]:
            yield from [b"x" * 300] * 5

        assert gateway.http.post("/v1/chat/completions", content=pieces()).status_code == 413
        assert not world.engine.seen


def test_a_body_that_does_not_come_is_not_waited_for(world: World) -> None:
    import socket

    with world.gateway(body_seconds=0.1) as gateway, socket.create_connection(
        ("127.0.0.1", int(gateway.url.rpartition(":")[2]))
    ) as slow:  # fmt: skip
        head = (
            f"POST /v1/completions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {bearer()}\r\nContent-Length: 9\r\n\r\n"
        )
        slow.sendall(head.encode() + b"{")
        slow.settimeout(5)
        assert slow.recv(4096).startswith(b"HTTP/1.1 408")


def test_requests_and_tokens_are_limited(world: World) -> None:
    limits = {
        1: Limits(requests_per_minute=1),
        2: Limits(tokens_per_minute=600),
        3: Limits(budget_tokens=200),
        4: Limits(budget_micros=10),
    }
    world.publish(keys=tuple(api_key(number, limits=limit) for number, limit in limits.items()))
    with world.gateway(rates=RateCard(Rate(output=1_000_000))) as gateway:
        found = {}
        for number in limits:
            with client(gateway.url, bearer(number)) as http:
                ask = {"model": "bot", **QUESTION, "max_tokens": 8}
                answers = [http.post("/v1/chat/completions", json=ask) for _ in range(2)]
                huge = http.post("/v1/chat/completions", json=ask | {"max_tokens": 400})
            found[number] = [*answers, huge]
        assert [[answer.status_code for answer in found[number]] for number in limits] == [
            [200, 429, 429], [200, 200, 200], [200, 200, 429], [200, 429, 429],
        ]  # fmt: skip
        assert found[1][1].headers["retry-after"] == "60"
        assert found[1][1].json()["error"]["code"] == "rate_limit_exceeded"
        for number in (3, 4):
            assert found[number][2].json()["error"]["code"] == "insufficient_quota"
            assert found[number][2].headers["x-should-retry"] == "false"
        assert {row["micros"] for row in gateway.rows(6)} == {3}


def test_a_rotated_key_has_the_budget_and_the_answers_of_the_old_one(world: World) -> None:
    limits = Limits(budget_tokens=150)
    world.publish(keys=(api_key(limits=limits),))
    with world.gateway() as gateway:
        first = gateway.chat(max_tokens=20).json()
        used = first["usage"]["total_tokens"]
        world.publish(keys=(api_key(limits=limits), api_key(2, limits=limits, before=(api_key().key_id,))))
        wait_until(lambda: len(gateway.desk.live.view.keys) == 2)
        with client(gateway.url, bearer(2)) as rotated:
            asked = {"model": "bot", **QUESTION, "max_tokens": 20}
            assert rotated.post("/v1/chat/completions", json=asked).status_code == 200
            spent = {gateway.desk.account(key).spent.tokens for key in gateway.desk.live.view.keys.values()}
            assert spent == {2 * used}
            said = rotated.post("/v1/feedback", json={"response_id": first["id"], "thumb": "up"})
            assert said.status_code == 201
        gateway.rows(2)
    world.publish(keys=(api_key(2, limits=limits, before=(api_key().key_id,)),))  # the old one has ended
    with world.gateway() as gateway:
        (key,) = gateway.desk.live.view.keys.values()
        assert gateway.desk.account(key).spent.tokens == 2 * used


def test_a_budget_outlives_the_process(world: World) -> None:
    world.publish(keys=(api_key(limits=Limits(budget_tokens=175)),))
    world.engine.prompt_tokens = 40
    with world.gateway() as gateway:
        assert [gateway.chat(max_tokens=10).status_code for _ in range(2)] == [200, 200]
    with world.gateway() as gateway:
        assert gateway.chat(max_tokens=10).status_code == 429


def test_feedback_is_attached_to_ones_own_answers(world: World) -> None:
    world.publish(keys=(api_key(), api_key(2), api_key(3, scopes=("infer",)), api_key(4, scopes=("feedback", "admin"))))
    with world.gateway() as gateway:
        answer_id = gateway.chat().json()["id"]

        def give(number: int = 1, **body: Any) -> int:
            with client(gateway.url, bearer(number)) as http:
                return http.post("/v1/feedback", json={"response_id": answer_id, "thumb": "up"} | body).status_code

        assert give(rating=4, correction="Better: alice@example.com") == 201
        assert [give(2), give(3), give(4), give(response_id="chatcmpl-none")] == [404, 403, 201, 404]
        wrong: list[dict[str, Any]] = [
            {"thumb": "sideways"}, {"rating": 6}, {"rating": True}, {"score": 1.1}, {"score": "1"}, {"score": True},
            {"thumb": None}, {"comment": ""}, {"comment": 1}, {"response_id": 7}, {"response_id": ""},
            {"correction": "x" * 40_000},
        ]  # fmt: skip
        assert {give(**body) for body in wrong} == {400}
        from sqlalchemy import select

        from serving.tables import feedback, texts

        with gateway.desk.records._tables.reading() as connection:
            rows = connection.execute(select(feedback).order_by("seq")).all()
            kept = connection.execute(select(texts)).all()
        assert [(row.request, row.thumb, row.rating) for row in rows] == [(answer_id, 1, 4), (answer_id, 1, None)]
        assert rows[0].text == kept[0].hash and b"[EMAIL]" in kept[0].body


def test_readiness_means_that_every_engine_has_every_routed_version(world: World, gateway: Running) -> None:
    from serving.board import Status

    ready = lambda: gateway.http.get("/readyz").status_code  # noqa: E731
    assert (ready(), gateway.http.get("/livez").status_code) == (200, 200)
    names = [engine_name(grant(subject)) for subject in ("bot@1", "bot@2")]
    world.engines = [Status(f"r{n}", world.url, "engine-key", 1, frozenset(names[: n + 1])) for n in range(2)]
    world.publish(routes=(Route(alias="bot", champion="bot@1", shadow="bot@2"),))
    wait_until(lambda: ready() == 503)
    assert gateway.http.get("/readyz").json()["lacking"] == ["engine 1 of 2 lacks 1 of the 2 routed versions"]
    world.engines = world.engines[1:]
    wait_until(lambda: ready() == 200)
    world.engines = []
    wait_until(lambda: ready() == 503)


def test_nothing_answers_without_a_snapshot(world: World) -> None:
    world.publish()
    with world.gateway() as gateway:
        gateway.desk.live.view = None
        answer = gateway.chat()
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "not_ready")
        assert gateway.http.get("/readyz").json()["lacking"] == ["no verified snapshot"]
        assert gateway.http.get("/livez").status_code == 200


def test_metrics_name_routes_and_versions_and_nobody(world: World, gateway: Running) -> None:
    gateway.chat(stream=True, safety_identifier="alice")
    gateway.chat(model="made-up")
    gateway.rows()
    page = gateway.http.get("/metrics").text
    assert 'tunegate_requests_total{alias="bot",arm="champion",code="ok",version="bot@1"} 1.0' in page
    assert 'tunegate_refused_total{code="model_not_found"} 1.0' in page
    assert 'gen_ai_client_token_usage_total{alias="bot",gen_ai_token_type="output",version="bot@1"} 3.0' in page
    assert 'gen_ai_server_time_to_first_token_seconds_count{alias="bot",version="bot@1"} 1.0' in page
    assert "tunegate_engines 1.0" in page and "tunegate_snapshot_epoch 1.0" in page
    for secret in ("alice", "made-up", api_key().key_id):
        assert secret not in page


def test_metrics_from_elsewhere_need_a_key(gateway: Running) -> None:
    def status(key: str) -> int:
        headers = {"X-Forwarded-For": "203.0.113.9", "Authorization": f"Bearer {key}"}
        return httpx.get(f"{gateway.url}/metrics", headers=headers).status_code

    assert [status("nobody"), status(bearer(1)), status(bearer(2))] == [401, 403, 200]
