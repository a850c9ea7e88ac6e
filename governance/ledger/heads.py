"""The signed tree heads there are, in the table and in the anchor, against the tree as re-derived.

A head is taken for true only if a trusted key signed it. The table and the anchor must hold the same notes; what one of
them lacks was removed there (or a process died while signing, which the next checkpoint mends).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from governance.ledger.anchor import AnchorLines, parse_line
from governance.ledger.report import Problem
from tunegate_core.errors import IntegrityError
from tunegate_core.proof.checkpoint import Checkpoint, parse_checkpoint
from tunegate_core.proof.note import log_name, parse_note
from tunegate_core.proof.rotation import KeyLine


@dataclass
class Heads:
    """What was signed: `roots` maps a size to every root that was signed for it (one, unless a log was rewritten)."""

    roots: dict[int, set[bytes]] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def read_heads(
    rows: Iterable[Sequence[Any]], anchor: AnchorLines | None, trusted: Sequence[KeyLine], start: Checkpoint | None
) -> Heads:
    """Check every note of the table (size, root, note) and every line of the anchor (None: there is none by design).

    Of a head that the verifier trusts (`start`) on, those of smaller trees are passed over.
    """
    heads, size = Heads(), 0
    if start is not None:
        heads.roots[start.size], size = {start.root_raw}, start.size
    table = [_from_table(heads, row, trusted) for row in rows if row[0] >= size]
    if anchor is None:
        heads.notes.append("no anchor was given: that the log's tail was cut could not be excluded")
    elif not anchor.exists and table:
        what = f"the file is missing, but {len(table)} tree heads were signed: a cut tail can't be excluded"
        heads.problems.append(Problem(where="anchor", what=what))
    else:
        lines = [line for line in _numbered(anchor) if not _is_before(line[1], size)]
        _compare(heads, set(table), {_from_anchor(heads, *line, trusted) for line in lines})
    if not heads.roots:
        heads.notes.append("no tree head is signed yet: run 'tunegate ledger checkpoint'")
    return heads


def judge_heads(heads: Heads, size: int | None, derived: dict[int, bytes | None]) -> list[Problem]:
    """Where the log leaves what was signed. `size` is None when it could not be read to its end; `derived` maps sizes
    to re-derived roots (None: hidden by a missing event)."""
    problems = []
    signed_twice = sorted(at for at, roots in heads.roots.items() if len(roots) > 1)
    if signed_twice:
        what = "was signed with two different roots: the log was rewritten and signed again"
        problems.append(Problem(where=f"tree head of {signed_twice[0]} events", what=what))
    largest = max(heads.roots, default=0)
    if size is not None and largest > size:
        what = f"are gone: a tree of {largest} events was signed, the log has {size}; its tail was cut"
        problems.append(Problem(where=span(size, largest - 1), what=what, first=size, last=largest - 1))
    wrong = [at for at, roots in heads.roots.items() if derived.get(at) is not None and roots != {derived[at]}]
    if wrong:
        first = max((at for at in agreeing(heads, derived) if at < min(wrong)), default=0)
        what = (
            f"are not those that were signed: the tree head of {first} events agrees, that of {min(wrong)} does not; "
            "rewritten somewhere in between"
        )
        last = max(min(wrong) - 1, first)
        problems.append(Problem(where=span(first, last), what=what, first=first, last=last))
    return problems


def agreeing(heads: Heads, derived: dict[int, bytes | None]) -> list[int]:
    """The sizes at which what was signed is what was derived."""
    return sorted(at for at, roots in heads.roots.items() if roots == {derived.get(at)})


def span(first: int, last: int) -> str:
    """Events in words."""
    return f"event {first}" if first == last else f"events {first} to {last}"


def _is_before(line: str, size: int) -> bool:
    """Whether an anchor's line says that it is the head of a smaller tree; a line that can't be read is none."""
    try:
        return size > 0 and parse_checkpoint(parse_note(parse_line(line)).body).size < size
    except IntegrityError:
        return False


def _numbered(anchor: AnchorLines) -> list[tuple[int, str]]:
    lines = [*anchor.lines, *([anchor.unfinished] if anchor.unfinished else [])]
    return list(enumerate(lines, start=1))


def _from_table(heads: Heads, row: Sequence[Any], trusted: Sequence[KeyLine]) -> str:
    size, root, note = row
    where = f"tree head of {size} events"
    found = _verified(heads, where, str(note), trusted)
    if found is not None and (found.size, found.root_raw) != (size, root):
        heads.problems.append(Problem(where=where, what="the row's size or root is not what its note says"))
    return str(note)


def _from_anchor(heads: Heads, number: int, line: str, trusted: Sequence[KeyLine]) -> str:
    where = f"anchor line {number}"
    try:
        note = parse_line(line)
    except IntegrityError as error:
        heads.problems.append(Problem(where=where, what=str(error)))
        return ""
    _verified(heads, where, note, trusted)
    return note


def _verified(heads: Heads, where: str, note: str, trusted: Sequence[KeyLine]) -> Checkpoint | None:
    try:
        names = {line.name for line in parse_note(note).signatures}
        fitting = [line for line in trusted if names & set(map(log_name, line.keys))]
        checkpoint = (fitting or trusted)[0].verify_head(note)
    except IntegrityError as error:
        heads.problems.append(Problem(where=where, what=str(error)))
        return None
    heads.roots.setdefault(checkpoint.size, set()).add(checkpoint.root_raw)
    return checkpoint


def _compare(heads: Heads, table: set[str], anchor: set[str]) -> None:
    only_table, only_anchor = table - anchor, anchor - table - {""}
    if only_table:
        what = f"lacks {len(only_table)} tree heads that the table holds: lines were removed or changed"
        heads.problems.append(Problem(where="anchor", what=what))
    if only_anchor:
        what = (
            f"lacks {len(only_anchor)} tree heads that the anchor holds: rows were removed or changed, or a process "
            "died while signing; if all else verifies, 'tunegate ledger checkpoint' puts the last one back"
        )
        heads.problems.append(Problem(where="table of tree heads", what=what))
