"""Where feedback comes from and goes to, other than files and pages: the gateway's table, and Langfuse."""

import os
from datetime import UTC, datetime
from typing import Any

from eval.feedback.entry import Entry
from eval.feedback.langfuse import Langfuse, Project
from serving.said import Said, said
from serving.tables import Tables
from tunegate.feedback import record, recorded_from, through
from tunegate.house import House
from tunegate_core.errors import BadInput, NotFound

SENT = "feedback-sent"
VARIABLES = ("LANGFUSE_BASE_URL", "LANGFUSE_PUBLIC_KEY", "LANGFUSE_SECRET_KEY")
THUMBS = {1: "up", -1: "down"}


def import_gateway(house: House) -> dict[str, Any]:
    """What was said through POST /v1/feedback since the last time."""
    path = house.home / "serving" / "requests.sqlite"
    if not path.exists():
        raise NotFound(f"no gateway has kept records in {path.parent}; expected {path.name}")
    tables, total = Tables(path), {"recorded": 0, "known": 0}
    try:
        while rows := said(tables, through(house, "gateway")):
            done = record(house, [e for row in rows for e in entries_of(row)], "gateway", rows[-1].seq)
            total = {name: count + done[name] for name, count in total.items()}
    finally:
        tables.close()
    return {"source": "gateway", **total}


def entries_of(row: Said) -> list[Entry]:
    """A row as entries: each thing said is one. Nobody was asked whether it may be learnt from, so it may not."""
    words = row.texts
    shared: dict[str, Any] = {
        "item": row.response_id, "author": row.key_id, "a": row.version, "source": "gateway",
        "prompt": words.get("prompt") or None, "answer_a": words.get("answer") or None,
        "at": datetime.fromtimestamp(row.at / 1000, UTC).isoformat(), "origin": f"feedback:{row.seq}",
    }  # fmt: skip
    comment = words.get("comment")
    found: list[dict[str, Any]] = []
    if row.thumb is not None:
        found.append({"kind": "thumb", "value": THUMBS[row.thumb]})
    if row.rating is not None:
        found.append({"kind": "rating", "value": row.rating})
    better = words.get("correction") or words.get("preferred")  # another answer that would have been better
    if better:
        found.append({"kind": "correction", "correction": better})
    if comment and not found:
        found.append({"kind": "comment"})
    return [Entry(**shared, **fields, reason=comment) for fields in found]


def import_langfuse(house: House) -> dict[str, Any]:
    """What people said in Langfuse and is not recorded yet, with what could not be taken and why."""
    langfuse = Langfuse(project())
    try:
        pulled = langfuse.pull()
    finally:
        langfuse.close()
    done = record(house, pulled.entries, "langfuse")
    return {"source": "langfuse", **done, "left_out": dict(pulled.left_out), "queues": pulled.queues}


def send(house: House) -> dict[str, Any]:
    """Tell Langfuse what was recorded since it last took something.

    The ledger is the outbox: an entry is durable before it is sent, each batch that Langfuse took is an event of its
    own, and after a failure the same command begins with the first batch that was not. Scores have ids, so that one
    that is sent twice is there once.
    """
    langfuse, sent = Langfuse(project()), 0
    try:
        for seq, entries in recorded_from(house, _sent_through(house) + 1):
            count = langfuse.tell(entries)
            sent += count
            house.ledger.append(SENT, {"to": "langfuse", "through": seq, "scores": count}, key=f"{SENT}/{seq}")
    finally:
        langfuse.close()
    house.ledger.checkpoint()
    return {"to": "langfuse", "sent": sent}


def project() -> Project:
    """The project that Langfuse's own environment variables name. Raises BadInput naming those that are missing."""
    absent = [name for name in VARIABLES if not os.environ.get(name)]
    if absent:
        raise BadInput(f"no Langfuse project is set; expected the environment variables {', '.join(absent)}")
    return Project(*(os.environ[name] for name in VARIABLES))


def _sent_through(house: House) -> int:
    events = house.existing_ledger.events(kind=SENT)
    return max((int(event.body["through"]) for event in events), default=-1)
