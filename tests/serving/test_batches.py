"""Batches as the official client uses them: answered on the same routes, shown, called off, and taken up again."""

import json
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import openai
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.batch import worker
from serving.batch.jobs import WINDOW_SECONDS, Jobs
from serving.batch.lines import Line, Problem, answer_line, answered, parse_input, parse_line
from serving.batch.tables import jobs
from serving.sanitise import Caps
from serving.tables import Tables
from tests.serving.conftest import QUESTION, Running, World, api_key, bearer, wait_until
from tunegate_core.errors import StoreFault
from tunegate_core.snapshot import Limits, Route

URL = "/v1/chat/completions"


def line(number: int, **changes: Any) -> dict[str, Any]:
    return {"custom_id": f"q{number}", "method": "POST", "url": URL, "body": {"model": "bot", **QUESTION}} | changes


def jsonl(*lines: Any) -> bytes:
    return b"".join(json.dumps(one).encode() + b"\n" for one in lines)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "TURN_SECONDS", 0.02)
    monkeypatch.setattr(worker, "MOST_PATIENCE_SECONDS", 0.05)


@pytest.fixture
def gateway(world: World) -> Iterator[Running]:
    world.publish(keys=(api_key(), api_key(2)))
    with world.gateway(caps=Caps(file_bytes=20_000, files=3, batch_lines=50)) as running:
        yield running


def sdk(gateway: Running, number: int = 1) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{gateway.url}/v1", api_key=bearer(number), max_retries=0)


def begin(client: openai.OpenAI, data: bytes, **changes: Any) -> Any:
    file = client.files.create(file=("in.jsonl", data), purpose="batch")
    options = {"endpoint": URL, "completion_window": "24h", "input_file_id": file.id} | changes
    return client.batches.create(**options)


def ended(client: openai.OpenAI, batch_id: str) -> Any:
    wait_until(lambda: client.batches.retrieve(batch_id).status not in ("in_progress", "cancelling"))
    return client.batches.retrieve(batch_id)


def results(client: openai.OpenAI, file_id: str) -> dict[str, Any]:
    return {one["custom_id"]: one for one in map(json.loads, client.files.content(file_id).text.splitlines())}


def test_a_batch_from_file_to_file(world: World, gateway: Running) -> None:
    with sdk(gateway) as client:
        wrong = line(3, body={"model": "other", **QUESTION})
        batch = begin(client, jsonl(line(1), line(2), wrong), metadata={"night": "run"})
        batch = ended(client, batch.id)
        assert (batch.status, batch.metadata) == ("completed", {"night": "run"})
        counts = batch.request_counts
        assert counts and (counts.total, counts.completed, counts.failed) == (3, 2, 1)
        good, bad = results(client, batch.output_file_id), results(client, batch.error_file_id)
        assert good.keys() == {"q1", "q2"} and bad.keys() == {"q3"}
        answer = good["q1"]["response"]
        assert answer["status_code"] == 200 and answer["body"]["model"] == "bot@1"
        assert answer["body"]["choices"][0]["message"]["content"] == "Hello there."
        assert bad["q3"]["response"]["status_code"] == 404
        assert bad["q3"]["response"]["body"]["error"]["code"] == "model_not_found"
        assert [found.id for found in client.batches.list()] == [batch.id]
        assert {file.purpose for file in client.files.list()} == {"batch", "batch_output"}
        assert client.files.delete(batch.output_file_id).deleted
    rows = gateway.rows(2)
    assert {row["key_id"] for row in rows} == {api_key().key_id}
    assert {"chatcmpl-" + good[name]["response"]["request_id"] for name in good} == {row["id"] for row in rows}


