"""A webhook that is told of canaries: by a real server here, which may be away, busy, or never answer."""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from serving import alerts
from serving.alerts import Alerts
from tests.serving.conftest import World, wait_until
from tests.serving.test_analysis import HALF, LONG, RULES, canary_of, fail


@dataclass
class Receiver:
    """Answers with `statuses` in turn, then 200; `taken` are the bodies it said 2xx to."""

    statuses: list[int] = field(default_factory=list)
    hangs: threading.Event = field(default_factory=threading.Event)  # answers only when it is set
    tries: int = 0
    taken: list[dict[str, Any]] = field(default_factory=list)
    url: str = ""

    def answer(self, body: bytes) -> int:
        self.hangs.wait(10)
        self.tries += 1
        status = self.statuses.pop(0) if self.statuses else 200
        if status < 300:
            self.taken.append(json.loads(body))
        return status


@contextmanager
def receiving(*statuses: int, port: int = 0) -> Iterator[Receiver]:
    """A webhook's server on loopback."""
    receiver = Receiver(list(statuses))
    receiver.hangs.set()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            self.send_response(receiver.answer(body))
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", port), Handler) as server:
        receiver.url = f"http://127.0.0.1:{server.server_address[1]}/hooks/SECRET-TOKEN"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        try:
            yield receiver
        finally:
            receiver.hangs.set()
            server.shutdown()
            thread.join(5)


@contextmanager
def telling(url: str) -> Iterator[Alerts]:
    found = Alerts(url)
    found.start()
    try:
        yield found
    finally:
        found.close()


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(alerts, "TURN_SECONDS", 0.01)
    monkeypatch.setattr(alerts, "FIRST_PAUSE_SECONDS", 0.02)
    monkeypatch.setattr(alerts, "CLOSE_SECONDS", 0.5)


def test_a_failing_canary_is_told_to_the_webhook(world: World) -> None:
    rules = RULES.model_copy(update={"stages": (LONG,)})
    with receiving(503, 429) as receiver, canary_of(world, rules, webhook=receiver.url) as test:
        fail(test.canary)
        test.ask(120, messages=[{"role": "user", "content": "MY-PROMPT"}])
        wait_until(lambda: receiver.taken)
        (told,) = receiver.taken
        assert receiver.tries == 3
        names = {"route": "bot", "canary": "bot@2", "champion": "bot@1", "weight_bp": 0}
        assert {name: told[name] for name in names} == names
        assert (told["kind"], told["guard"]) == ("canary-rollback", "errors")
        assert told["text"] == f"bot: the canary bot@2 is rolled back: {told['reason']}"
        assert told["id"] == f"bot/{test.ledger.event}/rollback"
        assert not any(secret in json.dumps(told) for secret in ("MY-PROMPT", "user-", "SECRET-INPUT"))
        assert "tunegate_alerts_pending 0.0" in test.metrics()


def test_a_canary_that_waits_for_a_person_is_told_and_one_that_advances_is_not(world: World) -> None:
    short = HALF.model_copy(update={"max_minutes": 0.005})
    with receiving() as receiver, canary_of(world, RULES, webhook=receiver.url) as test:
        test.ask(80)
        wait_until(test.ledger.waits)
        assert test.ledger.taken[0][1].action == "advance"
        test.ledger.rules = RULES.model_copy(update={"stages": (short,)})
        test.ledger.begin()
        wait_until(lambda: receiver.taken)
    assert [told["kind"] for told in receiver.taken] == ["canary-pause"]


def test_a_webhook_that_hangs_slows_nobody(world: World) -> None:
    rules = RULES.model_copy(update={"stages": (LONG,)})
    with receiving() as receiver, canary_of(world, rules, webhook=receiver.url) as test:
        receiver.hangs.clear()
        fail(test.canary)
        test.ask(120)
        wait_until(test.ledger.waits)
        begun = time.monotonic()
        assert {answer.status_code for answer in test.ask(20)} == {200}
        assert time.monotonic() - begun < 10
        assert not receiver.taken
        receiver.hangs.set()
        wait_until(lambda: receiver.taken)


def test_what_nobody_takes_waits_in_order_and_within_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    with receiving() as gone:
        port = int(gone.url.split(":")[2].split("/")[0])
    monkeypatch.setattr(alerts, "MOST_PENDING", 3)
    with telling(gone.url) as found:
        for number in range(5):
            found.put({"id": number})
        wait_until(lambda: found._failures > 1)
        assert found.lost == 2
        with receiving(port=port) as back:
            wait_until(lambda: len(back.taken) == 3)
        assert [told["id"] for told in back.taken] == [2, 3, 4]
        assert found.pending == 0


def test_a_refusal_is_counted_and_the_address_is_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    with receiving(404, 302) as receiver, telling(receiver.url) as found:
        for number in range(3):
            found.put({"id": number})
        wait_until(lambda: receiver.taken)
        assert [told["id"] for told in receiver.taken] == [2]
        assert found.lost == 2
    assert "404" in caplog.text
    assert "SECRET-TOKEN" not in caplog.text


def test_what_waits_for_too_long_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(alerts, "MOST_AGE_SECONDS", 0.0)
    with receiving(500) as receiver, telling(receiver.url) as found:
        found.put({"id": 1})
        wait_until(lambda: found.lost == 1)
        assert found.pending == 0


def test_the_last_words_are_said_at_the_end() -> None:
    with receiving() as receiver:
        found = Alerts(receiver.url)
        found.put({"id": 1})
        found.start()
        found.close()
        assert [told["id"] for told in receiver.taken] == [1]
