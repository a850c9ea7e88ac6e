"""A candidate's life as a reader follows it: one line an event, and who decided what with which words."""

from collections.abc import Callable, Mapping
from typing import Any

from governance.ledger import Event
from governance.lifecycle import Planned
from tunegate.house import House
from tunegate.recording import Standing
from tunegate_core.errors import NotFound

ROAD = ("planned", "trained", "sealed", "examined", "judged", "approved", "released")
ERASED = "(erased)"


def story(house: House, now: Standing) -> list[dict[str, Any]]:
    """The steps in order: those that were recorded, then those that are still to come."""
    planned = now.planned
    told = [
        {
            "kind": event.kind,
            "seq": event.seq,
            "at": event.at,
            "text": TELLING.get(event.kind, _nothing)(planned, event.body),
        }
        for event in now.events
    ]
    kinds = {event.kind for event in now.events}
    if kinds & {"refused", "revoked", "retired", "withdrawn"} or any(_is_refusal(event) for event in now.events):
        return told
    ahead = [kind for kind in ROAD if kind not in kinds and not (kind == "trained" and planned.source_adapter)]
    return [*told, *({"kind": kind, "seq": None, "at": None, "text": ""} for kind in ahead)]


def decisions(house: House, now: Standing) -> list[dict[str, Any]]:
    """Each person's decision with key, reason and end."""
    names = house.key_names()
    return [
        {
            "seq": event.seq,
            "at": event.at,
            "decision": event.body.get("decision", event.kind),
            "key": event.body.get("approver") or event.body.get("by"),
            "person": names.get(event.body.get("approver") or event.body.get("by", "")),
            "reason": reason_of(house, event.body.get("reason")),
            "expires": event.body.get("expires"),
        }
        for event in now.events
        if event.kind in ("approval", "revoked")
    ]


def reason_of(house: House, commitment: str | None) -> str | None:
    """The words behind a commitment; None when none were given."""
    if commitment is None:
        return None
    try:
        return house.rows.get(commitment)[0] or ERASED
    except NotFound:
        return "(not in this store)"


def _is_refusal(event: Event) -> bool:
    return event.kind == "approval" and event.body["decision"] == "refuse"


def _nothing(planned: Planned, body: Mapping[str, Any]) -> str:
    return ""


def _planned(planned: Planned, body: Mapping[str, Any]) -> str:
    items = sum(int(frozen["n"]) for frozen in planned.items.values())
    data = (
        f"{planned.data.counts.kept} of {planned.data.counts.read} rows to learn from"
        if planned.data
        else f"the adapter of {planned.source_adapter}"
    )
    fixed = f"Fixed before anything was known: {data}, {items} items to be judged on, the policy and its margins"
    return f"{fixed}; attempt {planned.attempt}."


def _trained(planned: Planned, body: Mapping[str, Any]) -> str:
    done = body["training"]
    loss = f"loss from {done['first_loss']:.3f} to {done['final_loss']:.3f}"
    return f"{done['steps']} steps on {_many(done['workers'], 'worker')} in {done['precision']}; {loss}."


def _sealed(planned: Planned, body: Mapping[str, Any]) -> str:
    adapter = body["adapter"]
    parameters = f"{adapter['parameters']:,} parameters"
    return f"An adapter of rank {adapter['rank']} with {parameters}, scanned and known by its digest."


def _examined(planned: Planned, body: Mapping[str, Any]) -> str:
    answered = "base, champion and candidate" if planned.champion else "base and candidate"
    return f"{_many(len(body['evidence']), 'piece')} of evidence; {answered} answered the same items."


def _many(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"


def _judged(planned: Planned, body: Mapping[str, Any]) -> str:
    return f"The planned policy says {body['outcome']}."


def _approval(planned: Planned, body: Mapping[str, Any]) -> str:
    said = {"approve": "A person said yes.", "refuse": "A person said no.", "recall": "A person took their yes back."}
    return said[body["decision"]]


def _released(planned: Planned, body: Mapping[str, Any]) -> str:
    return f"The service signed the release statement for the route {planned.route}."


def _revoked(planned: Planned, body: Mapping[str, Any]) -> str:
    why = "Withdrawn by a person" if body.get("erased") is None else f"Its data was erased (event {body['erased']})"
    return f"{why}; it may not answer any more."


TELLING: dict[str, Callable[[Planned, Mapping[str, Any]], str]] = {
    "planned": _planned,
    "trained": _trained,
    "sealed": _sealed,
    "examined": _examined,
    "judged": _judged,
    "approval": _approval,
    "approved": lambda planned, body: f"As many people agreed as the policy asks for ({planned.approvals.required}).",
    "released": _released,
    "refused": lambda planned, body: "The verdict is FAIL, so it ends here.",
    "withdrawn": lambda planned, body: f"Its data was erased (event {body['erased']}), so it ends here.",
    "revoked": _revoked,
}
