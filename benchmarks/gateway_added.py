"""What `tunegate gateway` adds to an answer: the same fixed-latency streaming upstream asked directly and through it.

Open loop: requests start at fixed times, whether or not earlier ones have ended, so a slow gateway can't slow the load
down. The gateway has one core to itself; upstream and client share the other. Blocks of the three ways (direct,
gateway, and direct once more as A/A control) come in a shuffled order, so that the machine's mood hits all. Everything
is on: keys, limits, a budget, a route with a canary, request records on disk, metrics.

`added_ms` is the difference of the same quantile: of the whole answer, of the time to the first token, and of the time
between two chunks. `cpu_ms` is the gateway's processor time for one request, which other load on the machine hardly
changes.
"""

import asyncio
import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

FIRST_S, GAP_S, WORDS = 0.05, 0.01, 32
QUANTILES = {"p50": 0.5, "p90": 0.9, "p99": 0.99}
QUESTION = {
    "model": "bot",
    "messages": [{"role": "user", "content": "What is the capital of France?"}],
    "stream": True,
    "stream_options": {"include_usage": True},  # the gateway asks for it in any case: one more event
}
GATEWAY_CORE, OTHER_CORE = 0, 1


@dataclass
class Times:
    """Seconds, of every request of one way."""

    whole: list[float] = field(default_factory=list)
    first: list[float] = field(default_factory=list)
    between: list[float] = field(default_factory=list)
    failed: int = 0
    cpu: float = 0.0  # of the gateway


def measure(rate: int, seconds: float, blocks: int) -> dict[str, Any]:
    """Ask at `rate` a second, `blocks` times `seconds` for each way."""
    with tempfile.TemporaryDirectory() as folder, upstream() as direct, gateway(Path(folder), direct) as (through, pid):
        if (os.cpu_count() or 1) > 1:
            os.sched_setaffinity(0, {OTHER_CORE})
        ways = {"direct": direct, "gateway": through, "control": direct}
        times = {name: Times() for name in ways}
        import uvloop

        uvloop.run(ask_all(ways, times, pid, rate, seconds, blocks))
        memory = resident(pid)
    return {
        "rate_per_s": rate,
        "requests_each": len(times["direct"].whole),
        "failed": {name: found.failed for name, found in times.items()},
        "added_ms": added(times["gateway"], times["direct"]),
        "control_added_ms": added(times["control"], times["direct"]),
        "direct_ms": {name: quantiles(getattr(times["direct"], name)) for name in ("whole", "first", "between")},
        "cpu_ms": round(1000 * (times["gateway"].cpu - times["direct"].cpu) / (rate * seconds * blocks), 3),
        "gateway_rss_mib": round(memory / 2**20, 1),
    }


def added(one: Times, other: Times) -> dict[str, dict[str, float]]:
    """The difference of the same quantiles."""
    found = {}
    for name in ("whole", "first", "between"):
        ours, theirs = quantiles(getattr(one, name)), quantiles(getattr(other, name))
        found[name] = {key: round(ours[key] - theirs[key], 3) for key in QUANTILES}
    return found


def quantiles(seconds: list[float]) -> dict[str, float]:
    """Nearest-rank quantiles in milliseconds."""
    ordered = sorted(seconds)
    return {name: round(1000 * ordered[int(share * (len(ordered) - 1))], 3) for name, share in QUANTILES.items()}


async def ask_all(
    ways: dict[str, str], times: dict[str, Times], pid: int, rate: int, seconds: float, blocks: int
) -> None:
    """All blocks, shuffled; the first of each way warms up and is not counted."""
    import aiohttp

    order = [name for _ in range(blocks) for name in random.sample(sorted(ways), len(ways))]
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        for url in ways.values():
            await ask_block(session, url, Times(), rate, 1.0)
        for name in order:
            before = cpu_seconds(pid)
            await ask_block(session, ways[name], times[name], rate, seconds)
            times[name].cpu += cpu_seconds(pid) - before


async def ask_block(session: Any, url: str, times: Times, rate: int, seconds: float) -> None:
    """Requests that start at fixed times."""
    begin = time.perf_counter()
    tasks = []
    for number in range(int(rate * seconds)):
        await asyncio.sleep(max(0.0, begin + number / rate - time.perf_counter()))
        tasks.append(asyncio.create_task(ask(session, url, times, number)))
    await asyncio.gather(*tasks)


async def ask(session: Any, url: str, times: Times, number: int) -> None:
    """One streamed answer, timed as its pieces arrive."""
    start = last = time.perf_counter()
    body = json.dumps({**QUESTION, "safety_identifier": f"user-{number}"}).encode()
    headers = {"Authorization": f"Bearer {BEARER}", "Content-Type": "application/json"}
    gaps, ended = [], b""
    async with session.post(f"{url}/v1/chat/completions", data=body, headers=headers) as answer:
        async for piece in answer.content.iter_any():
            now = time.perf_counter()
            gaps.append(now - last)
            last, ended = now, piece
    if answer.status != 200 or not ended.endswith(b"data: [DONE]\n\n"):
        times.failed += 1
        return
    times.first.append(gaps[0])
    times.between += gaps[1:]
    times.whole.append(last - start)


KEY_ID, SECRET = "00000000000000aa", "s" * 43
BEARER = f"tg_{KEY_ID}_{SECRET}"


