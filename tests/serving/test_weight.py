"""What requests in flight hold of memory is weighed before it is taken, and bounded."""

import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from random import Random
from typing import Any

import httpx
import orjson
import pytest

from serving.weight import weight
from tests.serving.conftest import World, wait_until

SIZE = 20_000
NASTY = {
    "lists": b"[" + b"[]," * SIZE + b"0]",
    "objects": b"[" + b"{}," * SIZE + b"0]",
    "small objects": b"[" + b'{"a":300},' * SIZE + b"0]",
    "numbers": b"[" + b"300," * SIZE + b"0]",
    "fractions": b"[" + b"1.5," * SIZE + b"0]",
    "short texts": b"[" + b'"ab",' * SIZE + b"0]",
    "short texts of others": b"[" + '"éé",'.encode() * SIZE + b"0]",
    "one long text": b'"' + b"x" * SIZE * 4 + b'"',
    "one long text with one rare letter": b'"' + b"x" * SIZE * 4 + "\N{GRINNING FACE}".encode() + b'"',
    "an object with many names": b"{" + b",".join(b'"%d":300' % at for at in range(SIZE)) + b"}",
    "one with long names": b"{" + b",".join(b'"%070d":300' % at for at in range(SIZE // 4)) + b"}",
    "grown just now": b"{" + b",".join(b'"%d":1' % at for at in range(21_846)) + b"}",
}


def taken(raw: bytes) -> int:
    """Bytes that a text takes once it is parsed."""
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        parsed = orjson.loads(raw)
        after = tracemalloc.get_traced_memory()[0]
        del parsed
        return after - before
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("form", NASTY)
def test_a_text_takes_no_more_than_it_weighs(form: str) -> None:
    assert taken(NASTY[form]) <= weight(NASTY[form])


@pytest.mark.parametrize("seed", range(20))
def test_nor_does_any_other(seed: int) -> None:
    raw = orjson.dumps(made(Random(seed), depth=5))
    assert taken(raw) <= weight(raw)


def made(draw: Random, depth: int) -> Any:
    """A value with more inside while there is depth left."""
    forms = [
        None,
        True,
        draw.randrange(2**53),
        draw.random(),
        "x" * draw.randrange(90),
        "\N{GRINNING FACE}" * draw.randrange(9),
    ]
    if not depth:
        return draw.choice(forms)
    inner = [made(draw, depth - 1) for _ in range(draw.randrange(7))]
    return draw.choice([inner, {f"{draw.random()}": value for value in inner}, forms])


def test_what_would_be_too_much_is_sent_away_and_nothing_is_left_held(world: World) -> None:
    with world.gateway(most_bytes=1_000_000) as gateway:
        assert gateway.chat().status_code == 200
        told = gateway.chat(messages=[{"role": "user", "content": "x" * 200_000}])
        assert (told.status_code, told.json()["error"]["code"]) == (503, "overloaded")
        assert told.headers["retry-after"] == "1"
        asked = len(world.engine.seen)
        world.engine.words = ("x" * 200_000,)  # an answer counts as well, and leaves its engine
        assert gateway.chat().json()["error"]["code"] == "overloaded"
        assert len(world.engine.seen) == asked + 1
        assert gateway.chat(stream=True).status_code == 200  # which is passed on, and not held
        world.engine.words = ("short",)
        feedback = {"response_id": "x", "comment": "y" * 30_000}
        assert gateway.http.post("/v1/feedback", json=feedback).json()["error"]["code"] == "response_not_found"
        wait_until(lambda: gateway.desk.inflight.held == 0)
        assert gateway.chat().status_code == 200


def test_the_memory_is_of_all_together(world: World) -> None:
    body = {"messages": [{"role": "user", "content": "x" * 60_000}], "stream": True}
    world.engine.gap_s = 0.15
    with world.gateway(most_bytes=1_100_000) as gateway, ThreadPoolExecutor(1) as pool:
        first = pool.submit(gateway.chat, **body)
        wait_until(lambda: world.engine.active == 1)
        assert gateway.chat(**body).json()["error"]["code"] == "overloaded"
        page = httpx.get(f"{gateway.url}/metrics").text
        assert float(
            next(line.split()[1] for line in page.splitlines() if "in_flight_bytes " in line and line[0] != "#")
        )
        assert first.result().status_code == 200
        wait_until(lambda: gateway.desk.inflight.held == 0)
        assert gateway.chat(**body).status_code == 200
