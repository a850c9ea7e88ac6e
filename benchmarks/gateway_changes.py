"""From a decision to the last answer that it ended, under load: promote, rollback and kill.

Ledger, snapshot and gateway are the real ones; the engine is a fake that has all versions, so what is measured is how a
decision travels. Callers ask again as soon as they have their answer; times count from before the decision is recorded,
so the ledger's own work is in them.
"""

import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from serving.http import gateway_server
from tests.serving.fake_upstream import FakeEngine, running
from tests.tunegate.conftest import CLEAR_GAIN, Told
from tunegate import api_keys, routing
from tunegate.house import House
from tunegate.publishing import publish, snapshot_file
from tunegate_core.proof.keys import parse_public_key
from tunegate_core.snapshot import engine_name

CALLERS = 4
SETTLE_SECONDS = 1.0
ASK = {"model": "bot", "messages": [{"role": "user", "content": "Hello?"}]}


@dataclass
class Answers:
    """When each answer ended (`perf_counter`), and the version it was by; empty for none."""

    seen: list[tuple[float, str]] = field(default_factory=list)

    def last(self, version: str, since: float) -> float:
        """Milliseconds from then to the last answer by this version."""
        return 1000 * max([at - since for at, by in self.seen if by == version and at > since], default=0.0)

    def first(self, version: str, since: float) -> float:
        """Milliseconds from then to the first."""
        return 1000 * min([at - since for at, by in self.seen if by == version and at > since], default=-0.001)


def measure(rounds: int) -> dict[str, Any]:
    """Median and largest, over so many rounds of each kind of decision."""
    with tempfile.TemporaryDirectory() as folder, endpoint(Path(folder)) as (house, url, key):
        kinds: dict[str, tuple[Callable[[], Any], str, str, Callable[[], Any]]] = {
            "promote": (lambda: routing.promote(house, "bot@2", "champion"), "bot@1", "bot@2", lambda: None),
            "rollback": (lambda: routing.roll_back(house, "bot"), "bot@2", "bot@1", lambda: None),
            "kill": (lambda: routing.kill(house, "bot"), "bot@1", "", lambda: routing.unkill(house, "bot")),
        }
        took: dict[str, list[tuple[float, float]]] = {name: [] for name in kinds}
        for _ in range(rounds):
            for name, (change, old, new, undo) in kinds.items():
                took[name].append(once(url, key, change, old, new))
                undo()
                time.sleep(SETTLE_SECONDS)
    return {name: summary(times) for name, times in took.items()}


def summary(times: list[tuple[float, float]]) -> dict[str, Any]:
    """Of the last old answers and the first new ones: median and largest, in milliseconds."""
    columns = dict(zip(("last_old_ms", "first_new_ms"), zip(*times, strict=True), strict=True))
    return {
        name: {"p50": round(statistics.median(values), 1), "max": round(max(values), 1)}
        for name, values in columns.items()
    }


def once(url: str, key: str, change: Callable[[], Any], old: str, new: str) -> tuple[float, float]:
    """One decision under load. Raises RuntimeError when the old version still answered at the end."""
    answers, is_over = Answers(), threading.Event()
    threads = [threading.Thread(target=ask, args=(url, key, answers, is_over)) for _ in range(CALLERS)]
    for thread in threads:
        thread.start()
    time.sleep(SETTLE_SECONDS)
    begun = time.perf_counter()
    change()
    time.sleep(SETTLE_SECONDS)
    is_over.set()
    for thread in threads:
        thread.join()
    last = answers.last(old, begun)
    if last > 1000 * SETTLE_SECONDS:
        raise RuntimeError(f"{old} still answers after {last:.0f} ms")
    return last, answers.first(new, begun)


def ask(url: str, key: str, answers: Answers, is_over: threading.Event) -> None:
    """One caller."""
    with httpx.Client(base_url=url, headers={"Authorization": f"Bearer {key}"}, timeout=10) as http:
        while not is_over.is_set():
            answer = http.post("/v1/chat/completions", json=ASK)
            answers.seen.append((time.perf_counter(), answer.headers.get("x-served-model", "")))


@contextmanager
def endpoint(folder: Path) -> Iterator[tuple[House, str, str]]:
    """A home with two releases, and a gateway over it before a fake engine that has both: house, URL and key."""
    from serving.app import build_gateway
    from serving.settings import GatewaySettings
    from serving.static import StaticUpstreams

    told = Told(folder / "home", folder)
    for version in (1, 2):
        told.judge(told.plan(version), CLEAR_GAIN)
    house = told.house
    key = api_keys.create(house, "a benchmark", ("infer",))["key"]
    names = {engine_name(grant) for grant in publish(house).grants}
    public = parse_public_key(house.public_key)
    with running(FakeEngine(names=names, key="", gap_s=0.002)) as upstream:
        settings = GatewaySettings(
            snapshot=snapshot_file(house),
            public_raw=public,
            records=folder / "records.sqlite",
            pseudonyms=folder / "pseudonyms",
            exchange=StaticUpstreams([upstream], "", public).exchange,
            recorder=lambda kind, body: None,
        )
        with running(build_gateway(settings), gateway_server) as url:
            while httpx.get(f"{url}/readyz").status_code != httpx.codes.OK:
                time.sleep(0.05)
            yield house, url, key
