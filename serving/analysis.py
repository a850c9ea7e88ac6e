"""Every canary of this gateway, watched: what the records tell is taken in, a decision taken, and steered by.

It runs beside the answering, every few seconds, in a thread. What a canary has shown so far is held in memory and made
again from the request records when a gateway starts: the same rows give the same decision. Whatever is decided goes out
through one port (`Steering`). A canary that is found worse gets nobody from that moment on, at this gateway, and the
alarm is raised; when the ledger is away, the change is recorded when it is back.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import orjson

from serving.alerts import Alerts
from serving.canary.decision import Action, Decision
from serving.canary.observation import Arm
from serving.canary.stage import Stage
from serving.canary.watch import Watch
from serving.live import Live
from serving.metrics import Metrics
from serving.observing import Cursor, beginning, observed
from serving.settings import CanarySettings
from serving.tables import Tables
from tunegate_core.errors import TunegateError

log = logging.getLogger(__name__)

IN_WORDS = {"rollback": "is rolled back", "pause": "waits for a person", "advance": "gets more"}


class Watched:
    """One stage: its observations so far, how far the records were read, and the decision that was taken last."""

    def __init__(self, stage: Stage, tables: Tables):
        self.stage, self._tables = stage, tables
        self.decision: Decision | None = None
        self.told: Action = "hold"
        self._watch = Watch(stage.rules, stage.weight_bp, stage.started)
        self._arms: dict[str, Arm] = {stage.champion: "champion", stage.canary: "canary"}
        self._cursor: Cursor | None = None

    def look(self, now: float) -> Decision:
        """Take in what is new, and decide. Raises StoreFault."""
        if self._cursor is None:
            self._cursor = beginning(self._tables, self.stage.alias, self.stage.started)
        is_new = True
        while is_new:
            found, following = observed(self._tables, self.stage.alias, self._arms, self._cursor)
            for seen in found:
                self._watch.see(seen)
            is_new, self._cursor = following != self._cursor, following
        self.decision = self._watch.decide(now)
        return self.decision

    @property
    def is_due(self) -> bool:
        """Whether the decision changes anything. While a person is waited for, only harm does."""
        action = self.decision.action if self.decision else "hold"
        return action == "rollback" or (action != "hold" and not self.stage.is_paused)

    @property
    def is_worse(self) -> bool:
        """Whether it was decided that the canary is worse than its champion."""
        return self.decision is not None and self.decision.action == "rollback"

    def shown(self) -> dict[str, Any]:
        """What people are shown."""
        decision = self.decision.model_dump(mode="json") if self.decision else None
        return {"route": self.stage.alias, "event": self.stage.event, "decision": decision}


class CanaryAnalysis:
    """`turn` looks once at every canary; `work` does so for ever."""

    def __init__(
        self,
        settings: CanarySettings,
        tables: Tables,
        metrics: Metrics,
        live: Live,
        alerts: Alerts | None = None,
        clock: Callable[[], float] = time.time,
    ):
        self._settings, self._tables, self._metrics, self._live, self._clock = settings, tables, metrics, live, clock
        self._alerts = alerts
        self._known: dict[int, Watched] = {}
        self._seen: int | None = None
        self._released: int | None = None  # epoch of the view for which `held` was made

    async def work(self) -> None:
        """Look, rest, and so on."""
        while True:
            await asyncio.to_thread(self.turn)
            await asyncio.sleep(self._settings.seconds)

    def turn(self) -> None:
        """Look once; what can't be read or changed now is tried again at the next turn."""
        self._follow()
        for watched in list(self._known.values()):
            try:
                self._decide(watched)
            except TunegateError as error:
                log.warning("the canary of %s waits: %s", watched.stage.alias, type(error).__name__)
        if self._seen is None:
            self._follow()
        self._show()

    def _follow(self) -> None:
        """Begin to watch what is new, and leave what has ended, when something may have changed."""
        view = self._live.view
        if view is None or view.epoch == self._seen:
            return
        try:
            stages = {stage.event: stage for stage in self._settings.steering.stages()}
        except TunegateError as error:
            log.warning("the ledger could not tell of canaries: %s", type(error).__name__)
            return
        for event in self._known.keys() - stages.keys():
            self._metrics.canary_ended(self._known.pop(event).stage)
        for event, stage in stages.items():
            if event in self._known:
                self._known[event].stage = stage
            else:
                self._known[event] = Watched(stage, self._tables)
                self._metrics.canary_began(stage)
        self._seen = view.epoch
        if view.epoch != self._released:  # not before the routes without the canary are in force here
            worse = (watched.stage for watched in self._known.values() if watched.is_worse)
            self._released, self._live.held = view.epoch, frozenset((stage.alias, stage.canary) for stage in worse)

    def _decide(self, watched: Watched) -> None:
        stage, decision = watched.stage, watched.look(self._clock())
        self._metrics.canary_seen(stage, decision)
        if watched.is_worse:
            self._live.held |= {(stage.alias, stage.canary)}
        if not watched.is_due:
            return
        if watched.told != decision.action:
            watched.told = decision.action
            self._tell(stage, decision)
        if not self._settings.steering.steer(stage, decision):
            log.warning("%s: a person has moved the canary meanwhile, and that stands", stage.alias)
        self._seen = None  # whoever moved it, the ledger knows more now

    def _tell(self, stage: Stage, decision: Decision) -> None:
        """Before it is recorded: an alarm does not wait for the ledger."""
        self._metrics.canary_decided(stage, decision)
        text = f"{stage.alias}: the canary {stage.canary} {IN_WORDS[decision.action]}: {decision.reason}"
        if decision.action == "advance":
            log.info(text)
            return
        log.error(text)
        if self._alerts is not None:
            self._alerts.put(alert(stage, decision, text))

    def _show(self) -> None:
        """Replace the file whole; a full disk keeps nobody from deciding."""
        shown = {"at": self._clock(), "canaries": [watched.shown() for watched in self._known.values()]}
        draft = self._settings.status.with_suffix(".draft")
        with suppress(OSError):
            draft.write_bytes(orjson.dumps(shown))
            draft.replace(self._settings.status)


def alert(stage: Stage, decision: Decision, text: str) -> dict[str, Any]:
    """What a webhook is told. `text` is what chat services show; `id` is the same from every gateway."""
    return {
        "id": f"{stage.alias}/{stage.event}/{decision.action}",
        "kind": f"canary-{decision.action}",
        "at": datetime.fromtimestamp(decision.at, UTC).isoformat(timespec="seconds"),
        "route": stage.alias,
        "canary": stage.canary,
        "champion": stage.champion,
        "weight_bp": decision.to_bp,
        "guard": decision.guard,
        "reason": decision.reason,
        "text": text,
    }