def test_a_gateway_that_was_ended_goes_on_where_it_stopped(world: World) -> None:
    """The engine stalls after six answers, so that the batch is never done before the gateway has ended."""
    world.engine.most = 6
    data = jsonl(*(line(number) for number in range(20)))
    with world.gateway() as gateway, sdk(gateway) as client:
        batch = begin(client, data)
        wait_until(lambda: client.batches.retrieve(batch.id).request_counts.completed == 6)
    torn = next(path for path in (world.folder / "files").iterdir() if b'"request_id"' in path.read_bytes())
    with torn.open("ab") as file:
        file.write(b'{"custom_id": "q1')  # as a killed process may leave it
    assert len(world.engine.seen) <= 6 + worker.AT_ONCE
    world.engine.most = None
    with world.gateway() as gateway, sdk(gateway) as client:
        batch = ended(client, batch.id)
        assert batch.status == "completed"
        found = client.files.content(batch.output_file_id).text.splitlines()
    assert sorted(json.loads(one)["custom_id"] for one in found) == sorted(f"q{number}" for number in range(20))
    assert len(world.engine.seen) <= 20 + worker.AT_ONCE


def test_a_batch_can_be_called_off(world: World, gateway: Running) -> None:
    world.engine.gap_s = 0.05
    with sdk(gateway) as client:
        batch = begin(client, jsonl(*(line(number) for number in range(50))))
        wait_until(lambda: client.batches.retrieve(batch.id).request_counts.completed >= 2)
        assert client.batches.cancel(batch.id).status == "cancelling"
        batch = ended(client, batch.id)
        assert batch.status == "cancelled" and batch.cancelled_at
        assert 2 <= len(results(client, batch.output_file_id)) < 50
        assert client.batches.cancel(batch.id).status == "cancelled"


def test_what_has_not_ended_in_its_window_is_given_up(world: World) -> None:
    world.publish(routes=(Route(alias="bot", champion="bot@1", killed=True),))
    with world.gateway() as gateway, sdk(gateway) as client:
        batch = begin(client, jsonl(line(1)))
        time.sleep(0.1)
        assert client.batches.retrieve(batch.id).status == "in_progress"  # the route may come back
    tables = Tables(world.folder / "records.sqlite")
    with tables.writing() as connection:
        connection.execute(jobs.update().values(at=jobs.c.at - WINDOW_SECONDS))
    tables.close()
    with world.gateway() as again, sdk(again) as client:
        assert ended(client, batch.id).status == "expired"


def test_of_several_gateways_one_answers_batches(world: World) -> None:
    """Each line once; and another gateway goes on when that one has ended."""
    world.engine.gap_s, world.engine.most = 0.02, 12
    data = jsonl(*(line(number) for number in range(20)))
    with ExitStack() as stack:
        stack.enter_context(world.gateway())
        with world.gateway() as second, sdk(second) as client:
            batch = begin(client, data)
            wait_until(lambda: client.batches.retrieve(batch.id).request_counts.completed == 12)
            assert len(world.engine.seen) <= 12 + worker.AT_ONCE
            world.engine.most = None
            stack.close()
            batch = ended(client, batch.id)
            found = client.files.content(batch.output_file_id).text.splitlines()
    assert sorted(json.loads(one)["custom_id"] for one in found) == sorted(f"q{number}" for number in range(20))


def test_limits_are_waited_for_and_budgets_are_not(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "AT_ONCE", 1)
    world.publish(keys=(api_key(limits=Limits(tokens_per_minute=6000)), api_key(2, limits=Limits(budget_tokens=1))))
    with world.gateway() as gateway, sdk(gateway) as one, sdk(gateway, 2) as two:
        world.engine.prompt_tokens = 2000
        body = {"model": "bot", **QUESTION, "max_tokens": 5}
        slow = begin(one, jsonl(*(line(number, body=body) for number in range(8))))
        wait_until(lambda: one.batches.retrieve(slow.id).request_counts.completed >= 2)
        assert one.batches.retrieve(slow.id).status == "in_progress"
        one.batches.cancel(slow.id)
        assert ended(one, slow.id).request_counts.failed == 0
        poor = ended(two, begin(two, jsonl(line(1))).id)
        assert results(two, poor.error_file_id)["q1"]["response"]["body"]["error"]["code"] == "insufficient_quota"


