"""Feedback from the gateway's table, and from and to a server that speaks Langfuse's paths; away, it loses nothing."""

import base64
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from sqlalchemy import insert

from eval.feedback.entry import Entry
from serving import tables
from serving.records import keep
from serving.tables import Tables
from tests.tunegate.rated import said
from tunegate.feedback import record, recorded
from tunegate.feedback_sources import import_gateway, import_langfuse, send
from tunegate.house import House
from tunegate_core.errors import BadInput, NotFound, ResourcesUnavailable

NOW = "2026-01-31T12:00:00.000Z"
TRACE = "0123456789abcdef0123456789abcdef"
KEYS = "Basic " + base64.b64encode(b"pk-lf-1:sk-lf-1").decode()


@dataclass
class Project:
    """What a Langfuse project holds. `status`: what it answers to everything instead, when it is away."""

    scores: list[dict[str, Any]] = field(default_factory=list)
    taken: list[dict[str, Any]] = field(default_factory=list)
    status: int = 200
    page: int = 2
    url: str = ""

    def take(self, scores: list[dict[str, Any]]) -> Any:
        """A batch of scores."""
        self.taken += scores
        return {"scores": [], "errors": [], "results": [], "id": "x"}

    def get(self, path: str, query: dict[str, str]) -> Any:
        """The paths and fields of Langfuse's OpenAPI description, v3 for scores."""
        if path == "/api/public/v3/scores":
            assert query["source"] == "ANNOTATION" and query["fields"] == "details,subject,annotation"
            start = int(query.get("cursor", 0))
            more = {"cursor": str(start + self.page)} if start + self.page < len(self.scores) else {}
            return {"data": self.scores[start : start + self.page], "meta": {"limit": self.page, **more}}
        number = int(query.get("page", 1))
        meta = {"page": number, "limit": 1, "totalItems": 2, "totalPages": 2}
        if path == "/api/public/annotation-queues":
            queue = {"id": f"q{number}", "name": f"queue {number}", "scoreConfigIds": [], "createdAt": NOW}
            return {"data": [{**queue, "description": None, "updatedAt": NOW}], "meta": meta}
        queue_id = path.split("/")[-2]
        item = {"id": f"i{number}", "queueId": queue_id, "objectId": TRACE, "objectType": "TRACE", "createdAt": NOW}
        status = "COMPLETED" if number == 1 else "PENDING"
        return {"data": [{**item, "status": status, "updatedAt": NOW}], "meta": meta}


def score(number: int, kind: str, value: Any, name: str = "quality", **more: Any) -> dict[str, Any]:
    return {
        "id": f"s{number}", "projectId": "p", "name": name, "value": value, "dataType": kind, "source": "ANNOTATION",
        "timestamp": NOW, "environment": "default", "createdAt": NOW, "updatedAt": NOW, "authorUserId": "u1",
        "comment": None, "metadata": {}, "configId": None, "queueId": None,
        "subject": {"kind": "trace", "id": TRACE}, **more,
    }  # fmt: skip


@pytest.fixture
def project(monkeypatch: pytest.MonkeyPatch) -> Iterator[Project]:
    project = Project()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            where = urlsplit(self.path)
            query = {name: values[0] for name, values in parse_qs(where.query).items()}
            self.answer(lambda: project.get(where.path, query))

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            self.answer(lambda: project.take(body if isinstance(body, list) else body["scores"]))

        def answer(self, work: Any) -> None:
            status = 401 if self.headers["authorization"] != KEYS else project.status
            data = json.dumps(work() if status == 200 else {"message": "no"}).encode()
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *told: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    project.url = f"http://127.0.0.1:{server.server_port}"
    for name, value in (("BASE_URL", project.url), ("PUBLIC_KEY", "pk-lf-1"), ("SECRET_KEY", "sk-lf-1")):
        monkeypatch.setenv(f"LANGFUSE_{name}", value)
    yield project
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def house(home: Path) -> Iterator[House]:
    house = House(home, f"sqlite:///{home / 'ledger.sqlite'}")
    yield house
    if house.has_ledger:
        house.existing_ledger.close()


