"""Canary analysis sees what was recorded: each request once, what was said of it later, nothing of other arms."""

import shutil

import pytest
from sqlalchemy import insert

from serving.observing import WAITING_MS, Cursor, observed
from serving.sealing import now_ms
from serving.tables import Tables, feedback, requests
from tests.serving.conftest import World, api_key, grant, wait_until
from tests.serving.fake_upstream import Fault
from tests.serving.test_records import ROW
from tunegate_core.snapshot import Route, engine_name

ARMS = {"bot@1": "champion", "bot@2": "canary"}
HALVES = (Route(alias="bot", champion="bot@1", canary="bot@2", canary_bp=5000),)


def test_requests_and_thumbs_are_read_once(world: World) -> None:
    world.publish(routes=HALVES)
    with world.gateway() as gateway:
        tables = gateway.desk.records._tables
        answers = [gateway.chat(user=f"user-{number % 8}", stream=number % 2 == 0) for number in range(16)]
        gateway.rows(16)
        found, cursor = observed(tables, "bot", ARMS, Cursor())
        assert len(found) == 16 and {seen.arm for seen in found} == {"champion", "canary"}
        assert all(seen.ok and seen.ttft_ms and seen.empty is False and seen.at > 1e9 for seen in found)
        assert len({seen.unit for seen in found}) == 8
        assert len({(seen.unit, seen.arm) for seen in found}) == 8  # one unit, one arm
        assert observed(tables, "bot", ARMS, cursor) == ([], cursor)
        response_id = answers[0].json()["id"] if "id" in answers[0].text[:5] else answers[1].json()["id"]
        gateway.http.post("/v1/feedback", json={"response_id": response_id, "thumb": "down"})
        gateway.http.post("/v1/feedback", json={"response_id": response_id, "rating": 3})
        gateway.http.post("/v1/feedback", json={"response_id": response_id, "score": 0.25})
        found, _ = observed(tables, "bot", ARMS, cursor)
        assert [(seen.thumb, seen.score, seen.ok) for seen in found] == [(-1, None, None), (None, 0.25, None)]
        assert found[0].arm == ARMS[answers[1].json()["model"]]


def test_what_is_said_before_the_answers_row_is_written_is_not_passed_over(world: World) -> None:
    """A row may wait, for a disk or for its text; what is said of the answer is durable at once."""
    tables, known = (
        Tables(shutil.copy(world.tables, world.folder / "records.sqlite")),
        {**ROW, "id": "a", "at": now_ms()},
    )
    try:
        with tables.writing() as connection:
            connection.execute(insert(requests), known)
            for name, thumb in (("lost", 1), ("b", -1), ("a", 1)):
                said = {"request": name, "at": now_ms() - (WAITING_MS if name == "lost" else 0), "key_id": "k"}
                connection.execute(insert(feedback), said | {"thumb": thumb})
        found, cursor = observed(tables, "bot", ARMS, Cursor())
        assert [seen.thumb for seen in found] == [None]
        with tables.writing() as connection:
            connection.execute(insert(requests), known | {"id": "b"})
        found, cursor = observed(tables, "bot", ARMS, cursor)
        assert [seen.thumb for seen in found] == [None, -1, 1]
        assert observed(tables, "bot", ARMS, cursor) == ([], cursor)
    finally:
        tables.close()


@pytest.mark.parametrize(
    ("fault", "status", "is_ok"), [("status", 500, False), ("status", 400, None), ("cut", 200, False), ("", 200, True)]
)
def test_faults_are_told_from_mistakes(world: World, fault: Fault, status: int, is_ok: bool | None) -> None:
    world.engine.fault, world.engine.status, world.engine.gap_s = fault, status, 0.01
    with world.gateway() as gateway:
        gateway.chat(stream=True)
        gateway.rows()
        found, _ = observed(gateway.desk.records._tables, "bot", ARMS, Cursor())
    assert [seen.ok for seen in found] == [is_ok]
    assert found[0].refused is (False if is_ok else None)


def test_probes_shadows_and_other_routes_are_not_compared(world: World) -> None:
    routes = (*HALVES, Route(alias="other", champion="bot@2", shadow="bot@1", shadow_bp=10_000))
    world.publish(routes=routes, keys=(api_key(scopes=("infer", "admin")),))
    with world.gateway() as gateway:
        gateway.chat(model="bot@2")
        gateway.chat(model="other")
        gateway.rows(3)
        assert observed(gateway.desk.records._tables, "bot", ARMS, Cursor())[0] == []
        assert observed(gateway.desk.records._tables, "other", {"bot@2": "champion"}, Cursor())[0]


def test_what_was_withdrawn_says_nothing_about_the_version(world: World) -> None:
    world.engine.gap_s, world.engine.words = 0.02, ("x",) * 100
    from concurrent.futures import ThreadPoolExecutor

    with world.gateway() as gateway, ThreadPoolExecutor(1) as pool:
        asked = pool.submit(gateway.chat, stream=True)
        wait_until(lambda: world.engine.active == 1)
        world.publish(routes=(Route(alias="bot", champion="bot@1", killed=True),))
        asked.result()
        gateway.rows()
        assert [seen.ok for seen in observed(gateway.desk.records._tables, "bot", ARMS, Cursor())[0]] == [None]
    assert engine_name(grant("bot@1")) in world.engine.names
