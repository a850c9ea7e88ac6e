"""Who decided what, by which rule, and what went wrong afterwards."""

from governance.document.held import Held
from governance.document.model import Fact, Row, Source, Table

ALARMS = (
    "refused", "revoked", "retired", "withdrawn", "erased", "retraining-scheduled", "route-killed", "route-rolled-back",
    "route-canary-paused",
)  # fmt: skip
WORDS = {"approve": "approved", "refuse": "refused", "recall": "recalled"}


def rule(held: Held) -> list[Fact]:
    """Whose yes the policy asks for."""
    asked = held.planned.approvals
    facts = [
        held.fact("approvals asked for", asked.required, "planned"),
        held.fact("another person than the one who started it", "yes" if asked.four_eyes else "no", "planned"),
    ]
    if asked.expires_days is not None:
        facts.append(held.fact("an approval counts for", f"{asked.expires_days} days", "planned"))
    if asked.roles:
        facts.append(held.fact("roles of those who approve", ", ".join(asked.roles), "planned"))
    if asked.override is not None:
        may = f"{asked.override.required} of {', '.join(asked.override.roles)}"
        facts.append(held.fact("may release what was judged UNDECIDED", may, "planned"))
    return facts


def decisions(held: Held) -> list[Table]:
    """Signed decisions. The reason is shown by its commitment: its text can be erased."""
    rows = tuple(
        Row(
            cells=(
                WORDS[given.decision],
                event.at,
                given.approver,
                given.expires or "never",
                given.reason,
            ),
            sources=(Source(event=event.seq),),
        )
        for event, given in held.decisions()
    )
    head = ("decision", "at", "by key", "expires", "reason kept under")
    return [Table(title="Decisions", head=head, rows=rows)] if rows else []


def keys(held: Held) -> list[Table]:
    """When the keys that decided were made."""
    deciding = {given.approver for _, given in held.decisions()}
    rows = tuple(
        Row(cells=(str(event.body["key_id"]), event.at), sources=(Source(event=event.seq),))
        for event in held.around
        if event.kind == "key-created" and event.body.get("key_id") in deciding
    )
    return [Table(title="Keys that decided", head=("key", "recorded at"), rows=rows)] if rows else []


def alarms(held: Held) -> list[Fact | Table]:
    """Refusals, withdrawals and stops of the route, in the life of this candidate; that there were none is told too."""
    looked = (*held.events, *held.around)
    found = [
        event
        for event in looked
        if event.kind in ALARMS or (event.kind == "judged" and event.body["outcome"] != "PASS")
        or (event.kind == "approval" and event.body["decision"] != "approve")
    ]  # fmt: skip
    rows = tuple(
        Row(cells=(event.at, event.kind, str(event.body.get("outcome") or event.body.get("decision") or "")),
            sources=(Source(event=event.seq),))
        for event in sorted(found, key=lambda event: event.seq)
    )  # fmt: skip
    if not rows:
        sources = tuple(Source(event=event.seq) for event in looked)
        return [Fact(name="refusals, withdrawals and stops", value=f"none in {len(looked)} events", sources=sources)]
    return [Table(title="Refusals, withdrawals and stops", head=("at", "event", "outcome"), rows=rows)]


def watching(held: Held) -> list[Table]:
    """How a canary of it would be watched, as the config says."""
    block = held.config.get("serving", {}).get("canary")
    if not block:
        return []
    lines = [
        ("guards that must hold", ", ".join(block["needed"])),
        ("guards that are watched", ", ".join(block["watched"])),
        ("stages, % of users", ", ".join(f"{stage['percent']:g}" for stage in block["stages"])),
        ("chance at most that an equal canary is rolled back", f"{block['alpha']:g}"),
        ("how much worse counts as equal", f"{block['tolerance']:g}"),
    ]
    rows = tuple(held.row(line, "planned", held.planned.config) for line in lines)
    return [Table(title="How a canary is watched", head=("setting", "value"), rows=rows)]


def log(held: Held) -> list[Table]:
    """Every event of the candidate, of its route and of the keys that signed, in order."""
    events = sorted((*held.events, *held.around), key=lambda event: event.seq)
    rows = tuple(
        Row(
            cells=(
                str(event.seq),
                event.at,
                event.kind,
                event.subject or "-",
                str(event.body.get("approver", "-")),
                event.actor,
            ),
            sources=(Source(event=event.seq),),
        )
        for event in events
    )
    head = ("number", "recorded at", "event", "subject", "decided by key", "recorded by key")
    return [Table(title="Events", head=head, rows=rows)]
