"""What people declare of a candidate where no record answers: its purpose, its licence, who answers for it.

One event for each time somebody declares, with the fields it is about; the words are erasable rows, one for each field.
Nothing is overwritten: the latest declaration of a field counts, and an empty text takes back the one before.
"""

from collections.abc import Mapping, Sequence

from governance.document.held import Declared
from governance.ledger import Event
from tunegate.house import House

DECLARED = "declared"
Field = tuple[str, str]  # kind of document, id of the field


def record(house: House, version: str, said: Mapping[Field, str]) -> Event:
    """Record what a person declares, field by field."""
    rows = house.rows.put(list(said.values()))
    body = {"version": version, "fields": [list(field) for field in said], "rows": rows}
    event = house.ledger.append(DECLARED, body, actor=house.person_key(house.person).key_id)
    house.ledger.checkpoint()
    return event


def events(house: House, version: str) -> list[Event]:
    """Every declaration of one candidate, as events, those that no longer count included."""
    return [event for event in house.existing_ledger.events(DECLARED) if event.body["version"] == version]


def counting(house: House, told: Sequence[Event]) -> dict[Field, Declared]:
    """What counts of one candidate's declarations; what was erased holds no words."""
    found: dict[Field, Declared] = {}
    for event in told:
        texts = house.rows.get(event.body["rows"])
        fields = ((kind, name) for kind, name in event.body["fields"])
        found |= {field: Declared(event, text) for field, text in zip(fields, texts, strict=True)}
    return {field: told for field, told in found.items() if told.text != ""}
