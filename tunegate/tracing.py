"""From an answer back to the data, and from data forward to every answer it may have shaped.

Nothing is kept for this: what is asked is read from the ledger, the store and the request records as they are now.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from governance.erasure import ERASURE_EVENTS, Erasures, learnt
from governance.registry import KINDS, Registry
from tunegate.house import House
from tunegate.recording import standing
from tunegate.speaking import hint, speaks_of
from tunegate_core.errors import BadInput, NotFound
from tunegate_core.rows import COMMITMENT

ROW = re.compile(rf"({COMMITMENT.pattern})#([0-9]+)")


@dataclass(frozen=True)
class Found:
    """A row of a set, and its text; None where it is erased."""

    rows: str
    row: int
    text: str | None

    @property
    def name(self) -> str:
        """SET#N, as `--row` takes it."""
        return f"{self.rows}#{self.row}"


def find_row(house: House, name: str) -> list[Found]:
    """A row by its name, SET#N, and every other row of the same text. Raises BadInput or NotFound."""
    parsed = ROW.fullmatch(name)
    if parsed is None:
        raise BadInput(
            f"'{name}' names no row; expected SET#N, as in rows:<64 hex>#0; --subject finds rows by their text"
        )
    commitment, number = parsed[1], int(parsed[2])
    texts = house.rows.get(commitment)
    if number >= len(texts):
        raise NotFound(f"{commitment} has {len(texts)} rows, numbered from 0; there is no row {number}")
    text = texts[number]
    if text is None:
        return [Found(commitment, number, None)]
    return [Found(*match) for match in house.rows.search(hint(text), text.__eq__)]


def find_subject(house: House, subject: str) -> list[Found]:
    """Every row in the store in which these words stand, whatever their case. Raises BadInput for too few letters."""
    return [Found(*match) for match in house.rows.search(hint(subject), speaks_of(subject))]


def affected(house: House, found: Sequence[Found], registry: Registry) -> list[dict[str, Any]]:
    """Every candidate that learnt from one of these rows, those that took over its adapter included, in order."""
    numbers: dict[str, list[int]] = {}
    for item in found:
        numbers.setdefault(item.rows, []).append(item.row)
    accounts: dict[str, Any] = {}
    told: dict[str, dict[str, Any]] = {}
    for event in house.existing_ledger.events("planned"):
        subject, body = str(event.subject), event.body
        source, data = body["source_adapter"], body["data"]
        if source in told:
            told[subject] = _entry(registry, subject, told[source]["rows"], source)
        elif data is not None and data["rows"] in numbers:
            rows = _learnt(house, data, numbers[data["rows"]], accounts)
            if rows:
                told[subject] = _entry(registry, subject, rows, None)
    return list(told.values())


def trace_rows(house: House, found: Sequence[Found]) -> dict[str, Any]:
    """Where rows are, what learnt from them, and on which routes it answers now."""
    ledger = house.existing_ledger
    registry = Registry.from_events(ledger.events(KINDS))
    candidates = affected(house, found, registry)
    erasures = Erasures.from_events(ledger.events(ERASURE_EVENTS))
    routes = {row["route"]: row["place"] for row in candidates if row["place"] is not None}
    return {
        "rows": [{"row": item.name, "erased": item.text is None} for item in found],
        "candidates": [{**row, "due": erasures.due.get(row["version"])} for row in candidates],
        "routes": [{"route": route, "place": place} for route, place in sorted(routes.items())],
    }


def trace_release(house: House, subject: str, named: bool = True) -> dict[str, Any]:
    """A candidate or release with all that made it: approvals, verdict, evidence, config, data. `named`: with the names
    of people, which are erasable text. Raises NotFound."""
    now = standing(house, subject)
    planned, registry, names = now.planned, house.registry(), house.key_names() if named else {}
    data = planned.data
    source = planned.source_adapter
    erased = Erasures.from_events(house.existing_ledger.events(ERASURE_EVENTS)).rows.get(data.rows, {}) if data else {}
    return {
        "version": subject,
        "state": type(now.state).__name__,
        "route": planned.route,
        "place": registry.place_of(subject),
        "adapter": now.adapter.tree if now.has("sealed") else None,
        "statement": now.body("released")["statement"] if now.has("released") else None,
        "approvals": [
            {
                "event": event.seq,
                **({"person": names.get(event.body["approver"])} if named else {}),
                **{key: event.body[key] for key in ("decision", "approver", "expires", "reason")},
            }
            for event in now.events
            if event.kind == "approval"
        ],
        "verdict": now.body("judged") if now.has("judged") else None,
        "evidence": now.body("examined")["evidence"] if now.has("examined") else [],
        "policy": planned.policy,
        "config": planned.config,
        "base": planned.base.tree,
        "champion_when_planned": planned.champion,
        "data": {"rows": data.rows, "read": data.counts.read, "kept": data.counts.kept, "lineage": data.lineage,
                 "erased": sorted(erased)} if data else None,
        "source_adapter": source,
        "trained_as": trace_release(house, source, named) if source and source in registry.entries else None,
        "events": [{"event": event.seq, "kind": event.kind, "at": event.at, "by": event.actor} for event in now.events],
    }  # fmt: skip


def trace_answer(house: House, response_id: str) -> dict[str, Any]:
    """An answer by its id, or by the `x-request-id` that came with it: who gave it, and all that made that. Raises
    NotFound."""
    from sqlalchemy import select

    from serving.endpoints import ENDPOINTS
    from serving.tables import Tables, batches, requests

    file = house.home / "serving" / "requests.sqlite"
    names = (response_id, *(endpoint.prefix + response_id for endpoint in ENDPOINTS))
    row = None
    if file.exists():
        tables = Tables(file)
        try:
            with tables.reading() as connection:
                row = connection.execute(select(requests).where(requests.c.id.in_(names))).mappings().first()
                sealed = select(batches.c.number, batches.c.root).where(
                    batches.c.requests >= (row["seq"] if row else 0)
                )
                batch = connection.execute(sealed.order_by(batches.c.number).limit(1)).mappings().first()
        finally:
            tables.close()
    if row is None:
        raise NotFound(
            f"no answer {response_id} is in the request records of {house.home}; an answer's id stands in its "
            "`id`, and records are kept for some days"
        )
    told: Mapping[str, Any] = {key: row[key] for key in ("id", "at", "alias", "version", "arm", "epoch", "status")}
    return {**told, "sealed_in": dict(batch) if batch else None, "release": trace_release(house, row["version"])}


def _learnt(house: House, data: Mapping[str, Any], rows: Sequence[int], accounts: dict[str, Any]) -> list[str]:
    """Those of the rows that training saw."""
    if data["lineage"] not in accounts:
        accounts[data["lineage"]] = json.loads(house.store.get(data["lineage"]))
    return [f"{data['rows']}#{row}" for row in rows if learnt(accounts[data["lineage"]], row)]


def _entry(registry: Registry, subject: str, rows: list[str], through: str | None) -> dict[str, Any]:
    entry = registry.entries[subject]
    return {
        "version": subject,
        "state": entry.state,
        "route": entry.route,
        "place": registry.place_of(subject),
        "adapter": entry.adapter,
        "rows": rows,
        "through": through,
    }
