"""How far each witness has seen the log: its cosigned tree heads, checked like the log's own.

They lie beside the anchor, one JSON string a line; a verifier may bring others, from the witnesses themselves. Each is
one more head that the log must agree with and must not be shorter than.
"""

from collections.abc import Iterable, Sequence

from sqlalchemy import Connection

from governance.ledger.heads import Heads
from governance.ledger.report import Problem, WitnessSeen
from governance.ledger.transaction import find
from tunegate_core.errors import BadInput, IntegrityError
from tunegate_core.proof.cosignature import WitnessKey, parse_vkey, verify_cosignature
from tunegate_core.proof.rotation import KeyLine, verify_trusted_head

WITNESS_ADDED = "witness-added"


def known_witnesses(connection: Connection) -> list[WitnessKey]:
    """The witnesses that events name. Raises IntegrityError for an event that names none."""
    found = []
    for event in find(connection, WITNESS_ADDED):
        try:
            found.append(parse_vkey(str(event.body.get("vkey"))))
        except BadInput as error:
            raise IntegrityError(f"event {event.seq} names no witness: {error}") from error
    return found


def read_cosigned(
    heads: Heads, notes: Iterable[str], witnesses: Sequence[WitnessKey], trusted: Sequence[KeyLine]
) -> list[WitnessSeen]:
    """Add every cosigned head to those that were signed; how far each witness has seen (0: nothing)."""
    seen = {witness.name: WitnessSeen(name=witness.name, size=0, time=None) for witness in witnesses}
    for number, note in enumerate(notes, start=1):
        where = f"cosigned head {number}"
        try:
            fresh = _seen_in(note, witnesses, trusted)
        except IntegrityError as error:
            heads.problems.append(Problem(where=where, what=str(error)))
            continue
        for witness, root in fresh:
            heads.roots.setdefault(witness.size, set()).add(root)
            if witness.size >= seen[witness.name].size:
                seen[witness.name] = witness
    return list(seen.values())


def _seen_in(note: str, witnesses: Sequence[WitnessKey], trusted: Sequence[KeyLine]) -> list[tuple[WitnessSeen, bytes]]:
    found = []
    for witness in witnesses:
        time = verify_cosignature(note, witness)
        if time is not None:
            head = verify_trusted_head(note, trusted)
            found.append((WitnessSeen(name=witness.name, size=head.size, time=time), head.root_raw))
    if not found:
        raise IntegrityError("no witness that the log knows cosigned it; 'tunegate witness add' makes one known")
    return found