@contextlib.contextmanager
def upstream(pace: str = "steady") -> Iterator[str]:
    """The engine's place: a server in a process of its own; a `quick` one answers four words at once."""
    with serving("upstream", OTHER_CORE, pace) as (url, _):
        yield url


@contextlib.contextmanager
def gateway(folder: Path, engine: str) -> Iterator[tuple[str, int]]:
    """The gateway, in a process of its own: its URL and process id."""
    with serving("gateway", GATEWAY_CORE, str(folder), engine) as found:
        yield found


@contextlib.contextmanager
def serving(what: str, core: int, *arguments: str) -> Iterator[tuple[str, int]]:
    """This file again as a server; its first line of output is its port."""
    command = [sys.executable, "-m", "benchmarks.gateway_added", what, str(core), *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        try:
            port = int(child.stdout.readline() if child.stdout else 0)
            yield f"http://127.0.0.1:{port}", child.pid
        finally:
            child.send_signal(signal.SIGTERM)
            child.wait(30)


def resident(pid: int) -> int:
    """Bytes of memory that a process has."""
    import psutil

    return int(psutil.Process(pid).memory_info().rss)


def cpu_seconds(pid: int) -> float:
    """Processor time that a process has used."""
    import psutil

    used = psutil.Process(pid).cpu_times()
    return float(used.user + used.system)


def main() -> None:
    """A server, in a child process."""
    what, core, *arguments = sys.argv[1:]
    if (os.cpu_count() or 1) > 1:
        os.sched_setaffinity(0, {int(core)})
    (serve_upstream if what == "upstream" else serve_gateway)(*arguments)


def serve_upstream(pace: str) -> None:
    """A fake engine that answers after a fixed time, or at once."""
    from tests.serving.fake_upstream import FakeEngine

    words = tuple(f" word{number}" for number in range(WORDS))
    names = {"bot", *engine_names()}
    if pace == "quick":
        run(FakeEngine(names=names, key="", words=words[:4]))
    else:
        run(FakeEngine(names=names, key="", words=words, first_s=FIRST_S, gap_s=GAP_S))


def serve_gateway(folder: str, engine: str) -> None:
    """The real gateway, with everything on."""
    from serving.app import build_gateway
    from serving.board import Status
    from serving.settings import GatewaySettings

    snapshot, public = Path(folder) / "snapshot.dsse", publish(Path(folder))
    ready = Status("upstream", engine, "", 1, frozenset(engine_names()))
    settings = GatewaySettings(
        snapshot=snapshot,
        public_raw=public,
        records=Path(folder) / "records.sqlite",
        pseudonyms=Path(folder) / "pseudonyms",
        exchange=lambda _: [ready],
        recorder=lambda kind, body: None,
        seal_seconds=5.0,
    )
    run(build_gateway(settings))


def run(app: Any) -> None:
    """Serve on a free port and print it."""
    import socket

    from serving.http import gateway_server

    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(1024)  # who asks too early waits
        print(listening.getsockname()[1], flush=True)
        gateway_server(app, "127.0.0.1", 0).run(sockets=[listening])


def grants() -> list[Any]:
    """Two released versions."""
    from tunegate_core.canonical import digest
    from tunegate_core.snapshot import Grant

    base = digest(b"base")
    return [
        Grant(subject=name, adapter=digest(name.encode()), base=base, template=base, statement=base, rank=4)
        for name in ("bot@1", "bot@2")
    ]


def engine_names() -> list[str]:
    """What the engine calls them."""
    from tunegate_core.snapshot import engine_name

    return [engine_name(grant) for grant in grants()]


def publish(folder: Path) -> bytes:
    """Write a signed snapshot; the raw public key."""
    import hashlib

    from governance.keys import load_or_create
    from tunegate_core.proof.dsse import format_envelope, pae
    from tunegate_core.snapshot import SNAPSHOT_TYPE, KeyGrant, Limits, Route, Snapshot

    plenty = Limits(requests_per_minute=10**6, tokens_per_minute=10**9, budget_tokens=10**12, budget_micros=10**12)
    key = KeyGrant(
        key_id=KEY_ID, secret_sha256=hashlib.sha256(SECRET.encode()).hexdigest(), scopes=("infer",), limits=plenty
    )
    route = Route(alias="bot", champion="bot@1", canary="bot@2", canary_bp=1000)
    payload = Snapshot(epoch=1, routes=(route,), grants=tuple(grants()), keys=(key,)).canonical()
    signer = load_or_create(folder / "keys", "ledger")
    signed = format_envelope(payload, "", signer.sign(pae(SNAPSHOT_TYPE, payload)), SNAPSHOT_TYPE)
    (folder / "snapshot.dsse").write_bytes(signed)
    return signer.public_raw


def table(found: dict[str, Any]) -> list[str]:
    """The figures for people."""
    lines = [f"{found['rate_per_s']} requests/s, {found['requests_each']} each way, failed: {found['failed']}"]
    for title, key in (("gateway adds", "added_ms"), ("control adds", "control_added_ms")):
        for name, values in found[key].items():
            told = "  ".join(f"{quantile} {value:7.3f}" for quantile, value in values.items())
            lines.append(f"{title:13} {name:8} {told} ms")
    return [
        *lines,
        f"the gateway takes {found['cpu_ms']} ms of processor time a request, {found['gateway_rss_mib']} MiB",
    ]


if __name__ == "__main__":
    main()
