"""What somebody tries who has a connection, or a key of their own, and wants more than it gives."""

import hashlib
import json
import re
import socket
import statistics
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from serving import keys
from serving.errors import Refusal
from serving.keys import authenticate
from serving.view import View
from tests.serving.conftest import BASE, QUESTION, SECRET, Running, World, api_key, bearer, client, grant
from tunegate_core.snapshot import Route, Snapshot, base_name, engine_name

NAMES = (
    *("../bot", "../../etc/passwd", "bot/../bot", "./bot", "/bot", "bot/", "bot\\..\\bot", "%2e%2e/bot", "bot%00"),
    *("bot\0", "bot\n", " bot", "bot ", "BOT", "b\u043et", "bot@1", "bot@2", "bot@0", "bot@1/../bot@2", "bot@", "@1"),
    *(f"{base_name(BASE)}:..", f"{base_name(BASE)}:", base_name(BASE), engine_name(grant("bot@1")), "bot:1", "x--y"),
    *("", "x" * 100_000, "bot' OR '1'='1", "{{7*7}}", "$(id)", "file:///etc/passwd", "\ud800"),
)


@pytest.fixture
def gateway(world: World) -> Iterator[Running]:
    with world.gateway() as running:
        yield running


def files(folder: Path) -> set[str]:
    """Every path below a folder; the database keeps files of its own beside it."""
    return {str(path) for path in folder.rglob("*") if not path.name.startswith("records.sqlite-")}


def ask(gateway: Running, path: str, body: dict[str, Any]) -> httpx.Response:
    """Ask with a body that may hold what no text should."""
    return gateway.http.post(path, content=json.dumps(body).encode(), headers={"content-type": "application/json"})


def test_no_other_spelling_of_a_name_answers_or_touches_a_file(world: World, gateway: Running) -> None:
    before = files(world.folder)
    for name in NAMES:
        for path, prompt in (("/v1/chat/completions", QUESTION), ("/v1/completions", {"prompt": "a"})):
            answer = ask(gateway, path, {"model": name, **prompt})
            # A lone surrogate is no JSON text.
            assert (answer.status_code, answer.json()["error"]["code"]) in (
                (404, "model_not_found"), (400, "invalid_json"),
            ), name  # fmt: skip
    assert not world.engine.seen
    assert files(world.folder) == before


@pytest.mark.parametrize("place", ["models", "files", "batches"])
@pytest.mark.parametrize(
    "name",
    ["../records.sqlite", "..%2frecords.sqlite", "%2e%2e%2f%2e%2e%2fetc%2fpasswd", "file-..", "%00", "' OR 1=1 --"],
)
def test_no_path_leads_to_a_file(gateway: Running, place: str, name: str) -> None:
    for end in ("", "/content", "/cancel"):
        answer = gateway.http.get(f"/v1/{place}/{name}{end}")
        assert answer.status_code in (404, 405) and answer.json()["error"]["code"]
        assert b"SQLite" not in answer.content


def test_ids_are_data_to_the_database(world: World, gateway: Running) -> None:
    answer_id = gateway.chat().json()["id"]
    gateway.rows()
    for wrong in (
        "' OR '1'='1",
        "x' UNION SELECT key_id FROM requests --",
        "%",
        "_" * len(answer_id),
        answer_id[:-1] + "%",
    ):
        given = gateway.http.post("/v1/feedback", json={"response_id": wrong, "thumb": "up"})
        assert (given.status_code, given.json()["error"]["code"]) == (404, "response_not_found")
    assert gateway.http.get("/v1/batches", params={"after": "' OR '1'='1"}).json()["data"] == []


