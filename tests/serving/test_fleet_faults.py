"""Two real replicas under Ray Serve, with fake engines: what happens to callers when parts are killed, and how soon
what was decided holds on every replica."""

import json
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import numpy
import psutil
import pytest
from safetensors.numpy import save

from governance.statement import sign_statement
from serving import fleet as fleet_module
from serving.engine import EngineSettings
from serving.fleet import Fleet, Scale, deployed
from serving.replica import ReplicaSettings
from tests.serving.conftest import QUESTION, Running, World, client, timed, wait_until
from tests.serving.fake_engine import FakedReplica, fingerprint
from tests.serving.fake_upstream import FakeEngine
from tunegate_core.canonical import digest
from tunegate_core.snapshot import Grant, Route, engine_name
from tunegate_core.store import Store

pytestmark = [pytest.mark.fault, pytest.mark.timeout(600)]
LAYER = "base_model.model.model.layers.0.self_attn.q_proj"
SLOW = {"messages": [{"role": "user", "content": "slow"}], "stream": True, "max_tokens": 500}
VERSIONS = 9


class Adapters:
    """Released adapters in a store: each with weights of its own."""

    def __init__(self, folder: Path, signer: Any):
        self.store, self._signer = Store(folder / "store"), signer
        (folder / "base").mkdir()
        (folder / "base" / "config.json").write_text("{}")
        self.base = self.store.put_tree(folder / "base")
        self.words: dict[str, str] = {}
        self.grants = {f"bot@{number}": self._release(folder, number) for number in range(1, VERSIONS)}

    def _release(self, folder: Path, number: int) -> Grant:
        subject, place = f"bot@{number}", folder / f"adapter-{number}"
        place.mkdir()
        arrays = {f"{LAYER}.lora_A.weight": numpy.full((4, 8), number, "float32")}
        weights = save(arrays | {f"{LAYER}.lora_B.weight": numpy.zeros((8, 4), "float32")})
        (place / "adapter_model.safetensors").write_bytes(weights)
        (place / "adapter_config.json").write_text(json.dumps({"peft_type": "LORA", "r": 4}))
        tree = self.store.put_tree(place)
        files = {file.path: file.sha256.removeprefix("sha256:") for file in self.store.get_tree(tree).files}
        statement = {
            "subject": [{"name": subject, "digest": {"sha256": tree.removeprefix("sha256:")}}],
            "predicate": {"base": {"tree": self.base}, "outcome": "PASS", "files": files},
        }
        signed = self.store.put(sign_statement(statement, self._signer.sign, self._signer.key_id))
        self.words[subject] = "".join(fingerprint(weights))
        return Grant(subject=subject, adapter=tree, base=self.base, template=digest(b"t"), statement=signed, rank=4)


@pytest.fixture(scope="module")
def adapters(tmp_path_factory: pytest.TempPathFactory, signer: Any) -> Adapters:
    return Adapters(tmp_path_factory.mktemp("adapters"), signer)


@pytest.fixture(scope="module")
def fleet(adapters: Adapters, tmp_path_factory: pytest.TempPathFactory, signer: Any) -> Iterator[Fleet]:
    """Two replicas, for all tests of this module."""
    settings = ReplicaSettings(
        store=adapters.store.url,
        base=adapters.base,
        public=signer.public_raw,
        cache=str(tmp_path_factory.mktemp("cache")),
        engine=EngineSettings(),
    )
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(fleet_module, "Replica", FakedReplica)
        with deployed(settings, Scale(replicas=2, cpus=0.1), None) as running:
            yield running


@pytest.fixture(scope="module")
def world(adapters: Adapters, tmp_path_factory: pytest.TempPathFactory, signer: Any, migrated: Path) -> World:
    """One world for all tests: epochs only rise."""
    made = World(tmp_path_factory.mktemp("world"), signer, FakeEngine(), "", migrated)
    made.publish(routes=(Route(alias="bot", champion="bot@1"),), grants=tuple(adapters.grants.values()))
    return made


@pytest.fixture
def gateway(world: World, fleet: Fleet, adapters: Adapters) -> Iterator[Running]:
    """A gateway before both replicas, with every version granted and bot@1 routed; ready."""
    world.publish(routes=(Route(alias="bot", champion="bot@1"),), grants=tuple(adapters.grants.values()))
    with world.gateway(exchange=fleet.exchange, load_seconds=8.0) as running:
        wait_until(lambda: is_ready(running), 60)
        yield running


