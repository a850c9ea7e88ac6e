"""What the candidate is: name, place, base, files, and what became of it."""

from governance.document.held import Held
from governance.document.model import Fact, Row, Source, Table


def name(held: Held) -> list[Fact]:
    """Name, version, route."""
    planned = held.planned
    return [
        held.fact("release", held.subject, "planned"),
        held.fact("version", planned.version, "planned"),
        held.fact("route", planned.route, "planned"),
    ]


def state(held: Held) -> list[Fact]:
    """The state its latest event led to."""
    return [held.fact("state", held.state, held.events[-1].kind)]


def starter(held: Held) -> list[Fact]:
    """The key that started it."""
    return [held.fact("started by key", held.planned.starter, "planned")]


def dates(held: Held) -> list[Table]:
    """When each step was recorded, by the recording machine's clock, and with which key; a decision is its signer's."""
    rows = tuple(
        Row(
            cells=(event.kind, event.at, str(event.body.get("approver", "-")), event.actor),
            sources=(Source(event=event.seq),),
        )
        for event in held.events
    )
    return [Table(title="Steps", head=("step", "recorded at", "decided by key", "recorded by key"), rows=rows)]


def base(held: Held) -> list[Fact]:
    """The base model."""
    found = held.planned.base
    return [
        held.fact("base model", found.source, "planned"),
        held.fact("files of the base", found.tree, "planned"),
        held.fact("architecture", found.architecture, "planned"),
        held.fact("parameters", f"{found.parameters:,}", "planned"),
        held.fact("vocabulary", f"{found.vocabulary:,} tokens", "planned"),
        held.fact("hidden size", found.hidden_size, "planned"),
    ]


def template(held: Held) -> list[Fact]:
    """The chat template: what the model is given as input."""
    return [held.fact("chat template", held.planned.base.template, "planned")]


def base_licence(held: Held) -> list[Fact]:
    """The base model's licence, where its files state one."""
    licence = held.planned.base.licence
    return [held.fact("licence of the base", licence, "planned")] if licence else []


def built_on(held: Held) -> list[Fact]:
    """The base, and the adapter that changes some of its modules; nothing before there is one."""
    added = adapter(held)
    return [*base(held), *added] if added else []


def adapter(held: Held) -> list[Fact]:
    """The sealed adapter."""
    found = held.adapter
    if found is None:
        return []
    return [
        held.fact("adapter", found.tree, "sealed"),
        held.fact("rank", found.rank, "sealed"),
        held.fact("adapted modules", ", ".join(found.target_modules), "sealed"),
        held.fact("parameters of the adapter", f"{found.parameters:,}", "sealed"),
    ]


def files(held: Held) -> list[Table]:
    """The adapter's files with their digests."""
    found = held.adapter
    if found is None or held.manifest is None:
        return []
    rows = tuple(
        held.row((file.path, f"{file.size:,}", file.sha256), "sealed", found.tree) for file in held.manifest.files
    )
    return [Table(title="Files of the adapter", head=("file", "bytes", "SHA-256"), rows=rows)]


def predecessor(held: Held) -> list[Fact]:
    """What it was compared with, and what it was made from."""
    planned = held.planned
    facts = [held.fact("champion when planned", planned.champion or "none", "planned")]
    if planned.source_adapter:
        facts.append(held.fact("judges the adapter of", planned.source_adapter, "planned"))
    return facts


def places(held: Held) -> list[Table]:
    """What its route was told since."""
    rows = tuple(
        Row(
            cells=(event.at, event.kind, str(event.body.get("version") or event.body.get("champion") or "")),
            sources=(Source(event=event.seq),),
        )
        for event in held.around
        if event.subject == held.planned.route
    )
    return [Table(title=f"The route {held.planned.route}", head=("at", "event", "version"), rows=rows)] if rows else []


def released(held: Held) -> list[Fact]:
    """The signed statement."""
    event = held.last("released")
    if event is None:
        return []
    return [
        held.fact("released at", event.at, "released"),
        held.fact("on the route", event.body["route"], "released"),
        held.fact("signed statement", event.body["statement"], "released"),
    ]
