"""A form: what is asked, section by section, and how each field is answered from the records.

An answer is a function from `Held` to facts and tables, or to nothing; what nothing answers is an open point. A
field without a function is one that no kind of event records.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from governance.document.held import Held
from governance.document.model import Document, Entry, Fact, Note, Proof, Section, Table

Said = Fact | Table
Answer = Callable[[Held], Sequence[Said]]

NOT_RECORDED = "No kind of event records this; whoever is answerable for the system must add it."
NO_EVENT = "No event of this release answers this."
MAP = Note(
    text="This is a map from the form's points to records. It claims no conformity and is no legal advice.",
    source="docs/documents.md",
)


@dataclass(frozen=True)
class Ask:
    """One field. `answer`: None where nothing recorded could answer; `open`: what to say instead of the usual words;
    `is_extra`: it is not in the document at all where nothing answers it, because nobody needs to."""

    id: str
    asks: str
    answer: Answer | None = None
    open: str | None = None
    is_extra: bool = False


@dataclass(frozen=True)
class Form:
    """A kind of document: a plug-in of `governance/documents`. `compares`: it needs another release to start from."""

    title: str
    notes: tuple[Note, ...]
    sections: tuple[tuple[str, tuple[Ask, ...]], ...]
    metadata: Callable[[Held], dict[str, Any]] | None = None
    own_form: Callable[[Held], dict[str, Any]] | None = None
    compares: bool = False


def together(*answers: Answer) -> Answer:
    """What several answers say."""
    return lambda held: [said for answer in answers for said in answer(held)]


def fill(kind: str, form: Form, held: Held) -> Document:
    """The document: every field answered or open, and the events that were cited."""
    sections = tuple(
        Section(title=title, entries=tuple(filter(None, (_entry(ask, held) for ask in asks))))
        for title, asks in form.sections
    )
    cited = {source.event for section in sections for entry in section.entries for source in entry.sources()}
    return Document(
        kind=kind,
        title=form.title,
        subject=held.subject,
        state=held.state,
        notes=form.notes,
        sections=sections,
        extract=_extract(held, cited),
        head=held.head,
        metadata=form.metadata(held) if form.metadata else None,
        own_form=form.own_form(held) if form.own_form else None,
    )


def _entry(ask: Ask, held: Held) -> Entry | None:
    said = list(ask.answer(held)) if ask.answer else []
    if not said and ask.is_extra:
        return None
    if not said:
        reason = ask.open or (NO_EVENT if ask.answer else NOT_RECORDED)
        return Entry(id=ask.id, asks=ask.asks, open=reason)
    facts = tuple(item for item in said if isinstance(item, Fact))
    return Entry(id=ask.id, asks=ask.asks, facts=facts, tables=tuple(item for item in said if isinstance(item, Table)))


def _extract(held: Held, cited: set[int]) -> tuple[Proof, ...]:
    sides = [held, held.other] if held.other else [held]
    events = {event.seq: event for side in sides for event in (*side.events, *side.around)}
    return tuple(
        Proof(
            seq=seq,
            at=event.at,
            kind=event.kind,
            subject=event.subject,
            actor=event.actor,
            leaf=event.leaf.hex(),
            text=event.canonical().decode(),
        )
        for seq, event in sorted(events.items())
        if seq in cited
    )
