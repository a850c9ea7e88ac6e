"""A witness: it cosigns a log's tree head only if that extends the one it cosigned before, and remembers it first.

The request is the body of a C2SP `tlog-witness` add-checkpoint call: `old N`, the consistency proof in base64 line by
line, an empty line, the checkpoint. Here it comes as a file instead of over HTTP. One witness name watches one log,
also when the log's key is replaced: what counts is that the tree grows.
"""

import base64
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pydantic import Field

from governance.keys import SigningKey
from tunegate_core.errors import BadInput, IntegrityError, StoreFault
from tunegate_core.proof.checkpoint import verify_checkpoint
from tunegate_core.proof.cosignature import WitnessKey, cosigned_bytes, format_cosignature
from tunegate_core.proof.note import parse_note
from tunegate_core.proof.paths import ConsistencyProof
from tunegate_core.proof.tree import EMPTY_ROOT
from tunegate_core.records import Record

MOST_HASHES = 63


class Seen(Record):
    """The largest tree that a witness cosigned. `root` is hex."""

    origin: str = ""
    size: int = Field(default=0, ge=0)
    root: str = EMPTY_ROOT.hex()


def format_request(old: int, proof: ConsistencyProof, note: str) -> str:
    """What a log asks a witness to cosign, when the witness saw `old` events before."""
    lines = [base64.b64encode(bytes.fromhex(part)).decode() + "\n" for part in proof.path] if old else []
    return f"old {old}\n{''.join(lines)}\n{note}"


def parse_request(text: str) -> tuple[int, tuple[str, ...], str]:
    """Old size, proof (hex) and note. Raises BadInput for anything else."""
    head, separator, note = text.partition("\n\n")
    first, *lines = head.split("\n")
    word, _, number = first.partition(" ")
    if not separator or word != "old" or not number.isascii() or not number.isdigit() or len(lines) > MOST_HASHES:
        raise BadInput("this is no request to a witness; expected 'old N', a proof, an empty line and a checkpoint")
    try:
        return int(number), tuple(base64.b64decode(line, validate=True).hex() for line in lines), note
    except ValueError as error:
        raise BadInput(f"the request's proof is no base64: {error}") from error


def witness_key(key: SigningKey) -> WitnessKey:
    """A signing key as a witness'."""
    return WitnessKey(name=key.name, public=key.public_raw.hex())


def cosign(request: str, key: SigningKey, log_public: bytes, state: Path, time: int) -> str:
    """The checkpoint with the witness' line added, after it was remembered in `state`.

    `log_public`: the log's public key, 32 raw bytes; `time`: seconds since 1970. Raises IntegrityError when the log's
    key did not sign it, when the tree is smaller than one seen before, or does not extend it; BadInput when the request
    begins elsewhere than where this witness stands.
    """
    old, path, note = parse_request(request)
    head = verify_checkpoint(note, log_public)
    with _remembering(state) as seen:
        if head.size < seen.size:
            raise IntegrityError(
                f"the log shows {head.size} events, and this witness saw {seen.size}: it was rolled back; not signed"
            )
        if old != seen.size:
            raise BadInput(f"the request begins at {old} events, this witness has seen {seen.size}; ask from there")
        proof = ConsistencyProof(first=seen.size, second=head.size, path=path if seen.size != head.size else ())
        try:
            proof.verify(bytes.fromhex(seen.root), head.root_raw)
        except IntegrityError as error:
            raise IntegrityError(
                f"the log was forked or rewritten behind {seen.size} events: {error}; not signed"
            ) from error
        _remember(state, Seen(origin=head.origin, size=head.size, root=head.root))
    body = parse_note(note).body
    told = witness_key(key)
    return note + format_cosignature(told, time, key.sign(cosigned_bytes(body, time)))


@contextmanager
def _remembering(state: Path) -> Iterator[Seen]:
    """What was seen last; one at a time looks and remembers."""
    try:
        state.parent.mkdir(parents=True, exist_ok=True)
        with state.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield Seen.parse(state.read_bytes()) if state.exists() else Seen()
    except OSError as error:
        raise StoreFault(f"a witness can't remember in {state}: {error.strerror}; not signed") from error


def _remember(state: Path, seen: Seen) -> None:
    draft = state.with_suffix(".draft")
    with draft.open("wb") as out:
        out.write(seen.canonical())
        out.flush()
        os.fsync(out.fileno())
    os.replace(draft, state)
