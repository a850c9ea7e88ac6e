"""A release bundle: one JSON file that proves a release to somebody who has only it and the log's public key.

`verify_bundle` checks, and raises IntegrityError at the first that fails:

1. The file is a bundle of a known version, with nothing missing and nothing unknown.
2. The checkpoint is signed by the key, for the log of that key; or by one that its rotations lead to, in its time.
3. Every event's bytes are a canonical event, and are at its number in the signed tree.
4. The events tell of one release, in order: planned, sealed, examined, judged PASS (or UNDECIDED, where the plan lets
   people override that), approved, released; as many people as the plan asks for signed over exactly this adapter,
   evidence, policy and verdict.
5. The statement's envelope is signed by the key in whose time it was released, and holds an in-toto Statement v1 with
   one subject.
6. The `released` event names exactly this envelope by its digest.
7. The manifest is a tree whose digest is the statement's subject and the adapter that was sealed.

It can't show that a release was not revoked later: ask for a newer bundle, or the log.
"""

import json
from typing import Any, Literal

from pydantic import Field

from tunegate_core.canonical import digest
from tunegate_core.errors import IntegrityError
from tunegate_core.proof.checkpoint import Checkpoint
from tunegate_core.proof.dsse import verify_envelope
from tunegate_core.proof.keys import key_id, parse_public_key
from tunegate_core.proof.paths import HASH, InclusionProof
from tunegate_core.proof.rotation import Rotation, verify_line
from tunegate_core.proof.story import LoggedEvent, parse_event, verify_story
from tunegate_core.proof.tree import leaf_hash
from tunegate_core.records import Record
from tunegate_core.store import Tree

STATEMENT_TYPE = "https://in-toto.io/Statement/v1"


class ProvedEvent(Record):
    """An event's exact bytes (UTF-8) and its inclusion path in the checkpoint's tree, leaf to root, hex."""

    event: str
    path: tuple[str, ...]


class Bundle(Record):
    """What the file holds. `statement` and `manifest` are the exact bytes (UTF-8) that were signed and digested."""

    type: Literal["tunegate-bundle"]
    v: Literal[1]
    statement: str
    manifest: str
    events: tuple[ProvedEvent, ...] = Field(min_length=1)
    checkpoint: str
    rotations: tuple[Rotation, ...] = ()


class VerifiedBundle(Record):
    """What the bundle proved. `adapter` is the tree digest, `size` and `root` (hex) the signed tree's."""

    subject: str
    adapter: str
    files: int = Field(gt=0)
    policy: str
    verdict: str
    outcome: str
    approvals: int = Field(ge=0)
    released_at: str
    statement: str
    predicate_type: str
    log: str
    size: int = Field(gt=0)
    root: str = Field(pattern=HASH)
    key_id: str


def verify_bundle(data: bytes, public_pem: bytes) -> VerifiedBundle:
    """What a bundle proves under the log's public key (PEM); see the module's list of checks. Asks nobody."""
    public_raw = parse_public_key(public_pem)
    bundle = Bundle.parse(data)  # 1
    line = verify_line(bundle.rotations, public_raw)
    head = line.verify_head(bundle.checkpoint)  # 2
    events = [_proved(event, head) for event in bundle.events]  # 3
    story = verify_story(events)  # 4
    signer = line.of_event(max(event.seq for event in events))
    subject, predicate_type = _statement(verify_envelope(bundle.statement.encode(), signer))  # 5
    _equal(story.statement, digest(bundle.statement.encode()), "the statement that the released event names")  # 6
    manifest, tree = Tree.parse(bundle.manifest.encode()), digest(bundle.manifest.encode())  # 7
    _equal(subject, tree, "the statement's subject")
    _equal(story.adapter, tree, "the adapter that was sealed")
    return VerifiedBundle(
        **story.model_dump(),
        files=len(manifest.files),
        predicate_type=predicate_type,
        log=head.origin,
        size=head.size,
        root=head.root,
        key_id=key_id(public_raw),
    )


def _proved(proved: ProvedEvent, head: Checkpoint) -> LoggedEvent:
    data = proved.event.encode()
    event = parse_event(data)
    if event.seq >= head.size:
        raise IntegrityError(f"event {event.seq} is not among the {head.size} events of the bundle's checkpoint")
    InclusionProof(seq=event.seq, size=head.size, path=proved.path).verify(leaf_hash(data), head.root_raw)
    return event


def _statement(payload: bytes) -> tuple[str, str]:
    """The digest of the one subject, and the predicate's type."""
    try:
        statement: dict[str, Any] = json.loads(payload)
        (subject,) = statement["subject"]
        found = f"sha256:{subject['digest']['sha256']}"
        kind, predicate_type = statement["_type"], str(statement["predicateType"])
    except (ValueError, KeyError, TypeError) as error:
        raise IntegrityError("the signed payload is no in-toto statement with one subject") from error
    if kind != STATEMENT_TYPE:
        raise IntegrityError(f"the signed payload is {kind!r}; expected {STATEMENT_TYPE!r}")
    return found, predicate_type


def _equal(found: str, expected: str, what: str) -> None:
    if found != expected:
        raise IntegrityError(f"{what} is {found}; the bundle holds {expected}")
