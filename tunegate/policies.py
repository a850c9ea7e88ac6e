"""Policies tried on the past, proposed by one person and approved by another."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from governance.apart import verify_other
from governance.backtest import Backtest, Past, called, retry
from governance.ledger import Event
from governance.people import PEOPLE_EVENTS, People
from governance.policies import APPROVED, POLICY_EVENTS, PROPOSED, Policies, Proposal
from governance.policy import Policy, load_policy
from governance.registry import KINDS
from tunegate.house import House
from tunegate.recording import Standing
from tunegate.signing import sign_decision, signing_now
from tunegate_core.errors import BadInput, TunegateError
from tunegate_core.proof.approval import SignedDecision
from tunegate_core.records import Evidence, Verdict


def backtest(house: House, file: Path, tasks: Sequence[str] = ()) -> Backtest:
    """Every past candidate judged again by the policy in a file; nothing is run or recorded.

    `tasks` are POLICY_TASK=THEIR_TASK, for a policy written for other names. Raises PolicyError, and BadInput for such
    a pair that is none.
    """
    policy = load_policy(file)
    pairs = dict(_pair(task) for task in tasks)
    return _backtest(house, called(policy, pairs), policy)


def propose(house: House, file: Path, reason: str) -> str:
    """Propose a policy with what its backtest found. Raises BadInput for one that is in force as it is."""
    if not reason.strip():
        raise BadInput("a proposal needs a reason; found none")
    policy, ledger = load_policy(file), house.ledger
    found = house.store.put(_backtest(house, policy, policy).canonical())
    with ledger.write() as tx:
        known = Policies.from_events(tx.events(POLICY_EVENTS))
        version, replaces = known.next(policy.name)
        said = Proposal(
            policy=house.store.put(policy.canonical()), name=policy.name, version=version, replaces=replaces,
            backtest=found, proposer=house.person_key(house.person).key_id, reason=house.rows.put([reason]),
        )  # fmt: skip
        known.follow(tx.append(PROPOSED, said.model_dump(mode="json"), subject=policy.name, actor=said.proposer))
    ledger.checkpoint()
    return f"{said.subject} is proposed; another person approves it: tunegate policy approve {policy.name} --as NAME"


def approve(house: House, name: str, person: str, reason: str) -> str:
    """Sign a proposed policy with a second person's key: it is in force from now on."""
    with signing_now(house, person, "approve-policy", name) as (tx, key):
        known = Policies.from_events(tx.events(POLICY_EVENTS))
        said = known.proposal(name)
        people = People.from_events(tx.events(PEOPLE_EVENTS))
        verify_other(people, key.key_id, said.proposer, f"'{said.name}' was proposed")
        signed = sign_decision(house, said, key, "approve", reason)
        body = {"policy": said.policy, **signed.model_dump(mode="json")}
        known.follow(tx.append(APPROVED, body, subject=said.name, actor=key.key_id))
    house.ledger.checkpoint()
    return f"{said.subject} is in force; from now on only policies in force can be planned with"


def listed(house: House) -> dict[str, Any]:
    """Policies in force, waiting and replaced."""
    known = policies(house)
    places = {"in_force": known.in_force.values(), "waiting": known.waiting.values(), "before": known.before}
    return {place: [said.model_dump(mode="json") for said in found] for place, found in places.items()}


def policies(house: House) -> Policies:
    """Policies as the ledger tells them now."""
    return Policies.from_events(house.existing_ledger.events(POLICY_EVENTS) if house.has_ledger else ())


def _backtest(house: House, policy: Policy, file: Policy) -> Backtest:
    rows, skipped = [], {}
    by_subject = _candidates(house)
    for subject, now in by_subject.items():
        if not now.has("judged"):
            continue
        try:
            rows.append(retry(policy, _past(house, now, by_subject)))
        except TunegateError as error:
            skipped[subject] = str(error)
    changed = sum(row.changed for row in rows)
    return Backtest(policy=file.digest(), name=file.name, rows=tuple(rows), changed=changed, skipped=skipped)


def _candidates(house: House) -> dict[str, Standing]:
    found: dict[str, list[Event]] = {}
    for event in house.existing_ledger.events(KINDS) if house.has_ledger else ():
        if event.subject is not None and "@" in event.subject:
            found.setdefault(event.subject, []).append(event)
    return {subject: Standing(subject, tuple(events)) for subject, events in found.items()}


def _past(house: House, now: Standing, others: dict[str, Standing]) -> Past:
    planned, store = now.planned, house.store
    verdict = Verdict.parse(store.get(now.body("judged")["verdict"]))
    decisions = [SignedDecision.model_validate(event.body) for event in now.events if event.kind == "approval"]
    return Past(
        subject=now.subject,
        adapter=verdict.subject,
        policy=Policy.parse(store.get(planned.policy)),
        evidence=tuple(Evidence.parse(store.get(blob)) for blob in verdict.evidence),
        verdict=verdict,
        champion=others[planned.champion].adapter.tree if planned.champion else None,
        approvals=len({decision.approver for decision in decisions if decision.decision == "approve"}),
    )


def _pair(text: str) -> tuple[str, str]:
    name, sign, other = text.partition("=")
    if not (name and sign and other):
        raise BadInput(f"'{text}' is no pair of tasks; expected POLICY_TASK=THEIR_TASK, as in task=facts")
    return name, other
