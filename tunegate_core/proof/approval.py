"""A person's signed approval, checked by the records of the candidate it speaks of and nothing else."""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Literal, Protocol

from tunegate_core.canonical import canonical_json
from tunegate_core.errors import BadInput, IntegrityError
from tunegate_core.proof.keys import key_id, parse_public_key, verify_signature
from tunegate_core.records import Record


class SignedDecision(Record):
    """The body of an `approval` event. `public_key` is PEM, `signature` hex, `reason` a commitment to erasable text.

    `recall` takes back the same person's approval, as long as nothing was released on it.
    """

    approver: str
    public_key: str
    decision: Literal["approve", "refuse", "recall"]
    reason: str
    expires: str | None
    signature: str


class Signable(Protocol):
    """What a person can decide about."""

    def payload(self, decision: SignedDecision) -> bytes:
        """The bytes that are signed for this decision."""
        ...


class Decided(Record):
    """What an approver signs for: change any of it and the approval is void."""

    subject: str
    adapter: str
    evidence: tuple[str, ...]
    policy: str
    verdict: str
    outcome: str

    def payload(self, decision: SignedDecision) -> bytes:
        """The signed bytes."""
        about = self.model_dump(mode="json")
        said = {"decision": decision.decision, "reason": decision.reason, "expires": decision.expires}
        return canonical_json({"tunegate": "approval/v1", **about, **said})


def verify_approvals(
    decided: Decided, decisions: Sequence[SignedDecision], required: int, barred: str | None, at: str
) -> int:
    """How many people approved: at least `required`, each once, none of them the key `barred`, none expired at `at`.

    Raises IntegrityError for a signature that does not verify or is there twice, a refusal, or too few. `decisions` are
    in order.
    """
    standing: dict[str, SignedDecision] = {}
    if len({decision.signature for decision in decisions}) != len(decisions):
        raise IntegrityError(f"a decision about {decided.subject} is there twice; each needs a signature of its own")
    for decision in decisions:
        verify_signer(decided, decision)
        if decision.decision == "refuse":
            raise IntegrityError(f"{decided.subject} was refused by {decision.approver}")
        if decision.decision == "recall":
            standing.pop(decision.approver, None)
        else:
            standing[decision.approver] = decision
    people = {decision.approver for decision in standing.values() if not is_over(decision, at)} - {barred}
    if len(people) < required:
        raise IntegrityError(f"{decided.subject} has {len(people)} approvals that count; its plan asks for {required}")
    return len(people)


def verify_signer(decided: Signable, decision: SignedDecision) -> None:
    """Raises IntegrityError unless the approver's own key signed this decision about exactly this."""
    public_raw = _public_key(decision)
    if decision.approver != key_id(public_raw):
        raise IntegrityError(f"an approval names the key {decision.approver} but carries {key_id(public_raw)}")
    if not _is_hex(decision.signature):
        raise IntegrityError(f"the approval by {decision.approver} carries no signature in hex")
    signature = bytes.fromhex(decision.signature)
    verify_signature(public_raw, decided.payload(decision), signature, f"the approval by {decision.approver}")


def verify_term(decision: SignedDecision, at: str, days: object) -> None:
    """Raises IntegrityError for an approval recorded at `at` (RFC 3339) that would count longer than the plan lets it:
    `days`, or for ever when that is None."""
    if days is None:
        return
    if type(days) is not int:
        raise IntegrityError(f"the plan lets approvals count for {days!r} days; expected a whole number")
    try:
        until = datetime.fromisoformat(at) + timedelta(days=days)
        too_long = decision.expires is None or datetime.fromisoformat(decision.expires) > until
    except (ValueError, TypeError, OverflowError) as error:
        raise IntegrityError(f"an approval's times can't be compared: {at!r}, {decision.expires!r}") from error
    if too_long:
        raise IntegrityError(
            f"the approval by {decision.approver} counts until {decision.expires or 'the end of time'}; the plan lets "
            f"it count for {days} days"
        )


def is_over(decision: SignedDecision, at: str) -> bool:
    """Whether the decision had expired at `at` (RFC 3339). Raises IntegrityError for times that can't be compared."""
    try:
        return decision.expires is not None and datetime.fromisoformat(at) >= datetime.fromisoformat(decision.expires)
    except (ValueError, TypeError) as error:
        raise IntegrityError(f"an approval's times can't be compared: {at!r}, {decision.expires!r}") from error


def latest(times: Iterable[str]) -> str:
    """The latest of some times (RFC 3339): a clock that is set back does not bring back what expired before.

    Raises IntegrityError for times that can't be compared, or none.
    """
    try:
        return max(times, key=datetime.fromisoformat)
    except (ValueError, TypeError) as error:
        raise IntegrityError(f"the times of events can't be compared: {error}") from error


def _public_key(decision: SignedDecision) -> bytes:
    try:
        return parse_public_key(decision.public_key.encode())
    except BadInput as error:
        raise IntegrityError(f"the approval by {decision.approver} carries no public key") from error


def _is_hex(text: str) -> bool:
    return len(text) % 2 == 0 and set(text) <= set("0123456789abcdef")