def test_nobody_waits_for_another_keys_batch(world: World) -> None:
    routes = (Route(alias="bot", champion="bot@1", killed=True), Route(alias="other", champion="bot@2"))
    world.publish(keys=(api_key(), api_key(2), api_key(3, limits=Limits(requests_per_minute=0))), routes=routes)
    body = {"model": "other", **QUESTION}
    with world.gateway() as gateway, sdk(gateway) as stopped, sdk(gateway, 2) as other, sdk(gateway, 3) as limited:
        waits = begin(stopped, jsonl(*(line(number) for number in range(9))))
        waits_too = begin(limited, jsonl(*(line(number, body=body) for number in range(9))))
        batch = ended(other, begin(other, jsonl(*(line(number, body=body) for number in range(9)))).id)
        assert (batch.status, batch.request_counts.completed) == ("completed", 9)
        assert stopped.batches.retrieve(waits.id).status == "in_progress"
        assert limited.batches.retrieve(waits_too.id).status == "in_progress"
        stopped.batches.cancel(waits.id)
        assert ended(stopped, waits.id).status == "cancelled"


def test_a_batch_that_could_not_be_ended_is_ended_later(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its files are known and the batch is not over, as a kill or a full disk may leave it."""
    change, faults = Jobs.change, [StoreFault("the disk is full")]

    def fails_once(jobs: Jobs, job_id: str, values: dict[str, Any], *only_from: Any) -> None:
        if "ended" in values and faults:
            raise faults.pop()
        change(jobs, job_id, values, *only_from)

    monkeypatch.setattr(Jobs, "change", fails_once)
    with world.gateway() as gateway, sdk(gateway) as client:
        batch = ended(client, begin(client, jsonl(line(1), line(2, body={"model": "none", **QUESTION}))).id)
        assert (batch.status, faults) == ("completed", [])
        assert results(client, batch.output_file_id).keys() == {"q1"}
        assert results(client, batch.error_file_id).keys() == {"q2"}
    assert len(world.engine.seen) == 1


def test_a_revoked_keys_batch_gets_errors(world: World, gateway: Running) -> None:
    with sdk(gateway) as client:
        world.engine.first_s = 0.3
        batch = begin(client, jsonl(*(line(number) for number in range(9))))
        wait_until(lambda: world.engine.active)
    world.publish(keys=(api_key(2),))
    wait_until(lambda: gateway.desk.live.view.epoch == world.epoch)
    asked = len(world.engine.seen)
    found = Jobs(gateway.desk.records._tables)
    wait_until(lambda: found.get(batch.id).status == "completed")
    assert found.get(batch.id).failed == 9
    assert len(world.engine.seen) == asked


def test_a_batch_outlives_the_rotation_of_its_key(world: World, gateway: Running) -> None:
    world.engine.first_s = 0.05
    with sdk(gateway) as client:
        batch = begin(client, jsonl(*(line(number) for number in range(30))))
    world.publish(keys=(api_key(3, before=(api_key().key_id,)),))  # a day later, the old one has ended
    wait_until(lambda: len(gateway.desk.live.view.keys) == 1)
    with sdk(gateway, 3) as client:
        wait_until(lambda: client.batches.retrieve(batch.id).request_counts.completed > 0)
        assert client.batches.retrieve(batch.id).status == "in_progress"  # its progress is shown
        batch = ended(client, batch.id)
        assert batch.request_counts.completed + batch.request_counts.failed == 30
        assert batch.request_counts.failed <= 8  # what was under way with the key that ended
        assert len(results(client, batch.output_file_id)) == batch.request_counts.completed


def test_interactive_callers_come_first(world: World) -> None:
    with world.gateway(most_in_flight=2) as gateway, sdk(gateway) as client, gateway.desk.inflight.place():
        with gateway.desk.inflight.place():
            batch = begin(client, jsonl(line(1)))
            time.sleep(0.2)
            assert not world.engine.seen
        assert ended(client, batch.id).status == "completed"


def test_a_key_sees_its_own_only(gateway: Running) -> None:
    with sdk(gateway) as mine, sdk(gateway, 2) as other:
        batch = ended(mine, begin(mine, jsonl(line(1))).id)
        for ask in (
            lambda: other.files.retrieve(batch.input_file_id),
            lambda: other.files.content(batch.output_file_id),
            lambda: other.files.delete(batch.input_file_id),
            lambda: other.batches.retrieve(batch.id),
            lambda: other.batches.cancel(batch.id),
            lambda: other.batches.create(input_file_id=batch.input_file_id, endpoint=URL, completion_window="24h"),
            lambda: mine.files.retrieve("..%2Frecords.sqlite"),
        ):
            with pytest.raises(openai.NotFoundError):
                ask()
        assert not list(other.files.list()) and not list(other.batches.list())


def test_what_cannot_be_a_batch_is_refused(gateway: Running) -> None:
    with sdk(gateway) as client:
        failed = begin(client, jsonl(line(1), line(1), {"custom_id": "x"}, "no") + b"{\n")
        assert failed.status == "failed" and failed.errors and failed.errors.data
        assert [(problem.line, problem.code) for problem in failed.errors.data] == [
            (2, "duplicate_custom_id"), (3, "invalid_request"), (4, "invalid_request"), (5, "invalid_json_line"),
        ]  # fmt: skip
        for changes in (
            {"endpoint": "/v1/images"}, {"completion_window": "1h"},
            {"metadata": {"a": "x" * 600}}, {"metadata": {"a": 1}},
        ):  # fmt: skip
            with pytest.raises(openai.BadRequestError):
                client.batches.create(
                    **{"input_file_id": failed.input_file_id, "endpoint": URL, "completion_window": "24h"} | changes
                )
        with pytest.raises(openai.APIStatusError) as large:
            client.files.create(file=("in.jsonl", b"x" * 30_000), purpose="batch")
        assert large.value.status_code == 413 and large.value.code == "request_too_large"
        with pytest.raises(openai.BadRequestError):
            client.files.create(file=("in.jsonl", b"x"), purpose="fine-tune")
        for _ in range(2):
            client.files.create(file=("in.jsonl", b"x"), purpose="batch")
        with pytest.raises(openai.BadRequestError, match="delete some"):
            client.files.create(file=("in.jsonl", b"x"), purpose="batch")
        assert gateway.http.get("/v1/batches?limit=0").status_code == 400
        torn = gateway.http.post("/v1/files", content=b"--x", headers={"content-type": "multipart/form-data"})
        assert torn.is_client_error


def test_old_files_leave(world: World, gateway: Running) -> None:
    from serving.batch.files import Files

    with sdk(gateway) as client:
        kept = client.files.create(file=("in.jsonl", b"x"), purpose="batch")
    files = Files(world.folder / "files", gateway.desk.records._tables)
    files.forget(1)
    assert files.path(kept.id).exists()
    files.forget(-1)
    assert not files.path(kept.id).exists() and not files.list(api_key().key_id)


@given(st.binary(max_size=80))
def test_any_line_is_a_request_or_a_problem(raw: bytes) -> None:
    assert isinstance(parse_line(1, raw, URL), Line | Problem)


def test_input_is_bounded(tmp_path: Path) -> None:
    path = tmp_path / "in.jsonl"
    path.write_bytes(jsonl(*(line(number) for number in range(5))))
    assert parse_input(path, URL, 5) == (5, [])
    assert [problem.code for problem in parse_input(path, URL, 4)[1]] == ["too_many_lines"]
    path.write_bytes(b"\n \n")
    assert [problem.code for problem in parse_input(path, URL, 4)[1]] == ["empty_file"]
    path.write_bytes(b"no\n" * 100)
    assert len(parse_input(path, URL, 1000)[1]) == 20


@given(st.integers(0, 10**6))
def test_a_torn_file_keeps_its_whole_lines(tmp_path_factory: pytest.TempPathFactory, cut: int) -> None:
    path = tmp_path_factory.mktemp("torn") / "out.jsonl"
    lines = [answer_line(f"q{number}", "r", 200, b"{}") for number in range(3)]
    whole = b"".join(lines)
    path.write_bytes(whole[: cut % (len(whole) + 1)])
    found = answered(path)
    assert found == {f"q{number}" for number in range(len(found))}
    assert path.read_bytes() == b"".join(lines[: len(found)])
