"""The ledger browser: events, the newest first; one event with the proof that it is in the signed tree; stored records.

The proof is checked here, and once more by the page itself in the reader's browser from the bytes alone.
"""

import json
from contextlib import suppress
from typing import Any

from starlette.responses import PlainTextResponse, Response

from governance.ledger import Event, Ledger
from governance.registry import KINDS
from tunegate.console.groups import CONFIDENCE
from tunegate.console.showing import linked_json
from tunegate.console.visit import Page, Visit
from tunegate.differing import Differing, differing
from tunegate.feedback import RECORDED
from tunegate.house import House
from tunegate.recording import standing
from tunegate_core.errors import BadInput, IntegrityError, NotFound
from tunegate_core.proof.checkpoint import verify_checkpoint
from tunegate_core.proof.keys import parse_public_key
from tunegate_core.records import Evidence, Interval
from tunegate_core.stats import arm_interval, paired_interval

STEP = 50
MOST_SHOWN = 400_000  # bytes of a record that a page shows
OTHER_KINDS = ("key-created", "api-key-created", "api-key-revoked", "declared", "explained", "access-denied")


def events(visit: Visit) -> Response:
    """Events of a kind or about something, the newest first."""
    if not visit.house.has_ledger:
        return visit.page(
            "ledger.html", rows=[], names={}, size=0, kinds=(), asked={"kind": "", "subject": ""}, older=None, start=0
        )
    ledger = visit.house.existing_ledger
    size = ledger.size()
    asked = {"kind": visit.query("kind").strip(), "subject": visit.query("subject").strip()}
    start = min(visit.number("before", size), size)
    rows = ledger.events(asked["kind"] or None, asked["subject"] or None, limit=STEP + 1, before=start)
    older = rows[STEP - 1].seq if len(rows) > STEP else None
    return visit.page(
        "ledger.html",
        rows=rows[:STEP],
        names=visit.house.key_names(),
        size=size,
        kinds=(*KINDS, *OTHER_KINDS),
        asked=asked,
        older=older,
        start=start,
    )


def event(visit: Visit) -> Response:
    """One event with its proof."""
    ledger, said = visit.house.existing_ledger, visit.part("seq")
    found = _at(ledger, int(said)) if said.isascii() and said.isdigit() and len(said) < 16 else None
    if found is None:
        raise NotFound(f"there is no event {said[:40]}; the ledger has {ledger.size()}")
    return visit.page(
        "event.html",
        event=found,
        name=visit.house.key_names().get(found.actor),
        body=linked_json(found.body, visit.url, visit.desk.projection.now().datasets),
        is_feedback=found.kind == RECORDED,
        proof=_proof(visit, ledger, found),
        size=ledger.size(),
    )


def checkpoint(visit: Visit) -> Response:
    """The last signed tree head, as other tools read it."""
    return PlainTextResponse(visit.house.existing_ledger.checkpoint())


def record(visit: Visit) -> Response:
    """What is stored under a digest, if it is text; evidence also as figures. `event`: one that names it."""
    digest = visit.part("digest")
    data = visit.house.store.get(digest)
    value, text = None, ""
    if len(data) <= MOST_SHOWN:
        try:
            text = data.decode()
            value = json.loads(text)
        except ValueError:
            pass  # plain text or bytes: shown as such
    evidence, named = None if value is None else _evidence(data), _naming(visit, digest)
    return visit.page(
        "record.html",
        digest=digest,
        evidence=evidence,
        figures=_figures(evidence) if evidence else (),
        differing=_differing(visit.house, named, evidence) if named and evidence else (),
        named=named,
        bytes=len(data),
        json=linked_json(value, visit.url, visit.desk.projection.now().datasets) if value is not None else None,
        text=text,
    )


def _evidence(data: bytes) -> Evidence | None:
    """The record as evidence, if it is some."""
    with suppress(IntegrityError):
        return Evidence.parse(data)
    return None


def _figures(evidence: Evidence) -> list[tuple[str, Interval]]:
    """Each arm's score and each difference, with 95 % bounds on either side."""
    scores = [(arm.arm, arm_interval(arm, evidence.scale, CONFIDENCE)) for arm in evidence.arms]
    return scores + [
        (f"candidate minus {pair.reference}", paired_interval(pair, evidence.scale, CONFIDENCE))
        for pair in evidence.pairs
    ]


def _differing(house: House, named: Event, evidence: Evidence) -> list[Differing]:
    """What was asked and said where arms differ."""
    if named.kind != "examined" or named.subject is None:
        return []
    return differing(house, standing(house, named.subject).planned, evidence)


def _naming(visit: Visit, digest: str) -> Event | None:
    """The event that led here, where it names the record indeed."""
    said = visit.number("event", -1)
    found = _at(visit.house.existing_ledger, said) if said >= 0 else None
    return found if found is not None and digest in found.canonical().decode() else None


def _at(ledger: Ledger, number: int) -> Event | None:
    """The event of that number."""
    return next((event for event in ledger.events(start=number, limit=1) if event.seq == number), None)


def _proof(visit: Visit, ledger: Ledger, found: Event) -> dict[str, Any]:
    """The inclusion proof under the last signed tree head, checked here; `problem` says why there is none."""
    public = visit.house.public_key
    try:
        note = ledger.checkpoint()
        head = verify_checkpoint(note, parse_public_key(public))
        if found.seq >= head.size:
            return {
                "problem": f"The last signed tree head holds {head.size} events; this one came after it.",
                "is_bad": False,
            }
        path = ledger.inclusion(found.seq, head.size)
        path.verify(found.leaf, head.root_raw)
    except BadInput as error:
        return {"problem": str(error), "is_bad": False}
    except IntegrityError as error:
        return {"problem": str(error), "is_bad": True}
    return {
        "problem": "",
        "seq": found.seq,
        "size": head.size,
        "bytes": found.canonical().decode(),
        "leaf": found.leaf.hex(),
        "path": list(path.path),
        "root": head.root,
        "note": note,
        "key": parse_public_key(public).hex(),
        "pem": public.decode().split("-----")[2].strip(),
    }


PAGES = (
    Page("/ledger", events),
    Page("/ledger/checkpoint.txt", checkpoint),
    Page("/ledger/{seq}", event),
    Page("/records/{digest}", record),
)
