"""Declarations from a file, and the file to fill in: only what no record answers can be declared."""

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from governance.document.form import Form, unanswered
from governance.document.held import Held
from governance.document.making import form_of, kinds
from tunegate.declared import Field, record
from tunegate.documenting import head_of, held
from tunegate.house import House
from tunegate.recording import standing
from tunegate_core.config.loading import load_yaml
from tunegate_core.errors import BadInput
from tunegate_core.registry import nearest

LONGEST = 4_000  # characters: an answer to one question, not a document
# Controls, halves of a pair, what turns the direction of the text around it, and what YAML has no place for.
UNSHOWN = re.compile("[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]")
HEAD = """\
# What no record answers about {version}, by kind of document. Write behind a name what you answer for; what stays
# empty stays open, and "" takes back what was declared before. Then: tunegate declare {version} FILE
"""


def declare(house: House, version: str, file: Path) -> dict[str, Any]:
    """Record what is new in a file of kind -> field -> text. Raises BadInput naming each line that can't stand."""
    records = _held(house, version)
    open_ = _open(records)
    known = {field: told.text for field, told in records.declared.items()}
    new = {field: text for field, text in _read(file, version, open_).items() if text != known.get(field, "")}
    event = record(house, version, new).seq if new else None
    after = {**known, **new}
    return {
        "version": version,
        "event": event,
        "declared": ["/".join(field) for field in new],
        "open": sum(after.get((kind, name), "") == "" for kind, asked in open_.items() for name in asked),
    }


def template(house: House, version: str) -> str:
    """A YAML file of every field that may be declared, with its question and what was declared before."""
    records = _held(house, version)
    told = records.declared
    lines = [HEAD.format(version=version)]
    for kind, asked in _open(records).items():
        lines.append(f"{kind}:")
        for name, question in asked.items():
            text = told[kind, name].text if (kind, name) in told else None
            given = f" {json.dumps(text, ensure_ascii=False)}" if text else ""  # JSON's strings are YAML's
            lines += [f"  # {question}", f'  "{name}":{given}']
        lines.append("")
    return "\n".join(lines)


def _held(house: House, version: str) -> Held:
    return held(house, standing(house, version), head_of(house))


def _forms() -> dict[str, Form]:
    """The kinds of documents about one release: a change log is about two."""
    forms = {kind: form_of(kind) for kind in kinds()}
    return {kind: form for kind, form in forms.items() if not form.compares}


def _open(records: Held) -> dict[str, dict[str, str]]:
    """By kind of document: the fields that may be declared, with what they ask."""
    asked = {kind: unanswered(form, records) for kind, form in _forms().items()}
    return {kind: {ask.id: ask.asks for ask in asks} for kind, asks in asked.items() if asks}


def _read(file: Path, version: str, open_: Mapping[str, Mapping[str, str]]) -> dict[Field, str]:
    """What a file declares. Raises BadInput."""
    raw, lines = load_yaml(file, BadInput)
    if not isinstance(raw, dict) or not raw:
        raise BadInput(f"{file}: expected kinds of documents with fields; see 'tunegate declare {version} --template'")
    said: dict[Field, str] = {}
    problems = []
    known = {kind: {ask.id for ask in form.asks} for kind, form in _forms().items()}
    for kind, name, value in _fields(raw, known):
        is_field = name in known.get(kind, ())
        if value is None and is_field:  # left empty, and a record may have answered it since
            continue
        problem = _misplaced(version, kind, name, open_, is_field) or _unfit(value)
        if problem is not None:
            line = lines.get((str(kind), str(name)), lines.get((str(kind),), 1))
            problems.append(f"{file}, line {line}: {kind}{f'.{name}' if name is not None else ''}: {problem}")
        else:
            said[kind, name] = " ".join(value.split())
    if problems:
        raise BadInput("\n".join(problems))
    if not said:
        raise BadInput(f"{file}: every field is empty; nothing was declared")
    return said


def _fields(raw: Mapping[Any, Any], known: Mapping[str, set[str]]) -> Iterator[tuple[Any, Any, Any]]:
    """Kind, field and text; one without a field for a kind that has none, or names none."""
    for kind, asked in raw.items():
        has_fields = isinstance(asked, dict) and kind in known
        for name, value in asked.items() if has_fields else [(None, asked)]:
            yield kind, name, value


def _misplaced(
    version: str, kind: Any, name: Any, open_: Mapping[str, Mapping[str, str]], is_field: bool
) -> str | None:
    """Why nothing can be declared there; None where it can."""
    if kind not in open_ and not is_field:
        return f"no document of {version} of this kind has open points{nearest(str(kind), list(open_))}"
    if name is None:
        return "expected its fields, each with a text"
    if not isinstance(name, str):
        return "put the field's name in quotes"
    if name in open_.get(kind, ()):
        return None
    if is_field:
        return "records answer this, and what is recorded is not declared"
    return f"there is no such field{nearest(name, list(open_[kind]))}"


def _unfit(value: Any) -> str | None:
    """Why this is no text to declare; None where it is."""
    if not isinstance(value, str):
        return f"expected text (put it in quotes); found {value!r}"
    if len(value) > LONGEST:
        return f"{len(value):,} characters; expected at most {LONGEST:,}"
    if odd := UNSHOWN.search(" ".join(value.split())):
        return f"holds U+{ord(odd[0]):04X}, which is no letter or sign; take it out, or write the sign itself"
    return None
