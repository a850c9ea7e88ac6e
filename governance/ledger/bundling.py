"""Writing a bundle: a release's events with their proofs under one signed tree head."""

from collections.abc import Sequence

from governance.ledger.event import Event
from governance.ledger.ledger import Ledger
from tunegate_core.errors import BadInput
from tunegate_core.proof.bundle import Bundle, ProvedEvent
from tunegate_core.proof.checkpoint import parse_checkpoint
from tunegate_core.proof.note import parse_note


def make_bundle(ledger: Ledger, envelope: bytes, manifest: bytes, events: Sequence[Event]) -> bytes:
    """The bundle of a release, canonical JSON, signed now if the log has grown and its private key is here.

    `envelope` is the signed statement as stored, `manifest` the adapter's tree manifest as stored, `events` the
    subject's events from `planned` to `released`. `tunegate_core.proof.bundle.verify_bundle` says what they must be.
    Raises BadInput when the newest signed tree head does not hold them.
    """
    note = ledger.checkpoint()
    size = parse_checkpoint(parse_note(note).body).size
    if events[-1].seq >= size:
        raise BadInput(
            f"the last signed tree head holds {size} events, and this release is event {events[-1].seq}; run 'tunegate "
            "ledger checkpoint' where the ledger's private key lies, and take a backup of that"
        )
    proved = tuple(
        ProvedEvent(event=event.canonical().decode(), path=ledger.inclusion(event.seq, size).path) for event in events
    )
    bundle = Bundle(
        type="tunegate-bundle",
        v=1,
        statement=envelope.decode(),
        manifest=manifest.decode(),
        events=proved,
        checkpoint=note,
        rotations=tuple(ledger.rotations()),
    )
    return bundle.canonical()
