"""A form: what is asked, section by section, and how each field is answered from the records.

An answer is a function from `Held` to facts and tables, or to nothing. What no record answers a person may have
declared, and it stands there as theirs; else it is an open point. A record always comes before a declaration. A field
without a function is one that nothing measures or decides.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from governance.document.held import Declared, Held
from governance.document.model import Document, Entry, Fact, Note, Proof, Section, Source, Table

Said = Fact | Table
Answer = Callable[[Held], Sequence[Said]]

NOT_RECORDED = "Nothing measures this; whoever is answerable for the system can declare it (tunegate declare)."
ERASED = "(erased)"
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

    @property
    def asks(self) -> list[Ask]:
        """Every field, in order."""
        return [ask for _, asks in self.sections for ask in asks]


def together(*answers: Answer) -> Answer:
    """What several answers say."""
    return lambda held: [said for answer in answers for said in answer(held)]


def fill(kind: str, form: Form, held: Held) -> Document:
    """The document: every field answered or open, and the events that were cited."""
    sections = tuple(
        Section(title=title, entries=tuple(filter(None, (_entry(kind, ask, held) for ask in asks))))
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


def unanswered(form: Form, held: Held) -> list[Ask]:
    """The fields that no record answers, and that somebody needs: those that a person may declare."""
    return [ask for ask in form.asks if not (ask.is_extra or _recorded(ask, held))]


def _recorded(ask: Ask, held: Held) -> Sequence[Said]:
    return ask.answer(held) if ask.answer else ()


def _entry(kind: str, ask: Ask, held: Held) -> Entry | None:
    said = list(_recorded(ask, held))
    if not said and ask.is_extra:
        return None
    if not said and (kind, ask.id) in held.declared:
        said = [_declared(held.declared[kind, ask.id])]
    if not said:
        reason = ask.open or (NO_EVENT if ask.answer else NOT_RECORDED)
        return Entry(id=ask.id, asks=ask.asks, open=reason)
    facts = tuple(item for item in said if isinstance(item, Fact))
    return Entry(id=ask.id, asks=ask.asks, facts=facts, tables=tuple(item for item in said if isinstance(item, Table)))


def _declared(told: Declared) -> Fact:
    return Fact(
        name=f"declared by key {told.event.actor}",
        value=ERASED if told.text is None else told.text,
        sources=(Source(event=told.event.seq),),
        is_declared=True,
    )


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