def is_ready(gateway: Running) -> bool:
    """Both replicas are there, and have what is routed now, not what was before their last turn."""
    view, known = gateway.desk.live.view, gateway.desk.replicas.known
    return [engine.epoch for engine in known] == [view.epoch] * 2 and gateway.http.get("/readyz").status_code == 200


def stats(gateway: Running) -> list[dict[str, Any]]:
    """What each engine says of itself."""
    found = []
    for engine in gateway.desk.replicas.known:
        with suppress(httpx.HTTPError):
            found.append(httpx.get(f"{engine.url}/stats").json() | {"url": engine.url})
    return found


def is_gone(process: psutil.Process) -> bool:
    """Whether it has ended, reaped or not."""
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def text_of(answer: str) -> str:
    """The words of a streamed answer."""
    lines = [line.removeprefix("data: ") for line in answer.split("\n") if line.startswith("data: {")]
    return "".join(
        choice["delta"].get("content", "") for line in lines for choice in json.loads(line).get("choices", ())
    )


def told(what: str, seconds: float) -> None:
    """For docs/reliability.md: shown with -s."""
    print(f"measured: {what}: {seconds:.2f} s")


def test_a_storm_on_a_cold_version_loads_it_once(world: World, gateway: Running, adapters: Adapters) -> None:
    before = [engine["loads"].get(engine_name(adapters.grants["bot@2"]), 0) for engine in stats(gateway)]
    assert before == [0, 0]
    world.publish(routes=(Route(alias="bot", champion="bot@2"),))
    wait_until(lambda: gateway.desk.live.view.epoch == world.epoch)
    begun = time.monotonic()
    with ThreadPoolExecutor(32) as pool:
        answers = [future.result() for future in [pool.submit(gateway.chat, stream=True) for _ in range(32)]]
    told("32 first requests for a cold version, all answered", time.monotonic() - begun)
    assert {answer.status_code for answer in answers} == {200}
    assert {text_of(answer.text) for answer in answers} == {adapters.words["bot@2"]}
    wait_until(lambda: is_ready(gateway), 20)
    assert [engine["loads"][engine_name(adapters.grants["bot@2"])] for engine in stats(gateway)] == [1, 1]


def test_versions_come_and_go_under_load(world: World, gateway: Running, adapters: Adapters) -> None:
    """Nobody fails, and nobody gets the words of another version than he is told."""
    wrong: list[Any] = []
    seen: set[str] = set()
    took: list[float] = []
    is_over = threading.Event()

    def ask() -> None:
        with client(gateway.url) as http:
            while not is_over.is_set():
                begun = time.monotonic()
                answer = http.post(
                    "/v1/chat/completions", json={"model": "bot", **QUESTION, "stream": True}, timeout=30
                )
                took.append(time.monotonic() - begun)
                version = answer.headers.get("x-served-model", "")
                seen.add(version)
                if answer.status_code != 200 or text_of(answer.text) != adapters.words.get(version):
                    wrong.append((answer.status_code, version, answer.text[:300]))

    with ThreadPoolExecutor(6) as pool:
        asking = [pool.submit(ask) for _ in range(6)]
        for champion in (3, 4, 5, 6, 3, 4):
            world.publish(routes=(Route(alias="bot", champion=f"bot@{champion}"),))
            time.sleep(1.2)
        is_over.set()
        for one in asking:
            one.result()
    told(f"versions come and go: the slowest of {len(took)} answers", max(took))
    assert not wrong, wrong[:3]
    assert {f"bot@{number}" for number in (3, 4, 5, 6)} <= seen
    wanted = {engine_name(adapters.grants["bot@4"])}
    wait_until(lambda: all(set(engine["names"]) == wanted for engine in stats(gateway)), 10)


def test_a_revoked_version_stops_on_every_replica_within_a_second(
    world: World, gateway: Running, adapters: Adapters
) -> None:
    name = engine_name(adapters.grants["bot@1"])
    with ThreadPoolExecutor(6) as pool:
        asked = [pool.submit(gateway.chat, **SLOW) for _ in range(6)]
        wait_until(lambda: [engine["active"] for engine in stats(gateway)] == [3, 3], 10)
        left = tuple(grant for subject, grant in adapters.grants.items() if subject != "bot@1")
        world.publish(routes=(), grants=left)
        begun = time.monotonic()
        answers = [future.result() for future in asked]
        streams = time.monotonic() - begun
        wait_until(lambda: not any(name in engine["names"] or engine["active"] for engine in stats(gateway)), 5)
        everywhere = time.monotonic() - begun
    told("revoked: last stream ended", streams)
    told("revoked: unloaded on both replicas, nothing generated any more", everywhere)
    assert streams < 1 and everywhere < 1.5  # a second, and a turn of a busy machine
    assert all("model_withdrawn" in answer.text and "[DONE]" not in answer.text for answer in answers)
    assert gateway.chat().status_code == 404


