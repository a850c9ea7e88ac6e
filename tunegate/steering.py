"""What canary analysis may do to routes: read the stages that the ledger tells of, and record what was decided.

A decision is kept in the store whole; its event holds the digest, and the metric and why in words.
"""

from datetime import datetime

from governance.ledger import Event
from governance.registry import MOVING, Registry
from governance.routing import RouteState, Why
from serving.canary.decision import Decision
from serving.canary.stage import Analysis, Stage
from tunegate.canaries import rules_of, stage_event
from tunegate.house import House
from tunegate.routing import advance, pause, withdraw


class Steering:
    """The port of `serving.canary.stage`, filled. Both methods block."""

    def __init__(self, house: House, judge: str | None = None):
        self._house, self._judge = house, judge

    def stages(self) -> list[Stage]:
        """Every canary beside a champion. Raises what reading the ledger or the store raises."""
        events = self._house.existing_ledger.events(MOVING)
        states = Registry.from_events(events).states
        found = ((state, stage_event(events, state)) for state in states.values())
        return [self._stage(state, event) for state, event in found if event is not None]

    def steer(self, stage: Stage, decision: Decision) -> bool:
        """Advance, withdraw or pause; False when a person has moved the canary meanwhile."""
        house = self._house
        analysis = Analysis(
            route=stage.alias, canary=stage.canary, champion=stage.champion, event=stage.event, rules=stage.rules,
            decision=decision, judge=self._judge,
        )  # fmt: skip
        why = Why(found=decision.reason, analysis=house.store.put(analysis.canonical()))
        if decision.action == "advance":
            return advance(house, stage.alias, stage.event, decision.to_bp, why)
        return (withdraw if decision.action == "rollback" else pause)(house, stage.alias, stage.event, why)

    def _stage(self, state: RouteState, event: Event) -> Stage:
        route = state.route
        return Stage(
            alias=route.alias,
            canary=str(route.canary),
            champion=str(route.champion),
            weight_bp=route.canary_bp,
            event=event.seq,
            started=datetime.fromisoformat(event.at).timestamp(),
            rules=rules_of(self._house, str(route.canary)),
            is_paused=state.paused,
        )
