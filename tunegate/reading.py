"""What the reading verbs show, as plain values: projections of the ledger and the store, computed afresh."""

from typing import Any

from governance.lifecycle import Planned, Released
from tunegate.house import House
from tunegate.recording import Standing, standing, verdict_of
from tunegate_core.records import Evidence, Verdict


def overview(house: House) -> dict[str, Any]:
    """Every candidate in the order it was planned, and the routes."""
    registry = house.registry()
    rows = [
        {
            "version": entry.subject,
            "state": entry.state,
            "verdict": entry.verdict,
            "attempt": entry.attempt,
            "route": entry.route,
            "adapter": entry.adapter,
            "planned_at": entry.planned_at,
        }
        for entry in registry.entries.values()
    ]
    routing = [state.route.model_dump(mode="json") for state in registry.states.values()]
    return {"candidates": rows, "routes": registry.routes, "routing": routing}


def candidate(house: House, subject: str) -> dict[str, Any]:
    """One candidate with its lineage, evidence and verdict."""
    now = standing(house, subject)
    planned = now.planned
    verdict = verdict_of(house, now)
    place = house.registry().place_of(subject) if isinstance(now.state, Released) else None
    return {
        "version": subject,
        "state": type(now.state).__name__,
        "standing": where(now),
        "place": place,
        "verdict": verdict.outcome if verdict else None,
        "checks": [check.model_dump(mode="json") for check in verdict.results] if verdict else [],
        "figures": _figures(verdict),
        "evidence": now.body("examined")["evidence"] if now.has("examined") else [],
        "lineage": lineage_of(now),
        "events": [{"seq": event.seq, "kind": event.kind, "at": event.at} for event in now.events],
        "next": _next(now, planned, verdict, place),
    }


def where(now: Standing) -> str:
    """The one word a script needs: released, refused, undecided, waiting, revoked, or the state in lower case."""
    state = type(now.state).__name__.lower()
    if state == "judged":
        return {"PASS": "waiting", "UNDECIDED": "undecided", "FAIL": "refused"}[now.body("judged")["outcome"]]
    return state


def comparison(house: House, subjects: list[str]) -> dict[str, Any]:
    """Candidates side by side. Each cell is a score with its one-sided 95 % bounds on
    that candidate's own items."""
    standings = {subject: standing(house, subject) for subject in subjects}
    verdicts = {subject: verdict_of(house, now) for subject, now in standings.items()}
    cells: dict[str, dict[str, str]] = {}
    for subject, verdict in verdicts.items():
        for figure in _figures(verdict):
            label = f"{figure['task']} {figure['metric']}, {figure['arm']}"
            cells.setdefault(label, {})[subject] = figure["text"]
        for check in verdict.results if verdict else ():
            cells.setdefault(f"check {check.check}", {})[subject] = check.outcome
    return {
        "versions": subjects,
        "verdicts": {subject: verdict.outcome if verdict else None for subject, verdict in verdicts.items()},
        "states": {subject: type(now.state).__name__ for subject, now in standings.items()},
        "rows": [{"label": label, "cells": row} for label, row in cells.items()],
        "reasons": {
            subject: [f"{check.check}: {check.outcome}: {check.reason}" for check in verdict.results] if verdict else []
            for subject, verdict in verdicts.items()
        },
    }


def fairness(house: House, subject: str) -> str:
    """The fairness report of a judged candidate as one HTML page, with the other judged candidates of its route.

    Raises BadInput when there is no verdict yet.
    """
    from governance.fairness import Earlier, fairness_of, render_fairness
    from governance.policy import Policy

    now, store = standing(house, subject), house.store
    verdict = Verdict.parse(store.get(now.body("judged")["verdict"]))
    others = [
        Earlier(entry.subject, _evidence(house, standing(house, entry.subject)))
        for entry in house.registry().entries.values()
        if entry.route == now.planned.route and entry.verdict is not None
    ]
    policy = Policy.parse(store.get(now.planned.policy))
    margins = {float(check["margin"]) for check in policy.checks if check["kind"] == "group-non-inferior"}
    found = fairness_of(_evidence(house, now), others)
    return render_fairness(subject, verdict, found, margins.pop() if len(margins) == 1 else None)


def _evidence(house: House, now: Standing) -> list[Evidence]:
    return [Evidence.parse(house.store.get(blob)) for blob in now.body("examined")["evidence"]]


def _figures(verdict: Verdict | None) -> list[dict[str, Any]]:
    """Each arm's score with its interval, as numbers and as text."""
    found = []
    for figure in verdict.figures if verdict else ():
        interval = figure.interval
        text = "not measured"
        if interval.value is not None and interval.low is not None and interval.high is not None:
            bounds = f"[{100 * interval.low:.1f}, {100 * interval.high:.1f}]"
            text = f"{100 * interval.value:.1f} % {bounds}, n={interval.n}"
        found.append({**figure.model_dump(mode="json"), "text": text})
    return found


def evidence_of(house: House, blob: str) -> Evidence:
    """A piece of evidence in the store."""
    return Evidence.parse(house.store.get(blob))


def lineage_of(now: Standing) -> dict[str, Any]:
    """What a candidate was made from, as digests and words."""
    planned = now.planned
    data = planned.data
    return {
        "base": planned.base.source,
        "base_tree": planned.base.tree,
        "template": planned.base.template,
        "data": f"{data.source}, {data.counts.kept} of {data.counts.read} rows kept" if data else None,
        "data_commitment": data.rows if data else None,
        "supervised_tokens": data.supervised_tokens if data else None,
        "config": planned.config,
        "policy": planned.policy,
        "champion": planned.champion,
        "source_adapter": planned.source_adapter,
        "attempt": planned.attempt,
        "adapter": now.adapter.tree if now.has("sealed") else None,
        "verdict_digest": now.body("judged")["verdict"] if now.has("judged") else None,
        "statement": now.body("released")["statement"] if now.has("released") else None,
        "started_by": planned.starter,
    }


def _next(now: Standing, planned: Planned, verdict: Verdict | None, place: str | None) -> list[str]:
    standing_ = where(now)
    if standing_ == "waiting":
        rule = " by another key than the one that started it" if planned.approvals.four_eyes else ""
        many = "" if planned.approvals.required == 1 else "s"
        return [
            f"waits for {planned.approvals.required} approval{many}{rule}, in the console or here:",
            f"tunegate approve {now.subject} --as NAME --reason WHY",
        ]
    if standing_ == "released" and place is None:
        return [f"nobody is answered by it yet: tunegate promote {now.subject}"]
    if standing_ == "released":
        return [f"ask for the model '{planned.route}': tunegate serve --dev"]
    if standing_ == "undecided" and verdict is not None:
        over = planned.approvals.override
        told = [
            f"{check.check} would need about {check.items_to_settle} items"
            for check in verdict.results
            if check.items_to_settle
        ]
        if over is not None:
            may = f"{over.required} of {' or '.join(over.roles)}"
            told.append(f"{may} may override it: tunegate approve {now.subject} --override --as NAME --reason WHY")
        return told
    return []
