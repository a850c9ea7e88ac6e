"""Training rows as they were written: every row is read and checked before anything expensive starts.

A file holds rows of one form, and a row that can't be learnt from as it stands is an error with its file and line;
nothing is guessed, repaired or skipped. What rows are worth learning from is decided later, in `finetune.dataset`,
where it is counted.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from finetune.files import Located, read_file, read_hub
from tunegate_core.canonical import canonical_json
from tunegate_core.config import DataBlock
from tunegate_core.errors import DataError
from tunegate_core.registry import load, names

FORMS = "finetune.forms"
HUB = "hub://"


@dataclass(frozen=True)
class Part:
    """One text of a row and whose it is: system, user, assistant; prompt, completion; or text."""

    role: str
    text: str


@dataclass(frozen=True)
class Row:
    """One row: `index` counts from 0 over the source, `line` is where its file holds it (None: files without lines).

    `canonical` is the row as it was read, in canonical JSON: what is kept, committed to and can be erased.
    """

    index: int
    line: int | None
    form: str
    parts: tuple[Part, ...]
    canonical: str

    @property
    def messages(self) -> list[dict[str, str]]:
        """The parts as chat messages."""
        return [{"role": part.role, "content": part.text} for part in self.parts]


@dataclass(frozen=True)
class Source:
    """All rows of a source, its name without a folder, and the commit of a hub data set."""

    name: str
    revision: str | None
    rows: list[Row]


class FormProblem(ValueError):
    """What a form can't read in a row, as `found ..., expected ...`; the reader adds file and line."""


class Form(Protocol):
    """One form of rows. `templated` rows go through the chat template, others are raw text that ends with EOS."""

    fields: tuple[str, ...]
    learnt: frozenset[str]
    templated: bool

    def read(self, record: Mapping[str, Any]) -> tuple[Part, ...]:
        """The parts of one record. Raises FormProblem."""
        ...


def form(name: str) -> Form:
    """The form plug-in of that name."""
    found: Form = load(FORMS, name)
    return found


def read_rows(block: DataBlock) -> list[Row]:
    """Every row of a data block, checked. Raises DataError naming file, line, what was found and what was expected."""
    return read_source(block).rows


def read_source(block: DataBlock) -> Source:
    """As `read_rows`, with the source's name and revision. Reads hub data sets at one commit."""
    if block.source.startswith(HUB):
        name = block.source.removeprefix(HUB)
        revision, records = read_hub(name, block.revision, block.split)
        return Source(block.source, revision, _rows(records, block))
    if block.revision is not None:
        raise DataError(f"{block.source} is a file and has no revisions; remove finetune.data.revision")
    if block.split != DataBlock.model_fields["split"].default:
        raise DataError(f"{block.source} is a file and has no splits; remove finetune.data.split ({block.split})")
    path = Path(block.source)
    return Source(path.name, None, _rows(read_file(path), block))


def reread(row: Row, canonical: str) -> Row:
    """The row with another text in its place."""
    return replace(row, parts=form(row.form).read(json.loads(canonical)), canonical=canonical)


def require_text(value: Any, what: str) -> str:
    """`value` if it is text. Raises FormProblem for anything else, a null among it."""
    if not isinstance(value, str):
        raise FormProblem(f"{what} is {_kind(value)}, expected text")
    try:
        value.encode("utf-8")
    except UnicodeEncodeError as error:
        raise FormProblem(f"{what} holds half of a surrogate pair, expected valid Unicode") from error
    return value


def _rows(records: Iterable[Located], block: DataBlock) -> list[Row]:
    rows: list[Row] = []
    first: tuple[str, str] | None = None
    for index, (place, line, record) in enumerate(records):
        name = block.form if block.form != "auto" else _form_of(record, place)
        first = first or (name, place)
        if name != first[0]:
            raise DataError(
                f"{place}: found a row of form {name}, expected {first[0]} as at {first[1]}; "
                "a source holds one form: split the file, or set finetune.data.form"
            )
        rows.append(_row(index, line, name, record, place))
    return rows


def _row(index: int, line: int | None, name: str, record: Mapping[str, Any], place: str) -> Row:
    plugin = form(name)
    missing = [field for field in plugin.fields if field not in record]
    if missing:
        raise DataError(f"{place}: a row of form {name} needs '{missing[0]}'; found {_keys(record)}")
    try:
        parts = plugin.read(record)
    except FormProblem as problem:
        raise DataError(f"{place}: {problem}") from problem
    canonical = canonical_json({field: record[field] for field in plugin.fields}).decode()
    return Row(index, line, name, parts, canonical)


def _form_of(record: Mapping[str, Any], place: str) -> str:
    fitting = [name for name in names(FORMS) if set(form(name).fields) <= set(record)]
    if len(fitting) == 1:
        return fitting[0]
    forms = "; ".join(f"{name}: {' and '.join(form(name).fields)}" for name in names(FORMS))
    if fitting:
        raise DataError(f"{place}: this row fits {' and '.join(fitting)}; set finetune.data.form to one of them")
    raise DataError(f"{place}: found {_keys(record)}, expected the keys of one form ({forms})")


def _keys(record: Mapping[str, Any]) -> str:
    return "the keys " + ", ".join(sorted(map(str, record))) if record else "no keys"


def _kind(value: Any) -> str:
    return {type(None): "null", dict: "an object", list: "a list", bool: "true/false"}.get(
        type(value), f"a {type(value).__name__}"
    )
