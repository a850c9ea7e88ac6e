"""A gateway before fake engines: real sockets on loopback, a snapshot signed by a real key."""

import hashlib
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from governance.keys import SigningKey, load_or_create
from serving.app import build_gateway
from serving.board import Status
from serving.http import gateway_server
from serving.settings import GatewaySettings
from serving.tables import Tables
from tests.serving.fake_upstream import FakeEngine, running
from tunegate_core.canonical import digest
from tunegate_core.proof.dsse import format_envelope, pae
from tunegate_core.snapshot import SNAPSHOT_TYPE, Grant, KeyGrant, Limits, Route, Snapshot, Staleness, engine_name

BASE = digest(b"base")
SECRET = "s" * 43
QUESTION = {"messages": [{"role": "user", "content": "Hello?"}]}


def grant(subject: str) -> Grant:
    """A released version; its adapter is its name."""
    return Grant(
        subject=subject, adapter=digest(subject.encode()), base=BASE, template=BASE, statement=BASE, rank=4
    )  # fmt: skip


def api_key(number: int = 1, **changes: Any) -> KeyGrant:
    """A key that may ask and give feedback; `bearer(number)` opens it."""
    fields: dict[str, Any] = {"scopes": ("infer", "feedback"), "limits": Limits()}
    return KeyGrant(
        key_id=f"{number:016x}", secret_sha256=hashlib.sha256(SECRET.encode()).hexdigest(), **{**fields, **changes}
    )


def bearer(number: int = 1) -> str:
    """What a caller gives as its key."""
    return f"tg_{number:016x}_{SECRET}"


@dataclass
class World:
    """Everything around a gateway, to be changed by a test; `publish` makes it hold."""

    folder: Path
    signer: SigningKey
    engine: FakeEngine
    url: str
    tables: Path  # migrated and empty
    epoch: int = 0
    routes: tuple[Route, ...] = (Route(alias="bot", champion="bot@1"),)
    grants: tuple[Grant, ...] = (grant("bot@1"), grant("bot@2"))
    keys: tuple[KeyGrant, ...] = (api_key(),)
    staleness: Staleness = field(default_factory=Staleness)
    events: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    engines: list[Status] | None = None

    @property
    def snapshot(self) -> Path:
        """The signed file."""
        return self.folder / "snapshot.dsse"

    def signed(self) -> bytes:
        """The snapshot as it is now, in its envelope."""
        payload = Snapshot(
            epoch=self.epoch, routes=self.routes, grants=self.grants, keys=self.keys, staleness=self.staleness
        ).canonical()
        return format_envelope(payload, "", self.signer.sign(pae(SNAPSHOT_TYPE, payload)), SNAPSHOT_TYPE)

    def publish(self, **changes: Any) -> None:
        """Write the next snapshot, whole or not at all."""
        for name, value in changes.items():
            setattr(self, name, value)
        self.epoch += 1
        draft = self.snapshot.with_suffix(".draft")
        draft.write_bytes(self.signed())
        draft.replace(self.snapshot)

    def exchange(self, _: bytes) -> list[Status]:
        """One engine that has whatever the fake has, or the engines that the test named."""
        if self.engines is not None:
            return self.engines
        return [Status("replica-1", self.url, self.engine.key, self.epoch, frozenset(self.engine.names))]

    def settings(self, **changes: Any) -> GatewaySettings:
        """What the gateway is built from."""
        fields: dict[str, Any] = {
            "snapshot": self.snapshot,
            "public_raw": self.signer.public_raw,
            "records": self.folder / "records.sqlite",
            "pseudonyms": self.folder / "pseudonyms",
            "exchange": self.exchange,
            "recorder": lambda kind, body: self.events.append((kind, body)),
            "load_seconds": 2.0,
        }
        return GatewaySettings(**{**fields, **changes})

    @contextmanager
    def gateway(self, **changes: Any) -> Iterator["Running"]:
        """A running gateway, ready, with a client that has the first key."""
        if not self.snapshot.exists():
            self.publish()
        if not (self.folder / "records.sqlite").exists():
            shutil.copy(self.tables, self.folder / "records.sqlite")
        app = build_gateway(self.settings(**changes))
        with running(app, gateway_server) as url, client(url) as http:
            wait_until(lambda: app.state.desk.replicas.known != ())
            yield Running(app.state.desk, url, http)


@dataclass
class Running:
    """A gateway that answers."""

    desk: Any
    url: str
    http: httpx.Client

    def chat(self, **changes: Any) -> httpx.Response:
        """Ask for a chat completion."""
        return self.http.post("/v1/chat/completions", json={"model": "bot", **QUESTION, **changes})

    def rows(self, count: int = 1) -> list[dict[str, Any]]:
        """The request records, once there are so many."""
        from sqlalchemy import select

        from serving.tables import requests

        tables = self.desk.records._tables

        def read() -> list[dict[str, Any]]:
            with tables.reading() as connection:
                return [dict(row) for row in connection.execute(select(requests).order_by("seq")).mappings()]

        wait_until(lambda: len(read()) >= count)
        return read()


def client(url: str, key: str | None = None) -> httpx.Client:
    """A client with a key."""
    return httpx.Client(base_url=url, headers={"Authorization": f"Bearer {key or bearer()}"}, timeout=10)


@contextmanager
def timed(what: str) -> Iterator[None]:
    """Say how long the block took, for docs/reliability.md: shown with -s."""
    begun = time.monotonic()
    yield
    print(f"measured: {what}: {time.monotonic() - begun:.3f} s")


def wait_until(is_so: Callable[[], Any], seconds: float = 30.0) -> None:
    """Wait for something that happens beside us."""
    until = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < until, "it did not happen"
        time.sleep(0.005)


@pytest.fixture(autouse=True)
def written_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Request records reach their table sooner than in service."""
    monkeypatch.setattr("serving.records.WRITE_SECONDS", 0.02)


@pytest.fixture(scope="session")
def signer(tmp_path_factory: pytest.TempPathFactory) -> SigningKey:
    return load_or_create(tmp_path_factory.mktemp("keys"), "ledger")


class Socket:
    """Where one engine after another is plugged in, so that the tests share a server."""

    engine: Any = FakeEngine()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await self.engine(scope, receive, send)


@pytest.fixture(scope="session")
def socket() -> Iterator[tuple[Socket, str]]:
    plugged = Socket()
    with running(plugged) as url:
        yield plugged, url


@pytest.fixture(scope="session")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tables") / "records.sqlite"
    Tables(path).close()
    return path


@pytest.fixture
def world(tmp_path: Path, signer: SigningKey, socket: tuple[Socket, str], migrated: Path) -> World:
    """One engine with both versions of bot loaded."""
    engine = FakeEngine(names={engine_name(grant(subject)) for subject in ("bot@1", "bot@2")})
    socket[0].engine = engine
    return World(tmp_path, signer, engine, socket[1], migrated)
