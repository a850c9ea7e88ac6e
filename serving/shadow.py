"""Shadow requests: a sample of what callers ask, asked of another version too, within a budget, and seen by nobody.

They start when the caller has its answer, take no place while the gateway is busy, and are charged to no key.
"""

import asyncio
import logging
import secrets
import time

from serving.call import SHADOW_KEY, Call
from serving.decide import shadow
from serving.desk import Desk
from serving.errors import Refusal
from serving.forward import forward_in_time
from serving.outlet import Nowhere
from serving.quota import Accounts, Amount
from tunegate_core.snapshot import Limits

log = logging.getLogger(__name__)


class Shadows:
    """Those that run now, at most so many, and what they have used this minute."""

    def __init__(self, desk: Desk):
        self._desk = desk
        self._running: set[asyncio.Task[None]] = set()
        self._accounts = Accounts()

    def follow(self, call: Call) -> None:
        """Ask the shadow version what this call asked, if the sample and the budget say so."""
        view, budget = self._desk.live.view, self._desk.settings.shadows
        decision = (
            shadow(view, call.decision.alias, call.request_id) if view and call.decision.arm != "direct" else None
        )
        if decision is None or len(self._running) >= budget.at_once or self._desk.inflight.is_busy:
            return
        if self._desk.replicas.pick(decision.name) is None:
            return
        account = self._accounts.of([SHADOW_KEY], Limits(tokens_per_minute=budget.tokens_per_minute), time.monotonic())
        try:
            most = Amount(call.request.most_prompt + call.request.most_output)
            reservation = account.reserve(most, time.monotonic())
        except Refusal:
            return
        follower = Call(
            endpoint=call.endpoint,
            request=call.request,
            decision=decision,
            key_id=call.key_id,
            unit=call.unit,
            account=account,
            reservation=reservation,
            request_id=secrets.token_hex(16),
            started=time.perf_counter(),
        )
        follower.reading.keeps_text = self._desk.settings.keeps_text
        task = asyncio.create_task(self._run(follower))
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def close(self) -> None:
        """End those that run."""
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)

    async def _run(self, call: Call) -> None:
        try:
            with (
                self._desk.inflight.holding() as call.hold,
                self._desk.closing(call),
                self._desk.inflight.cuttable(call),
            ):
                await forward_in_time(self._desk, call, Nowhere())
        except Refusal:
            pass  # it is written down
        except Exception as error:
            log.error("a shadow request failed: %s", type(error).__name__)
