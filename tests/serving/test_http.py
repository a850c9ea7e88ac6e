"""The server under the gateway gives up on callers that send slowly or too much."""

import contextlib
import socket

import pytest

from serving.http import HEADER_BYTES, verify_free
from tests.serving.conftest import Running, World
from tunegate_core.errors import BadInput


def connect(gateway: Running) -> socket.socket:
    """A plain connection."""
    opened = socket.create_connection(("127.0.0.1", int(gateway.url.rpartition(":")[2])))
    opened.settimeout(5)
    return opened


def test_a_port_that_is_taken_is_told_before_anything_is_started() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(BadInput, match=f"127.0.0.1:{port}: Address already in use; choose another with --port"):
            verify_free("127.0.0.1", port)
    verify_free("127.0.0.1", port)
    verify_free("127.0.0.1", 0)


@pytest.mark.parametrize("sent", [b"", b"GET /livez HTTP/1.1\r\nHost: x\r\nX-Slow: "])
def test_a_head_that_does_not_come_is_not_waited_for(
    world: World, sent: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("serving.http.HEADER_SECONDS", 0.1)
    with world.gateway() as gateway, connect(gateway) as slow:
        slow.sendall(sent)
        assert slow.recv(100) == b""


def test_the_head_of_a_second_request_is_not_waited_for_either(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("serving.http.HEADER_SECONDS", 0.2)
    with world.gateway() as gateway, connect(gateway) as slow:
        slow.sendall(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
        assert slow.recv(4096).startswith(b"HTTP/1.1 200")
        slow.sendall(b"GET /livez HTTP/1.1\r\nX-Slow: ")
        assert slow.recv(100) == b""


def test_a_head_that_is_too_long_is_not_read(world: World) -> None:
    with world.gateway() as gateway, connect(gateway) as loud:
        loud.sendall(b"GET /livez HTTP/1.1\r\n" + b"X-Long: " + b"x" * HEADER_BYTES + b"\r\n" * 2)
        with contextlib.suppress(ConnectionResetError):
            assert loud.recv(100) == b""
        assert gateway.http.get("/livez").status_code == 200


@pytest.mark.parametrize("begun", [b"GET /", b"GET /livez HTTP/1.1\r\nX-Long: ", b"GET /livez HTTP/1.1\r\nX-", b"G"])
def test_a_line_without_end_is_not_kept(world: World, begun: bytes) -> None:
    """The parser would keep it all, until the time for a head is over."""
    sent = 0
    with world.gateway() as gateway, connect(gateway) as loud:
        with contextlib.suppress(ConnectionError):
            loud.sendall(begun)
            for _ in range(200):
                loud.sendall(b"x" * 65_536)
                sent += 65_536
            assert loud.recv(100) == b""
        assert sent < 200 * 65_536 or begun == b"G"  # no such method: that is told at once
        assert gateway.http.get("/livez").status_code == 200


def test_a_large_body_behind_a_small_head_is_no_head(world: World) -> None:
    with world.gateway() as gateway:
        long = [{"role": "user", "content": "x" * 900_000}]
        assert [gateway.chat(messages=long).status_code for _ in range(3)] == [200] * 3


def test_the_server_does_not_tell_what_it_is(world: World) -> None:
    with world.gateway() as gateway:
        assert "server" not in gateway.http.get("/livez").headers