HEAD = f"POST /v1/completions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {bearer()}\r\n"
BODY = json.dumps({"model": "bot", "prompt": "a"})
HIDDEN = f"{HEAD}Content-Length: {len(BODY)}\r\n\r\n{BODY}"
SMUGGLED = {
    "length and chunks": f"{HEAD}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{HIDDEN}",
    "chunks and length": f"{HEAD}Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n{HIDDEN}",
    "two lengths": f"{HEAD}Content-Length: 0\r\nContent-Length: {len(HIDDEN)}\r\n\r\n{HIDDEN}",
    "a list of lengths": f"{HEAD}Content-Length: 0, {len(HIDDEN)}\r\n\r\n{HIDDEN}",
    "a signed length": f"{HEAD}Content-Length: +{len(HIDDEN)}\r\n\r\n{HIDDEN}",
    "another encoding": f"{HEAD}Transfer-Encoding: xchunked\r\nContent-Length: 0\r\n\r\n{HIDDEN}",
    "chunked twice": f"{HEAD}Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n{HIDDEN}",
    "a space in a name": f"{HEAD}Transfer-Encoding : chunked\r\nContent-Length: {len(HIDDEN)}\r\n\r\n{HIDDEN}",
    "a folded line": f"{HEAD}X-A: b\r\n Transfer-Encoding: chunked\r\nContent-Length: 0\r\n\r\n{HIDDEN}",
    "a bare return": f"{HEAD}X-A: b\rTransfer-Encoding: chunked\r\nContent-Length: 0\r\n\r\n{HIDDEN}",
    "a chunk's length": f"{HEAD}Transfer-Encoding: chunked\r\n\r\n0x0\r\n\r\n{HIDDEN}",
}


@pytest.mark.parametrize("sent", SMUGGLED.values(), ids=SMUGGLED)
def test_no_request_hides_in_another(world: World, gateway: Running, sent: str) -> None:
    """However the lengths contradict each other: no answer to the request that a proxy would not have seen."""
    with socket.create_connection(("127.0.0.1", int(gateway.url.rpartition(":")[2]))) as raw:
        raw.settimeout(5)
        raw.sendall(sent.encode())
        raw.shutdown(socket.SHUT_WR)
        told = b"".join(iter(lambda: raw.recv(65_536), b""))
    assert not world.engine.seen, told
    assert len(re.findall(rb"HTTP/1\.1 \d\d\d", told)) <= 1
    assert b"HTTP/1.1 200" not in told


def test_a_key_that_is_sent_twice_opens_nothing(world: World, gateway: Running) -> None:
    """A proxy may look at the one and we at the other."""
    right, wrong = f"Bearer {bearer()}", "Bearer tg_wrong"
    for path in ("/v1/models", "/v1/models/bot", "/v1/files", "/v1/batches"):
        assert httpx.get(gateway.url + path, headers={"Authorization": right}).status_code == 200
        for pair in ((right, wrong), (wrong, right), (right, right)):
            headers = [("Authorization", value) for value in pair]
            assert httpx.get(gateway.url + path, headers=headers).status_code == 401
            asked = httpx.post(f"{gateway.url}/v1/chat/completions", headers=headers, json={"model": "bot", **QUESTION})
            assert asked.status_code == 401
    assert not world.engine.seen


def test_nobody_says_that_he_is_here(world: World, gateway: Running) -> None:
    """Behind a proxy that adds the caller's address, a forged one before it is not believed."""
    for forged in ("127.0.0.1, 203.0.113.9", "::1, 203.0.113.9", "localhost", "unix:", "203.0.113.9"):
        told = httpx.get(f"{gateway.url}/metrics", headers={"X-Forwarded-For": forged})
        assert told.status_code == 401, forged


BOMBS = {
    "lists": b"[" * 1_000_000,
    "objects": b'{"a":' * 190_000,
    "closed": b"[" * 500_000 + b"]" * 500_000,
    "in a field": b'{"model": "bot", "messages": ' + b"[" * 500 + b"]" * 500 + b"}",
    "wide": b'{"model": "bot", "messages": [' + b"{}," * 300_000 + b"{}]}",
    "a number": b'{"model": "bot", "messages": [1], "n": ' + b"9" * 900_000 + b"}",
    "an exponent": b'{"model": "bot", "messages": [1], "temperature": 1e999999}',
}


@pytest.mark.parametrize("body", BOMBS.values(), ids=BOMBS)
def test_a_body_that_unfolds_is_refused_at_once(world: World, gateway: Running, body: bytes) -> None:
    begun = time.perf_counter()
    answer = gateway.http.post("/v1/chat/completions", content=body)
    assert answer.status_code == 400
    assert time.perf_counter() - begun < 5
    assert not world.engine.seen