def test_what_people_said_in_langfuse_comes_here_once(house: House, project: Project) -> None:
    project.scores = [
        score(1, "BOOLEAN", True, comment="good"),
        score(2, "NUMERIC", 4.0, name="rating"),
        score(3, "NUMERIC", 7.0, name="tone", queueId="q1"),
        score(4, "CORRECTION", "say it so"),
        score(5, "TEXT", "too long"),
        score(6, "NUMERIC", 0.73, name="tone"),
        score(7, "CATEGORICAL", "fine"),
        score(8, "BOOLEAN", True, subject=None),
    ]
    done = import_langfuse(house)
    assert done["recorded"] == 5
    assert sum(done["left_out"].values()) == 3 and "it is about nothing" in done["left_out"]
    assert done["queues"] == {"queue 1": {"completed": 1, "pending": 1}, "queue 2": {"completed": 1, "pending": 1}}
    found = recorded(house).entries
    assert [(e.kind, e.value, e.criterion) for e in found] == [
        ("thumb", "up", None), ("rating", 4, None), ("rubric", 7, "tone"), ("correction", None, None),
        ("comment", None, None),
    ]  # fmt: skip
    assert {(e.item, e.author, e.source, e.consent) for e in found} == {(TRACE, "u1", "langfuse", False)}
    assert import_langfuse(house)["recorded"] == 0
    project.scores[0] = score(1, "BOOLEAN", False, updatedAt="2026-02-01T12:00:00.000Z")
    assert import_langfuse(house)["recorded"] == 1
    assert [e.value for e in recorded(house).standing() if e.kind == "thumb"] == ["down"]


def test_langfuse_away_loses_nothing_and_hears_everything_once_it_is_back(house: House, project: Project) -> None:
    project.status = 503
    record(house, [said(1, True), said(2, False)], "file")
    with pytest.raises(ResourcesUnavailable, match="503"):
        send(house)
    record(house, [Entry(kind="thumb", item=f"req-{TRACE}", author="ann", value="up", origin="test")], "file")
    assert len(recorded(house).entries) == 3 and not project.taken
    project.status = 200
    assert send(house) == {"to": "langfuse", "sent": 3}
    assert send(house) == {"to": "langfuse", "sent": 0}
    assert len({one["id"] for one in project.taken}) == 3
    thumb = project.taken[-1]
    assert (thumb["name"], thumb["value"], thumb["dataType"], thumb["traceId"]) == ("thumb", 1.0, "BOOLEAN", TRACE)
    assert all(len(one["traceId"]) == 32 for one in project.taken)
    told = json.dumps(project.taken)
    assert not any(word in told for word in ("ann", "ours", "theirs", "explain"))


def test_a_batch_sent_before_a_crash_is_sent_again_under_the_same_ids(
    house: House, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    record(house, [said(1, True)], "file")

    def crash(*told: object, **more: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(type(house.ledger), "append", crash)
        with pytest.raises(KeyboardInterrupt):
            send(house)
    send(house)
    assert len(project.taken) == 2 and project.taken[0]["id"] == project.taken[1]["id"]


def test_wrong_keys_and_nobody_there(house: House, project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LANGFUSE_SECRET_KEY", "sk-lf-other")
    with pytest.raises(BadInput, match="refused the keys"):
        import_langfuse(house)
    monkeypatch.setenv("LANGFUSE_BASE_URL", "http://127.0.0.1:9")
    with pytest.raises(ResourcesUnavailable, match="can't be reached"):
        import_langfuse(house)
    assert not recorded(house).entries


def test_the_gateways_table_is_read_from_where_it_was_left(house: House) -> None:
    with pytest.raises(NotFound):
        import_gateway(house)
    kept = Tables(house.home / "serving" / "requests.sqlite")
    asked = keep(1, {"prompt": "why?", "answer": "because"}, str)
    better = keep(1, {"correction": "therefore", "comment": "wrong word"}, str)
    request: dict[str, Any] = {
        column.name: 0 for column in tables.requests.c if not column.nullable and column.name != "seq"
    }
    request |= {"id": "req-1", "key_id": "tg_key", "version": "bot@1", "text": asked.hash}
    row = {"request": "req-1", "at": 1_700_000_000_000, "key_id": "tg_key", "thumb": None, "rating": None, "text": None}
    with kept.writing() as connection:
        connection.execute(insert(tables.requests), request)
        connection.execute(insert(tables.texts), [vars(asked), vars(better)])
        connection.execute(insert(tables.feedback), [{**row, "thumb": -1, "text": better.hash}, {**row, "rating": 2}])
    assert import_gateway(house)["recorded"] == 3
    found = recorded(house).entries
    assert [(e.kind, e.value) for e in found] == [("thumb", "down"), ("correction", None), ("rating", 2)]
    assert (found[1].prompt, found[1].answer_a, found[1].correction) == ("why?", "because", "therefore")
    assert {(e.a, e.author, e.consent) for e in found} == {("bot@1", "tg_key", False)}
    assert import_gateway(house) == {"source": "gateway", "recorded": 0, "known": 0}
    with kept.writing() as connection:
        connection.execute(insert(tables.feedback), {**row, "thumb": 1, "at": 1_700_000_000_001})
    assert import_gateway(house)["recorded"] == 1
    kept.close()
