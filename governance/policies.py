"""Which policies are in force, as the ledger tells: a policy is proposed by one person and approved by another.

1. Before the first approval any policy file may be planned with. From then on only those in force may.
2. A proposal names the policy by digest, the one in force that it replaces, and what a backtest of it found.
3. It comes into force when a second person signs exactly that; it then replaces the one of the same name.
4. Candidates keep the policy of their plan: a change never reaches back.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Self

from pydantic import Field, ValidationError

from governance.happened import Happened
from tunegate_core.canonical import canonical_json
from tunegate_core.errors import BadInput, Denied, IntegrityError, NotFound
from tunegate_core.proof.approval import SignedDecision, verify_signer
from tunegate_core.records import Record

PROPOSED, APPROVED = POLICY_EVENTS = ("policy-proposed", "policy-approved")


class Proposal(Record):
    """The body of a proposal; the event's subject is the policy's name. Digests; `reason`: a commitment to text.

    `version` counts the proposals that came into force under this name, this one included.
    """

    policy: str
    name: str
    version: int = Field(ge=1)
    replaces: str | None
    backtest: str
    proposer: str
    reason: str

    @property
    def subject(self) -> str:
        """NAME, version N, as people say it."""
        return f"policy {self.name} {self.version}"

    def payload(self, decision: SignedDecision) -> bytes:
        """What the second person signs."""
        said = {"decision": decision.decision, "reason": decision.reason, "expires": decision.expires}
        return canonical_json({"tunegate": "policy-approval/v1", **self.model_dump(mode="json"), **said})


@dataclass
class Policies:
    """`waiting`: proposals by digest; `in_force`: by name; `before`: those that were replaced, in order."""

    waiting: dict[str, Proposal] = field(default_factory=dict)
    in_force: dict[str, Proposal] = field(default_factory=dict)
    before: list[Proposal] = field(default_factory=list)

    @classmethod
    def from_events(cls, events: Iterable[Happened]) -> Self:
        """Walk the events once. Raises IntegrityError for what could not have happened then."""
        policies = cls()
        for event in events:
            try:
                policies.follow(event)
            except (BadInput, ValidationError) as error:
                raise IntegrityError(
                    f"'{event.kind}' of {event.subject} could not have happened then: {error}"
                ) from error
        return policies

    def follow(self, event: Happened) -> None:
        """Go on with one event, if it may happen now; others than policies' are passed over. Raises BadInput."""
        if event.kind == PROPOSED:
            self._propose(Proposal.model_validate(event.body))
        elif event.kind == APPROVED:
            body: dict[str, Any] = dict(event.body)
            self._approve(body.pop("policy", ""), SignedDecision.model_validate(body))

    def next(self, name: str) -> tuple[int, str | None]:
        """The version that a new policy of this name would have, and the digest of the one it would replace."""
        now = self.in_force.get(name)
        return (1, None) if now is None else (now.version + 1, now.policy)

    def verify_in_force(self, name: str, policy: str) -> None:
        """Raises BadInput for a policy that may not be planned with: others are in force, and it is none of them."""
        if self.in_force and policy not in {found.policy for found in self.in_force.values()}:
            known = ", ".join(f"{found.name} {found.version}" for found in self.in_force.values())
            raise BadInput(
                f"the policy '{name}' ({policy}) is not in force; in force are: {known}; take one of them, or have "
                "this one approved: 'tunegate policy propose FILE', then 'tunegate policy approve'"
            )

    def proposal(self, policy: str) -> Proposal:
        """A waiting proposal by the policy's name or digest. Raises NotFound."""
        named = [found for found in self.waiting.values() if policy in (found.name, found.policy)]
        if not named:
            known = ", ".join(found.name for found in self.waiting.values()) or "none"
            raise NotFound(f"no policy '{policy}' is proposed; waiting are: {known}")
        return named[-1]

    def _propose(self, said: Proposal) -> None:
        if (said.version, said.replaces) != self.next(said.name):
            version, replaces = self.next(said.name)
            raise BadInput(f"the next version of '{said.name}' is {version} and replaces {replaces or 'none'}")
        if said.policy == said.replaces:
            raise BadInput(f"the policy '{said.name}' is in force as it is already")
        self.waiting[said.policy] = said

    def _approve(self, policy: str, decision: SignedDecision) -> None:
        said = self.proposal(policy)
        verify_signer(said, decision)
        if decision.approver == said.proposer:
            raise Denied(f"the key {said.proposer} proposed '{said.name}'; another person must approve it")
        del self.waiting[said.policy]
        if decision.decision != "approve":
            return
        if (said.version, said.replaces) != self.next(said.name):
            raise BadInput(f"'{said.name}' was changed since this was proposed; propose it again")
        if said.name in self.in_force:
            self.before.append(self.in_force[said.name])
        self.in_force[said.name] = said
