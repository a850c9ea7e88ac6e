"""Explanations that somebody asked to be recorded: the words as an erasable row, one event each; reports show them.

The event names the candidate, its adapter and the commitment to the row, and belongs to no step of the release path.
Training rows are named and not copied, so that no report holds a text that could not be erased from it.
"""

import json
from collections.abc import Mapping
from typing import Any

from governance.document.held import Explained
from governance.ledger import Event
from tunegate.house import House
from tunegate.recording import standing
from tunegate_core.canonical import canonical_json

EXPLAINED = "explained"


def record(house: House, found: Mapping[str, Any]) -> Event:
    """Record what `tunegate.explaining.explain` found; the same explanation of the same candidate once."""
    version = str(found["version"])
    nearest = [{"row": row["row"], "similarity": row["similarity"]} for row in found["nearest"]]
    rows = house.rows.put([canonical_json({**found, "nearest": nearest}).decode()])
    body = {"version": version, "adapter": standing(house, version).adapter.tree, "rows": rows}
    actor = house.person_key(house.person).key_id
    event = house.ledger.append(EXPLAINED, body, key=f"{EXPLAINED}/{version}/{rows}", actor=actor)
    house.ledger.checkpoint()
    return event


def events(house: House, version: str) -> list[Event]:
    """The explanations of one candidate, as events."""
    return [event for event in house.existing_ledger.events(EXPLAINED) if event.body["version"] == version]


def recorded(house: House, version: str) -> list[Explained]:
    """The explanations of one candidate; one that was erased holds no words."""
    texts = [(event, house.rows.get(event.body["rows"])[0]) for event in events(house, version)]
    return [Explained(event, None if text is None else json.loads(text)) for event, text in texts]
