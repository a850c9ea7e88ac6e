"""Documents of a release: their records read and verified, made, written."""

import json
from collections.abc import Iterable
from pathlib import Path

from governance.document.held import Held
from governance.document.making import form_of, kinds, make, render, suffix
from governance.document.model import Document, Head
from governance.erasure import ERASURE_EVENTS
from governance.ledger import Event
from governance.policy import Policy
from tunegate import declared, explained
from tunegate.house import House
from tunegate.recording import Standing, standing, verdict_of
from tunegate_core.errors import BadInput
from tunegate_core.records import Environment, Evidence
from tunegate_core.store import Tree


def document(house: House, subject: str, kind: str, against: str | None = None) -> Document:
    """One document of a candidate. `against`: the release a change log starts from; its champion when not given.

    Raises NotFound for no such candidate, BadInput for no such kind and a change log with nothing to start from.
    """
    form = form_of(kind)
    if against is not None and not form.compares:
        raise BadInput(f"a {kind} is about one release; leave out --against")
    head = head_of(house)
    now = standing(house, subject)
    other = against or now.planned.champion
    return make(kind, held(house, now, head, other if form.compares else None))


def write_one(made: Document, form: str, out: Path) -> str:
    """Write a document; say where."""
    out.write_bytes(render(made, form))
    return f"wrote {out}: {len(made.extract)} events cited, {len(made.open_points())} open points"


def write_all(house: House, subject: str, form: str, folder: Path, against: str | None = None) -> list[str]:
    """Every kind of document into a folder; say what was written, and what could not be made."""
    standing(house, subject)  # before a folder is made
    folder.mkdir(parents=True, exist_ok=True)
    said = []
    for kind in kinds():
        compares = form_of(kind).compares
        if compares and against is None and standing(house, subject).planned.champion is None:
            said.append(f"left out {kind}: there was no champion; name the release to start from with --against")
            continue
        made = document(house, subject, kind, against if compares else None)
        said.append(write_one(made, form, folder / f"{kind}.{suffix(form)}"))
    return said


def report(house: House, subject: str, form: str) -> bytes:
    """The evaluation report in a format. Raises BadInput when there is no verdict yet."""
    standing(house, subject).body("judged")
    return render(document(house, subject, "evaluation-report"), form)


def head_of(house: House) -> Head:
    """The tree as it is; documents of the same tree are the same bytes."""
    size, root = house.existing_ledger.head()
    return Head(size=size, root=root.hex())


def held(house: House, now: Standing, head: Head, other: str | None = None) -> Held:
    """What the records of one candidate hold, each stored record read under its digest. Raises IntegrityError."""
    planned, store = now.planned, house.store
    verdict = verdict_of(house, now)
    blobs = now.body("examined")["evidence"] if now.has("examined") else ()
    told, said = explained.recorded(house, now.subject), declared.events(house, now.subject)
    return Held(
        events=now.events,
        around=around(house, now, [*(one.event for one in told), *said]),
        head=head,
        config=json.loads(store.get(planned.config)),
        policy=Policy.parse(store.get(planned.policy)),
        environment=Environment.parse(store.get(now.body("trained")["environment"])) if now.has("trained") else None,
        evidence=[Evidence.parse(store.get(blob)) for blob in blobs],
        verdict=verdict,
        explained=told,
        declared=declared.counting(house, said),
        manifest=Tree.parse(store.get(now.adapter.tree)) if now.has("sealed") else None,
        other=held(house, standing(house, other), head) if other else None,
    )


def around(house: House, now: Standing, told: Iterable[Event]) -> list[Event]:
    """Events of its route since it was planned, of the keys that decided, of erasures that reach its data, and those
    that `told` of it or of its answers."""
    ledger = house.existing_ledger
    deciding = {event.actor for event in now.events} | {
        event.body["approver"] for event in now.events if event.kind == "approval"
    }
    route = ledger.events(subject=now.planned.route, start=now.events[0].seq)
    keys = [event for event in ledger.events("key-created") if event.body.get("key_id") in deciding]
    erased = [event for event in ledger.events(ERASURE_EVENTS) if _reaches(event, now.subject)]
    return sorted({event.seq: event for event in (*route, *keys, *erased, *told)}.values(), key=lambda event: event.seq)


def _reaches(event: Event, subject: str) -> bool:
    """Whether an erasure is of data that this candidate learnt from."""
    return subject in event.body.get("affected", ()) or event.body.get("version") == subject
