"""What serving may do, made from the ledger's events and signed: the one way from a decision to an answer.

The same events give the same snapshot, byte for byte. It holds every release that was not withdrawn (a grant), every
route, and every API key that was valid when the last of them was recorded. Nothing else in the home speaks to serving.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from pydantic import ValidationError

from governance.access import KEY_EVENTS, Access
from governance.ledger import Event
from governance.registry import MOVING, Registry
from tunegate_core.errors import IntegrityError
from tunegate_core.proof.dsse import format_envelope, pae
from tunegate_core.records import AdapterRecord
from tunegate_core.snapshot import SNAPSHOT_TYPE, Grant, Snapshot, Staleness

STALENESS_SET = "staleness-set"
TELLING = (*MOVING, "sealed", *KEY_EVENTS, STALENESS_SET)


def make_snapshot(events: Iterable[Event], epoch: int) -> Snapshot:
    """What the first `epoch` events of a ledger allow; only those of the kinds `TELLING` need to be given.

    Raises IntegrityError for events that make no history.
    """
    told = [event for event in events if event.seq < epoch]
    registry, access = Registry.from_events(told), Access.from_events(told)
    bodies = {(event.kind, event.subject): event.body for event in told if event.kind in ("sealed", "released")}
    rules = [event.body for event in told if event.kind == STALENESS_SET]
    try:
        return Snapshot(
            epoch=epoch,
            routes=tuple(registry.states[alias].route for alias in sorted(registry.states)),
            grants=tuple(
                _grant(subject, bodies["sealed", subject], bodies["released", subject])
                for subject, entry in sorted(registry.entries.items())
                if registry.is_released(subject, entry.route)
            ),
            keys=access.grants(told[-1].at) if told else (),
            staleness=Staleness.model_validate(rules[-1]) if rules else Staleness(),
        )
    except (ValidationError, KeyError) as error:
        raise IntegrityError(f"the ledger's events make no snapshot: {error}; run 'tunegate ledger verify'") from error


def sign_snapshot(snapshot: Snapshot, sign: Callable[[bytes], bytes], key_id: str) -> bytes:
    """The DSSE envelope (canonical JSON) over the snapshot's canonical form."""
    payload = snapshot.canonical()
    return format_envelope(payload, key_id, sign(pae(SNAPSHOT_TYPE, payload)), SNAPSHOT_TYPE)


def _grant(subject: str, sealed: Mapping[str, Any], released: Mapping[str, Any]) -> Grant:
    adapter = AdapterRecord.model_validate(sealed["adapter"])
    return Grant.model_validate(
        {
            "subject": subject,
            "adapter": adapter.tree,
            "base": adapter.base,
            "template": adapter.template,
            "statement": released["statement"],
            "rank": adapter.rank,
        }
    )