def test_what_is_said_twice_is_decided_once(world: World, gateway: Running) -> None:
    """The engine gets what was decided about, not the caller's bytes, so two parsers can't disagree."""
    world.publish(keys=(api_key(models=("bot",)),))
    body = b'{"model": "other", "messages": [{"role": "user", "content": "a"}], "cache_salt": "x", "model": "bot"}'
    assert gateway.http.post("/v1/chat/completions", content=body).json()["model"] == "bot@1"
    sent = world.engine.seen[-1]["body"]
    assert sent["model"] == engine_name(grant("bot@1")) and sent["cache_salt"] == api_key().key_id


def test_guessing_keys_opens_nothing_and_leaves_nothing(world: World, gateway: Running) -> None:
    """Neither accounts nor labels of metrics grow by guesses, all are answered alike, and the right key still opens."""
    gateway.chat()
    answers: set[tuple[int, bytes]] = set()
    for number in range(600):
        guess = bearer(number + 2) if number % 2 else f"tg_{1:016x}_{hashlib.sha256(b'%d' % number).hexdigest()}"
        with_guess = {"Authorization": f"Bearer {guess}"}
        told = gateway.http.post("/v1/chat/completions", json={"model": "bot", **QUESTION}, headers=with_guess)
        answers.add((told.status_code, told.content))
    assert len(answers) == 1 and next(iter(answers))[0] == 401
    assert list(gateway.desk.accounts._open) == [api_key().key_id]
    assert 'tunegate_refused_total{code="invalid_api_key"} 600.0' in gateway.http.get("/metrics").text
    assert gateway.chat().status_code == 200
    assert len(world.engine.seen) == 2


def test_a_wrong_secret_takes_the_time_of_an_unknown_key(monkeypatch: pytest.MonkeyPatch) -> None:
    """One hash and one comparison in constant time, whatever is wrong; and no more than half of the time apart."""
    known = View.of(Snapshot(epoch=1, keys=(api_key(),))).keys
    near = bearer()[:-1] + "t"
    guesses = {"unknown": bearer(7), "far": f"tg_{1:016x}_{'z' * len(SECRET)}", "near": near}
    compared: list[tuple[str, str]] = []

    def compare(one: str, other: str) -> bool:
        compared.append((one, other))
        return False

    with monkeypatch.context() as patched:
        patched.setattr(keys, "compare_digest", compare)
        for guess in guesses.values():
            _refused(guess, known)
    assert [(len(one), len(other)) for one, other in compared] == [(64, 64)] * 3
    took: dict[str, list[int]] = {name: [] for name in guesses}
    for _ in range(2_000):
        for name, guess in guesses.items():
            begun = time.perf_counter_ns()
            _refused(guess, known)
            took[name].append(time.perf_counter_ns() - begun)
    medians = {name: statistics.median(times) for name, times in took.items()}
    assert max(medians.values()) < 1.5 * min(medians.values()), medians


def _refused(guess: str, known: Any) -> None:
    with pytest.raises(Refusal):
        authenticate(f"Bearer {guess}", known, 0.0)


def test_one_key_cannot_reach_the_others(world: World, gateway: Running) -> None:
    """Routes, answers, files and batches of another key are not there, and what the engine remembers is apart."""
    mine, others = api_key(1, models=("bot",)), api_key(2, models=("secret",))
    routes = (Route(alias="bot", champion="bot@1"), Route(alias="secret", champion="bot@2"))
    world.publish(keys=(mine, others), routes=routes)
    while gateway.desk.live.view.epoch < world.epoch:
        time.sleep(0.01)
    assert gateway.chat(model="secret").status_code == 404
    assert gateway.http.get("/v1/models/secret").status_code == 404
    with client(gateway.url, bearer(2)) as other:
        answer = other.post("/v1/chat/completions", json={"model": "secret", **QUESTION})
        assert answer.status_code == 200
        given = gateway.http.post("/v1/feedback", json={"response_id": answer.json()["id"], "thumb": "up"})
        assert given.status_code == 404
    gateway.chat()
    salts = [ask["body"]["cache_salt"] for ask in world.engine.seen]
    assert salts == [others.key_id, mine.key_id]
