"""Withdrawing data: first it is recorded what is erased and what follows, then text and salt go, here and in backups.

The same command again finishes what a crash left: what is recorded is not recorded twice, and what is erased stays so.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from governance.backup import erase_in_archive
from governance.erasure import (
    ERASED,
    ERASURE_EVENTS,
    SCHEDULED,
    Erased,
    ErasedRow,
    Erasures,
    Fate,
    Scheduled,
    due,
    fate,
)
from governance.ledger import Transaction
from governance.policy import ErasureRule, Policy
from governance.registry import KINDS, Registry
from tunegate.house import House
from tunegate.keeping import known_backups
from tunegate.planning import ITEM_FILES
from tunegate.publishing import publish
from tunegate.recording import append
from tunegate.speaking import speaks_of
from tunegate.tracing import Found, affected, find_row, find_subject
from tunegate_core.errors import BadInput, NotFound
from tunegate_core.records import Evidence


def preview(house: House, row: str | None, subject: str | None) -> dict[str, Any]:
    """What `erase` would do: the rows with the beginning of their texts, and what would follow. Changes nothing."""
    found = _find(house, row, subject)
    texts = _texts_of(house, subject) if subject else []
    _verify_any(found, texts, subject)
    registry = Registry.from_events(house.existing_ledger.events(KINDS))
    return {
        "done": False,
        "rows": [{"row": item.name, "text": (item.text or "(erased)")[:120]} for item in found],
        "candidates": [
            {**entry, "fate": fate(entry["state"], _rule(house, entry["version"]))}
            for entry in affected(house, found, registry)
        ],
        "request_texts": len(texts),
        "in_evaluations": _in_evaluations(house, subject),
        "backups": [str(path) for path in known_backups(house)],
    }


def erase(house: House, row: str | None, subject: str | None, reason: str) -> dict[str, Any]:
    """Withdraw a row, or all in which a subject's words stand; say what was done. Raises NotFound, BadInput."""
    if not reason.strip():
        raise BadInput("an erasure needs a reason; found none")
    found, ledger = _find(house, row, subject), house.ledger
    _verify_any(found, _texts_of(house, subject) if subject else [], subject)
    with ledger.write() as tx:
        candidates = _record(house, tx, found, reason)
    ledger.checkpoint()
    publish(house)
    rows: dict[str, list[int]] = {}
    for item in found:
        rows.setdefault(item.rows, []).append(item.row)
        if item.text is not None:
            house.rows.erase(item.rows, item.row)
    texts = len(_texts_of(house, subject, erase=True)) if subject else 0
    return {
        "done": True,
        "rows": [{"row": item.name} for item in found],
        "candidates": candidates,
        "request_texts": texts,
        "in_evaluations": _in_evaluations(house, subject),
        "backups": _erase_in_backups(house, rows),
    }


def _find(house: House, row: str | None, subject: str | None) -> list[Found]:
    if (row is None) == (subject is None):
        raise BadInput("say which data: either --row SET#N or --subject WORDS")
    return find_row(house, row) if row is not None else find_subject(house, str(subject))


def _verify_any(found: Sequence[Found], texts: Sequence[str], subject: str | None) -> None:
    if not found and not texts:
        raise NotFound(f"no row in the store and no text of a request speaks of '{subject}'; nothing was erased")


def _record(house: House, tx: Transaction, found: Sequence[Found], reason: str) -> list[dict[str, Any]]:
    """One event for the rows that are new to it, and one for each candidate; what follows is decided now."""
    erasures = Erasures.from_events(tx.events(ERASURE_EVENTS))
    new = [item for item in found if not erasures.has(item.rows, item.row)]
    if not new:
        return []
    registry = Registry.from_events(tx.events(KINDS))
    candidates = affected(house, new, registry)
    why = house.rows.put([reason])
    body = Erased(
        rows=tuple(ErasedRow(rows=i.rows, row=i.row, leaf=house.rows.leaf(i.rows, i.row)) for i in new),
        affected=tuple(entry["version"] for entry in candidates),
        reason=why,
    )
    actor = house.person_key(house.person).key_id
    seq = tx.append(ERASED, body.model_dump(mode="json"), actor=actor).seq
    for entry in candidates:
        rule = _rule(house, entry["version"])
        entry["fate"] = fate(entry["state"], rule)
        entry["due"] = _follow(house, tx, entry["version"], entry["fate"], rule, seq, why)
    return candidates


def _follow(
    house: House, tx: Transaction, version: str, what: Fate, rule: ErasureRule, seq: int, why: str
) -> str | None:
    """What follows for one candidate; when a release must be made anew, until when."""
    actor = house.person_key(house.person).key_id
    if what == "revoked":
        append(house, tx, version, "revoked", {"by": actor, "reason": why, "erased": seq}, f"{version}/revoked")
    elif what == "withdrawn":
        append(house, tx, version, "withdrawn", {"erased": seq}, f"{version}/withdrawn")
    elif what == "scheduled":
        said = Scheduled(version=version, due=due(house.clock(), rule), erased=seq)
        tx.append(SCHEDULED, said.model_dump(mode="json"), actor=actor)
        return said.due
    return None


def _rule(house: House, version: str) -> ErasureRule:
    (planned,) = house.existing_ledger.events("planned", version)
    return Policy.parse(house.store.get(planned.body["policy"])).erasure or ErasureRule()


def _erase_in_backups(house: House, rows: Mapping[str, Sequence[int]]) -> list[dict[str, str]]:
    told = []
    for path in known_backups(house):
        try:
            count = erase_in_archive(path, rows)
            told.append({"archive": str(path), "found": f"{count} rows erased" if count else "held none of them"})
        except NotFound:
            told.append({"archive": str(path), "found": "is not there; erase or destroy copies of it elsewhere"})
    return told


def _in_evaluations(house: House, subject: str | None) -> list[str]:
    """Evaluation items and answers to them that speak of a subject. Evidence stands on their bytes, so they stay."""
    if subject is None:
        return []
    store, names = house.store, set[str]()
    for event in house.existing_ledger.events(("planned", "examined")):
        if event.kind == "planned":
            tasks = json.loads(store.get(event.body["config"]))["eval"]["tasks"]
            names |= {task[key] for task in tasks for key in ITEM_FILES if task.get(key) is not None}
        else:
            names |= {Evidence.parse(store.get(blob)).samples for blob in event.body["evidence"]}
    speaks = speaks_of(subject)
    lines = {name: store.get(name).decode("utf-8", "replace").splitlines() for name in names if store.has(name)}
    return sorted(name for name, found in lines.items() if any(map(speaks, found)))


def _texts_of(house: House, subject: str, erase: bool = False) -> list[str]:
    """Prompts, answers and comments in the request records that speak of a subject, by their hashes, which the records
    keep; with `erase` their texts go."""
    from sqlalchemy import delete, select, text

    from serving.tables import Tables, texts

    file = house.home / "serving" / "requests.sqlite"
    if not file.exists():
        return []
    speaks, tables = speaks_of(subject), Tables(file)
    try:
        with tables.writing() as connection:
            connection.execute(text("PRAGMA secure_delete = ON"))  # zeros, not free pages with the text in them
            rows = connection.execute(select(texts.c.hash, texts.c.body))
            hit = [str(row.hash) for row in rows if speaks(bytes(row.body).decode("utf-8", "replace"))]
            for name in hit if erase else ():
                connection.execute(delete(texts).where(texts.c.hash == name))
        if erase:
            with tables.reading() as connection:
                connection.execute(text("PRAGMA wal_checkpoint(TRUNCATE)"))
    finally:
        tables.close()
    return hit
