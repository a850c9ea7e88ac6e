"""Spans and scores arrive in the names of the day, redacted; when nobody takes them, feedback waits, answers do not."""

import base64
import gzip
import json
import logging
import socket
import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from serving import mirror, telemetry
from serving.told import LangfuseSettings, TelemetrySettings
from tests.serving.conftest import World, bearer, wait_until
from tests.serving.fake_upstream import _bytes, _lifespan, _read, running


@dataclass
class Collector:
    """Takes what OpenTelemetry and Langfuse are sent, or refuses it."""

    is_away: bool = False
    spans: list[dict[str, Any]] = field(default_factory=list)
    scores: list[dict[str, Any]] = field(default_factory=list)
    logins: set[str] = field(default_factory=set)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            return await _lifespan(receive, send)
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        body = await _read(receive)
        if self.is_away:
            return await _bytes(send, 500, b"{}", b"application/json")
        self.logins.add(headers.get("authorization", ""))
        if scope["path"].endswith("/traces"):
            self._take(gzip.decompress(body) if headers.get("content-encoding") == "gzip" else body)
            return await _bytes(send, 200, b"", b"application/x-protobuf")
        said = json.loads(body)
        self.scores += said if isinstance(said, list) else said["scores"]
        await _bytes(send, 200, b'{"scores": [], "errors": [], "results": []}', b"application/json")

    def _take(self, body: bytes) -> None:
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            for scope in resource.scope_spans:
                self.spans += [self._span(span) for span in scope.spans]

    def _span(self, span: Any) -> dict[str, Any]:
        found: dict[str, Any] = {"name": span.name, "trace": span.trace_id.hex(), "status": span.status.code}
        for pair in span.attributes:
            kind = pair.value.WhichOneof("value")
            value = getattr(pair.value, kind)
            found[pair.key] = [one.string_value for one in value.values] if kind == "array_value" else value
        return found


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Collector, str]]:
    monkeypatch.setattr(telemetry, "TURN_SECONDS", 0.05)
    monkeypatch.setattr(mirror, "REST_SECONDS", 0.1)
    taken = Collector()
    with running(taken) as url:
        yield taken, url


def test_a_request_is_a_span_in_the_names_of_genai(world: World, collector: tuple[Collector, str]) -> None:
    taken, url = collector
    with world.gateway(telemetry=TelemetrySettings(otlp_url=f"{url}/v1/traces")) as gateway:
        answer = gateway.chat(stream=True, temperature=0.5, max_tokens=9, user="alice")
        world.engine.fault = "status"
        gateway.chat()
    span, failed = sorted(taken.spans, key=lambda span: span["http.response.status_code"])
    assert span["name"] == "chat bot"
    assert span["trace"] == answer.headers["x-request-id"]
    expected = {
        "gen_ai.operation.name": "chat", "gen_ai.provider.name": "tunegate", "gen_ai.request.model": "bot",
        "gen_ai.request.temperature": 0.5, "gen_ai.request.max_tokens": 9, "gen_ai.request.stream": True,
        "gen_ai.response.model": "bot@1", "gen_ai.response.finish_reasons": ["stop"],
        "gen_ai.usage.input_tokens": 7, "gen_ai.usage.output_tokens": 3,
        "governance.alias": "bot", "governance.version": "bot@1", "governance.arm": "champion", "governance.epoch": 1,
    }  # fmt: skip
    assert {name: span[name] for name in expected} == expected
    assert 0 < span["gen_ai.response.time_to_first_chunk"] < 5
    assert (failed["error.type"], failed["status"]) == ("engine_error", 2)
    assert "Hello" not in str(taken.spans) and "alice" not in str(taken.spans)


def test_the_names_are_those_of_the_conventions() -> None:
    """As the installed conventions spell them."""
    from opentelemetry.semconv._incubating.attributes import gen_ai_attributes

    from serving.told import PARAMETERS, Told, attributes

    row = dict.fromkeys(
        ("operation", "alias", "stream", "id", "version", "prompt_tokens", "output_tokens", "arm", "epoch", "micros"), 1
    ) | {"status": 500, "finish": "stop", "ttft_us": 5, "code": "c"}
    known = {value for name, value in vars(gen_ai_attributes).items() if name.startswith("GEN_AI")}
    told = attributes(Told(row, dict.fromkeys(PARAMETERS, 1), None))
    ours = {name for name in told if name.startswith("gen_ai.")}
    assert ours - {"gen_ai.request.frequency_penalty"} <= known


