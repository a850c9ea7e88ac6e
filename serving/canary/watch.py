"""One stage of a canary, from its first request to a decision. A pure function of what was seen, in its order.

1. A unit counts once under each guard, with its first value: what one caller sends is alike, so ten thousand requests
   of one caller are one value, and no reason to call a version worse.
2. Worse is what a test says that may be asked at any time (tunegate_core.stats.sequential), each guard and stage at
   its part of alpha; or a canary that answers nothing while the champion does. Then the weight is 0.
3. A canary advances when the stage's time is over, every needed guard has its samples, and no guard is in doubt.
   Nothing advances for want of data, and what comes after the stage's longest time speaks only against the canary.
4. After that time a person decides.
"""

from collections.abc import Iterator

from serving.canary.decision import Action, Decision, Figure
from serving.canary.guard import Guard
from serving.canary.observation import READINGS, Observation
from serving.canary.outage import IN_A_ROW, Outage
from tunegate_core.config.schema import CanaryBlock, GuardName, StageBlock
from tunegate_core.snapshot import ALL


class Watch:
    """`weight_bp`: what the canary has since `started` (seconds since 1970). Another weight is another watch."""

    def __init__(self, rules: CanaryBlock, weight_bp: int, started: float):
        self._rules, self._weight_bp, self._started = rules, weight_bp, started
        self._stage = stage_at(rules, weight_bp)
        names = (*rules.needed, *rules.watched)
        share = rules.alpha / (len(names) * len(rules.stages))
        self._guards = [Guard(name, name in rules.needed, share, rules.tolerance) for name in names]
        self._outage = Outage()
        self._counted: dict[str, int] = {}  # unit -> a bit for every guard it was counted under

    def see(self, seen: Observation) -> None:
        """Take in what was observed, in the order in which it became known. What came before the stage is left out."""
        if seen.at < self._started:
            return
        self._outage.see(seen)
        is_in_time = seen.at <= self._started + 60 * self._stage.max_minutes
        counted = 0 if seen.unit is None else self._counted.get(seen.unit, 0)
        for at, guard in enumerate(self._guards):
            value = READINGS[guard.name].value(seen)
            if value is not None and not counted & (1 << at):
                guard.add(seen.arm, float(value), is_in_time)
                counted |= 1 << at
        if seen.unit is not None:
            self._counted[seen.unit] = counted

    def decide(self, now: float) -> Decision:
        """What to do at `now`, in seconds since 1970. It may be asked as often as one likes."""
        figures = tuple(guard.figure() for guard in self._guards)
        worse = next((at for at, guard in enumerate(self._guards) if guard.is_worse), None)
        if worse is not None:
            return self._decision("rollback", now, figures, _worse(figures[worse]), figures[worse].guard)
        if self._outage.is_seen:
            reason = f"errors: {IN_A_ROW} requests in a row failed on the canary while the champion answered"
            return self._decision("rollback", now, figures, reason, "errors")
        missing = "; ".join(self._missing(now))
        if not missing:
            return self._decision("advance", now, figures, _sufficient(figures))
        if now - self._started > 60 * self._stage.max_minutes:
            return self._decision("pause", now, figures, f"no answer in {self._stage.max_minutes:g} minutes: {missing}")
        return self._decision("hold", now, figures, missing)

    def _missing(self, now: float) -> Iterator[str]:
        minutes = (now - self._started) / 60
        if minutes < self._stage.min_minutes:
            yield f"{max(0, int(minutes))} of {self._stage.min_minutes:g} minutes"
        for guard in self._guards:
            fewest = min(guard.in_time, key=lambda arm: guard.in_time[arm])
            if guard.is_needed and guard.in_time[fewest] < self._stage.min_samples:
                yield f"{guard.name}: {guard.in_time[fewest]} of {self._stage.min_samples} samples of the {fewest}"
            if guard.is_in_doubt(self._rules.alpha):
                yield f"{guard.name}: the canary may be worse, and more samples will tell"

    def _decision(
        self, action: Action, now: float, figures: tuple[Figure, ...], reason: str, guard: GuardName | None = None
    ) -> Decision:
        weights = {"rollback": 0, "advance": next_weight(self._rules, self._weight_bp)}
        return Decision(
            action=action,
            reason=reason,
            guard=guard,
            weight_bp=self._weight_bp,
            to_bp=weights.get(action, self._weight_bp),
            started=self._started,
            at=now,
            alpha=self._rules.alpha,
            tolerance=self._rules.tolerance,
            figures=figures,
        )


def stage_at(rules: CanaryBlock, weight_bp: int) -> StageBlock:
    """The stage whose rules hold at a weight: the last one not above it, else the first."""
    return next((stage for stage in reversed(rules.stages) if basis_points(stage) <= weight_bp), rules.stages[0])


def next_weight(rules: CanaryBlock, weight_bp: int) -> int:
    """The next stage's weight in basis points; all after the last."""
    return next((basis_points(stage) for stage in rules.stages if basis_points(stage) > weight_bp), ALL)


def basis_points(stage: StageBlock) -> int:
    """A stage's weight, of 10,000."""
    return round(stage.percent * 100)


def _sufficient(figures: tuple[Figure, ...]) -> str:
    """Why a canary advances, and what was not looked at."""
    unmeasured = [figure.guard for figure in figures if not (figure.canary.n and figure.champion.n)]
    rest = f"; not measured: {', '.join(unmeasured)}" if unmeasured else ""
    return f"every needed guard has its samples, and none is in doubt{rest}"


def _worse(figure: Figure) -> str:
    """Why a guard ends a canary, in a sentence that can be quoted."""
    canary, champion = figure.canary, figure.champion
    unit = {"time": " ms", "score": ""}.get(READINGS[figure.guard].kind)
    if unit is None:
        found = f"{canary.value:.2%} of {canary.n} against {champion.value:.2%} of {champion.n}"
    else:
        found = (
            f"median {canary.value:.4g}{unit}, worst twentieth {canary.tail:.4g}{unit} ({canary.n} values) against "
            f"{champion.value:.4g}{unit} and {champion.tail:.4g}{unit} ({champion.n})"
        )
    return f"{figure.guard}: {found}; evidence 10^{figure.evidence:.2f}, where 10^{figure.enough:.2f} is enough"