@pytest.mark.parametrize("victim", ["engine", "replica"])
def test_a_part_that_is_killed_is_noticed_and_replaced(gateway: Running, adapters: Adapters, victim: str) -> None:
    """Streams on it end with an error; everyone else is answered by the other; Ray brings another."""
    with ThreadPoolExecutor(6) as pool:
        ended: list[float] = []
        asked = [pool.submit(gateway.chat, **SLOW) for _ in range(6)]
        for one in asked:
            one.add_done_callback(lambda _: ended.append(time.monotonic()))
        wait_until(lambda: [engine["active"] for engine in stats(gateway)] == [3, 3], 20)
        time.sleep(0.5)  # each has said something: an answer that has not begun is given by the other engine instead
        lost = stats(gateway)[0]
        process = psutil.Process(lost["pid"])
        guard = process.parent()
        assert guard is not None
        chosen = process if victim == "engine" else guard.parent()
        assert chosen is not None
        chosen.kill()
        begun = time.monotonic()
        answers: list[httpx.Response] = []
        while len(answers) < 20 or time.monotonic() - begun < 2:
            answers.append(gateway.chat(stream=True))
        assert {answer.status_code for answer in answers} == {200}
        assert {text_of(answer.text) for answer in answers} == {adapters.words["bot@1"]}
        wait_until(lambda: ended, 15)
        told(f"{victim} killed: its stream ended with an error", ended[0] - begun)
        broken = next(future for future in asked if future.done()).result()
        assert "engine_lost" in broken.text and "[DONE]" not in broken.text
        wait_until(lambda: lost["url"] not in [engine.url for engine in gateway.desk.replicas.known], 60)
        wait_until(lambda: is_ready(gateway), 90)
        told(f"{victim} killed: another is ready", time.monotonic() - begun)
        wait_until(lambda: is_gone(process) and is_gone(guard), 10)  # the guard ends a moment after the engine
        [future.result() for future in asked]


def test_the_board_is_lost_and_comes_back(world: World, gateway: Running) -> None:
    """Where gateway and replicas meet is not in the way of an answer."""
    import ray

    from serving.board import NAME, NAMESPACE

    ray.kill(ray.get_actor(NAME, NAMESPACE), no_restart=False)
    begun = time.monotonic()
    slowest = 0.0
    while time.monotonic() - begun < 3:
        asked = time.monotonic()
        assert gateway.chat().status_code == 200
        slowest = max(slowest, time.monotonic() - asked)
    told("board lost: slowest answer in the 3 s after it", slowest)
    world.publish(routes=(Route(alias="bot", champion="bot@7"),))
    with timed("board lost: until a version that no engine had answered"):
        wait_until(lambda: gateway.chat().json()["model"] == "bot@7", 20)


def test_a_version_whose_file_was_changed_is_refused_with_its_reason(
    world: World, fleet: Fleet, gateway: Running, adapters: Adapters
) -> None:
    """The others go on answering; what is lacking is said."""
    grant = adapters.grants["bot@8"]
    weights = next(file for file in adapters.store.get_tree(grant.adapter).files if file.path.endswith("safetensors"))
    name = weights.sha256.removeprefix("sha256:")
    blob = Path(adapters.store.url) / name[:2] / name[2:]
    blob.chmod(0o644)
    blob.write_bytes(b"tampered")
    world.publish(routes=(Route(alias="bot", champion="bot@1"), Route(alias="other", champion="bot@8")))
    with timed("a changed file: refused, and said so"):
        wait_until(lambda: [s for s in gateway.desk.replicas.known if "bot@8" in s.refused], 20)
    reasons = [status.refused["bot@8"] for status in fleet.exchange(world.signed()) if "bot@8" in status.refused]
    assert reasons and all("sha256" in reason for reason in reasons)
    assert gateway.chat().json()["model"] == "bot@1"
    assert gateway.http.get("/readyz").status_code == 503
    with client(gateway.url) as http:
        http.timeout = httpx.Timeout(40)
        assert http.post("/v1/chat/completions", json={"model": "other", **QUESTION}).status_code == 503
