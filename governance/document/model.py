"""The document as data: sections of entries, each answered with its sources or open with its reason."""

from typing import Any, ClassVar, Self

from pydantic import Field, model_validator

from tunegate_core.records import GrownRecord, Record

HEX = r"^[0-9a-f]{64}$"


class Source(Record):
    """What proves a statement: the event's number, and the stored record it names where the figure lies in that."""

    event: int = Field(ge=0)
    record: str | None = None


Sources = tuple[Source, ...]


class Span(Record):
    """A figure with its bounds, as it is drawn."""

    low: float
    value: float
    high: float


class Fact(GrownRecord):
    """One value under its name. `is_declared`: a person's words, which are never drawn as what a record holds."""

    name: str
    value: str
    sources: Sources = Field(min_length=1)
    is_declared: bool = False
    later: ClassVar = ("is_declared",)


class Row(Record):
    """One row of a table; `span` is drawn beside it."""

    cells: tuple[str, ...]
    sources: Sources = Field(min_length=1)
    span: Span | None = None


class Table(Record):
    """Rows under a head. `axis`: from where to where spans are drawn."""

    title: str
    head: tuple[str, ...] = Field(min_length=1)
    rows: tuple[Row, ...] = Field(min_length=1)
    axis: tuple[float, float] | None = None

    @model_validator(mode="after")
    def rectangular(self) -> Self:
        """A cell under every head."""
        if any(len(row.cells) != len(self.head) for row in self.rows):
            raise ValueError(f"table '{self.title}' has rows of another length than its head")
        return self


class Entry(Record):
    """A field of the form: what it asks, and the answer, or why it is open."""

    id: str
    asks: str
    facts: tuple[Fact, ...] = ()
    tables: tuple[Table, ...] = ()
    open: str | None = None

    @model_validator(mode="after")
    def answered_or_open(self) -> Self:
        """Never both, never neither."""
        if bool(self.facts or self.tables) == (self.open is not None):
            raise ValueError(f"entry '{self.id}' must be answered or open")
        return self

    def sources(self) -> list[Source]:
        """Every source of every statement."""
        said = [fact.sources for fact in self.facts]
        said += [row.sources for table in self.tables for row in table.rows]
        return [source for sources in said for source in sources]


class Section(Record):
    """Entries under a title."""

    title: str
    entries: tuple[Entry, ...] = Field(min_length=1)


class Note(Record):
    """A sentence about the form itself, never about the release; `source` is where that is written."""

    text: str
    source: str


class Proof(Record):
    """An event that the document cites: its exact canonical text and its RFC 6962 leaf hash (hex)."""

    seq: int = Field(ge=0)
    at: str
    kind: str
    subject: str | None
    actor: str
    leaf: str = Field(pattern=HEX)
    text: str


class Head(Record):
    """The tree the document was made from: number of events and root (hex)."""

    size: int = Field(ge=0)
    root: str = Field(pattern=HEX)


class Document(Record):
    """One document. `metadata` is a card's front matter; `own_form` what a form of its own kind of file holds."""

    v: int = 1
    kind: str
    title: str
    subject: str
    state: str
    notes: tuple[Note, ...]
    sections: tuple[Section, ...] = Field(min_length=1)
    extract: tuple[Proof, ...]
    head: Head
    metadata: dict[str, Any] | None = None
    own_form: dict[str, Any] | None = None

    def entries(self) -> list[Entry]:
        """Every field of the form, in order."""
        return [entry for section in self.sections for entry in section.entries]

    def open_points(self) -> list[Entry]:
        """The fields that no record answers."""
        return [entry for entry in self.entries() if entry.open is not None]