def test_langfuse_gets_spans_and_scores(world: World, collector: tuple[Collector, str]) -> None:
    taken, url = collector
    project = LangfuseSettings(url, "pk-lf-1", "sk-lf-secret")
    with world.gateway(telemetry=TelemetrySettings(langfuse=project), keeps_text=True) as gateway:
        answer = gateway.chat(messages=[{"role": "user", "content": "mail a@example.com"}])
        feedback = {"response_id": answer.json()["id"], "thumb": "down", "rating": 2, "comment": "no"}
        assert gateway.http.post("/v1/feedback", json=feedback).status_code == 201
        wait_until(lambda: len(taken.scores) == 2)
    assert taken.logins == {"Basic " + base64.b64encode(b"pk-lf-1:sk-lf-secret").decode()}
    trace = answer.headers["x-request-id"]
    assert {(score["name"], score["value"], score["traceId"]) for score in taken.scores} == {
        ("thumb", 0.0, trace), ("rating", 2.0, trace),
    }  # fmt: skip
    assert [span["trace"] for span in taken.spans] == [trace]
    said = taken.spans[0]["gen_ai.input.messages"] + taken.spans[0]["gen_ai.output.messages"]
    assert "[EMAIL]" in said and "Hello there." in said and "example.com" not in said


def test_when_nobody_takes_them_answers_go_on_and_feedback_waits(
    world: World, collector: tuple[Collector, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(telemetry, "CLOSE_SECONDS", 0.3)
    taken, url = collector
    taken.is_away = True
    where = TelemetrySettings("http://127.0.0.1:9/v1/traces", LangfuseSettings(url, "pk-lf-2", "sk-lf-secret"))
    with world.gateway(telemetry=where) as gateway:
        begun = time.monotonic()
        answers = [gateway.chat() for _ in range(20)]
        assert {answer.status_code for answer in answers} == {200}
        took = time.monotonic() - begun
        print(f"measured: nobody takes spans: an answer {1000 * took / len(answers):.1f} ms, on average")
        assert took < 10
        ask = {"response_id": answers[0].json()["id"], "thumb": "up"}
        assert gateway.http.post("/v1/feedback", json=ask).status_code == 201
        assert len(gateway.rows(20)) == 20
        time.sleep(0.3)
        assert not taken.scores
        taken.is_away = False
        wait_until(lambda: len(taken.scores) == 1)
    assert taken.scores[0]["id"].startswith(answers[0].json()["id"])


def test_a_collector_that_hangs_slows_nobody(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """It takes the connection and never answers: worse than one that is away."""
    monkeypatch.setattr(telemetry, "TURN_SECONDS", 0.05)
    monkeypatch.setattr(telemetry, "CLOSE_SECONDS", 0.3)

    def medians(where: TelemetrySettings | None) -> float:
        with world.gateway(telemetry=where) as gateway:
            took = []
            for _ in range(60):
                begun = time.monotonic()
                assert gateway.chat().status_code == 200
                took.append(time.monotonic() - begun)
                time.sleep(0.005)
        return statistics.median(took)

    with socket.create_server(("127.0.0.1", 0), backlog=50) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        without = medians(None)
        with_both = medians(TelemetrySettings(f"{url}/v1/traces", LangfuseSettings(url, "pk-lf-3", "sk-lf-secret")))
    print(f"measured: collectors hang: median answer {1000 * with_both:.1f} ms, without any {1000 * without:.1f} ms")
    assert with_both < 3 * without + 0.01


def test_what_is_planted_leaves_in_no_span_score_or_record(
    world: World, collector: tuple[Collector, str], caplog: pytest.LogCaptureFixture
) -> None:
    """With everything on that keeps or sends text: secrets are taken out before anything is kept or sent."""
    taken, url = collector
    secrets = ("sk-abcdefghijklmnopqrstuvwx", "jane.doe@mail.example.org", "4111 1111 1111 1111", bearer())
    said = "mine: " + " and ".join(secrets)
    world.engine.words = ("you said ", said)
    where = TelemetrySettings(f"{url}/v1/traces", LangfuseSettings(url, "pk-lf-4", "sk-lf-secret"))
    caplog.set_level(logging.DEBUG, "serving")
    with world.gateway(telemetry=where, keeps_text=True) as gateway:
        answer = gateway.chat(messages=[{"role": "user", "content": said}], user=secrets[1], stream=True)
        feedback = {"response_id": "chatcmpl-" + answer.headers["x-request-id"], "thumb": "up", "correction": said}
        assert gateway.http.post("/v1/feedback", json=feedback).status_code == 201
        wait_until(lambda: len(taken.scores) == 1)
        page = gateway.http.get("/metrics").text
    assert "[EMAIL]" in str(taken.spans) and "[CARD]" in str(taken.spans)
    files = b"".join(path.read_bytes() for path in world.folder.rglob("*") if path.is_file()).decode("latin-1")
    for place in (str(taken.spans), str(taken.scores), page, caplog.text, files, str(world.events)):
        assert not [secret for secret in secrets if secret in place]


def test_a_queue_that_is_full_drops_and_counts(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(telemetry, "TURN_SECONDS", 60)
    monkeypatch.setattr(telemetry, "MOST_PENDING", 2)
    monkeypatch.setattr(telemetry, "CLOSE_SECONDS", 0.3)
    with world.gateway(telemetry=TelemetrySettings()) as gateway:
        for _ in range(5):
            gateway.chat()
        assert "tunegate_spans_lost 3.0" in gateway.http.get("/metrics").text
