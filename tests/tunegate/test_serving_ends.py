"""Ctrl-C of `tunegate serve` while it answers: what was asked before is answered whole, and nothing after it."""

import os
import shutil
import signal
import sqlite3
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from serving.http import DRAIN_SECONDS
from tests.tunegate.served import Endpoint, started, wait_until_gone, wait_until_ready

pytestmark = [pytest.mark.slow, pytest.mark.vllm, pytest.mark.timeout(480)]

STREAMS, PLAIN, TOKENS = 4, 2, 32
LONG = {"max_tokens": TOKENS, "extra_body": {"ignore_eos": True}}


def test_answers_under_way_at_ctrl_c_end_whole(released_home: Path, tmp_path: Path, value: Callable[..., Any]) -> None:
    home = Path(shutil.copytree(released_home, tmp_path / "home"))
    key = value(home, "keys", "create", "a test", "--scope", "infer")["key"]
    running = started(home, tmp_path / "serve.log", key)
    try:
        wait_until_ready(running, running.log)
        end_while_answering(running, "starter")
    finally:
        if running.process.poll() is None:
            running.process.terminate()  # Ray's processes are its own to end
            running.process.wait(timeout=90)
    wait_until_gone(running)


def end_while_answering(running: Endpoint, model: str) -> None:
    """Streams and plain requests are under way when a terminal's Ctrl-C comes to the whole group of processes."""
    begun = [threading.Event() for _ in range(STREAMS)]
    with ThreadPoolExecutor(STREAMS + PLAIN) as pool, httpx.Client(base_url=running.url) as kept:
        streams = [pool.submit(streamed, running, model, event) for event in begun]
        plain = [pool.submit(running.ask, model, **LONG) for _ in range(PLAIN)]
        assert all(event.wait(120) for event in begun)
        while f"tunegate_in_flight {STREAMS + PLAIN}.0" not in kept.get("/metrics").text:
            assert not any(future.done() for future in (*streams, *plain)), "too few were under way at once"
            time.sleep(0.05)
        os.killpg(running.process.pid, signal.SIGINT)
        asked = time.monotonic()
        time.sleep(0.5)  # the server looks for a signal ten times a second
        assert not any(future.done() for future in (*streams, *plain)), "what is tested has ended before"
        refused = [is_refused(running, model, client) for client in (kept, httpx)]
        pieces = [future.result(timeout=DRAIN_SECONDS + 10) for future in streams]
        answers = [future.result(timeout=DRAIN_SECONDS + 10) for future in plain]
        ended = time.monotonic() - asked
        status = running.process.wait(timeout=90)
    print(f"measured: the last answer ended {ended:.1f} s after Ctrl-C, the process {time.monotonic() - asked:.1f} s")
    assert (status, refused) == (0, [True, True])
    assert ended < DRAIN_SECONDS
    assert [how_it_ended(stream) for stream in pieces] == [("length", TOKENS)] * STREAMS
    assert [how_it_ended([answer]) for answer in answers] == [("length", TOKENS)] * PLAIN
    assert recorded(running.home) == [("length", TOKENS)] * (STREAMS + PLAIN)


def streamed(running: Endpoint, model: str, begun: threading.Event) -> list[Any]:
    """The pieces of one answer."""
    pieces = []
    for piece in running.ask(model, stream=True, stream_options={"include_usage": True}, **LONG):
        pieces.append(piece)
        begun.set()
    return pieces


def how_it_ended(pieces: list[Any]) -> tuple[str, int]:
    """The reason that an answer ended for, said once, and the tokens that it says it has."""
    (reason,) = [choice.finish_reason for piece in pieces for choice in piece.choices if choice.finish_reason]
    return str(reason), int(pieces[-1].usage.completion_tokens)


def is_refused(running: Endpoint, model: str, client: Any) -> bool:
    """Whether a request that comes now is told at once that nobody answers: 503, or no connection."""
    body = {"model": model, "max_tokens": 1, "messages": [{"role": "user", "content": "Hello"}]}
    try:
        headers = {"Authorization": f"Bearer {running.key}"}
        answer = client.post(f"{running.url}/v1/chat/completions", json=body, headers=headers, timeout=5)
    except httpx.ConnectError:
        return True
    return bool(answer.status_code == 503)


def recorded(home: Path) -> list[tuple[str, int]]:
    """How each request ended, and the tokens it was charged."""
    with sqlite3.connect(f"file:{home / 'serving' / 'requests.sqlite'}?mode=ro", uri=True) as db:
        found = db.execute("SELECT finish, output_tokens FROM requests WHERE status = 200").fetchall()
    db.close()
    return [(str(reason), int(tokens)) for reason, tokens in found]
